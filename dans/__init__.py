"""Link prediction on knowledge graphs: RGCN encoders, decoders, and negatives that learn (DANS).

Importing ``dans`` alone is free: it loads neither torch nor DGL. Import what you need from its
modules: ``dans.data.graph``, ``dans.models.model``, ``dans.samplers``, ``dans.training``.
"""

import os

__version__ = "0.1.0"

# OpenMP's idle threads spin. Where another process wants the cores, that makes two threads up to a
# hundred times slower than one. The choice is read once, when torch is loaded, so it is made here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
