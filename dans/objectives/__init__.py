"""Objectives, losses and regularizers, each with the table it is chosen from."""
