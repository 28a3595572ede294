"""DANS, diversified and adaptive negative sampling (arXiv:2410.07592)."""

from dans.samplers.dans.sampler import DANS, PRESETS

__all__ = ["DANS", "PRESETS"]
