"""Recipes and the configuration of a run, read strictly."""
