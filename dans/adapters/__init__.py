"""Our samplers in the training loops of DGL and PyKEEN."""
