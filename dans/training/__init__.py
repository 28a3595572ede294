"""Training: the loop, its optimizers, checkpoints, loggers, and the folder of a run."""
