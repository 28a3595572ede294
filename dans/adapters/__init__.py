"""Our samplers inside other libraries' training loops: see ``dgl`` and ``pykeen``."""
