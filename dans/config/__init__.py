"""Configurations and recipes: strict reading of TOML and JSON."""
