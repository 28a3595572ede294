"""Negative samplers, and the table they are chosen from."""

from dans.samplers.base import Mixture, NegativeSampler, Phase
from dans.samplers.dans import DANS
from dans.samplers.entity import EntitySampler
from dans.samplers.kept import Kept
from dans.samplers.uniform import Bernoulli, Popularity, Uniform

SAMPLERS: dict[str, type[NegativeSampler]] = {
    "bernoulli": Bernoulli,
    "dans": DANS,
    "kept": Kept,
    "popularity": Popularity,
    "uniform": Uniform,
}

__all__ = [
    "DANS",
    "SAMPLERS",
    "Bernoulli",
    "EntitySampler",
    "Kept",
    "Mixture",
    "NegativeSampler",
    "Phase",
    "Popularity",
    "Uniform",
]
