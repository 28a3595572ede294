"""Training: the loop, and the folder a run lives in."""
