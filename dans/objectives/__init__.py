"""Objectives, losses and regularizers, and the tables of their names."""
