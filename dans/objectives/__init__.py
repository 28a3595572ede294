"""Objectives, losses and regularizers, and the tables of their names."""

from collections.abc import Callable

from dans.objectives.base import NegativeSampling, Objective
from dans.objectives.discounted import Discounted

OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "discounted": Discounted,
    "negative_sampling": NegativeSampling,
}

__all__ = ["OBJECTIVES", "Discounted", "NegativeSampling", "Objective"]
