"""Negative samplers, and the table they are chosen from."""

from dans.samplers.base import Mixture, NegativeSampler, Phase
from dans.samplers.cake import CAKE
from dans.samplers.corruption import EntitySampler
from dans.samplers.dans.sampler import DANS
from dans.samplers.frequency import Frequency
from dans.samplers.igan import IGAN
from dans.samplers.kbgan import KBGAN
from dans.samplers.listed import Listed
from dans.samplers.mcns import MCNS
from dans.samplers.nscaching import NSCaching
from dans.samplers.sans import SANS
from dans.samplers.self_loop import SelfLoop
from dans.samplers.smile import SMiLE
from dans.samplers.typed import Typed
from dans.samplers.uniform import Bernoulli, Popularity, Uniform

SAMPLERS: dict[str, type[NegativeSampler]] = {
    "bernoulli": Bernoulli,
    "cake": CAKE,
    "dans": DANS,
    "frequency": Frequency,
    "igan": IGAN,
    "kbgan": KBGAN,
    "listed": Listed,
    "mcns": MCNS,
    "nscaching": NSCaching,
    "popularity": Popularity,
    "sans": SANS,
    "self_loop": SelfLoop,
    "smile": SMiLE,
    "typed": Typed,
    "uniform": Uniform,
}

__all__ = [
    "CAKE",
    "DANS",
    "IGAN",
    "KBGAN",
    "MCNS",
    "SAMPLERS",
    "SANS",
    "Bernoulli",
    "EntitySampler",
    "Frequency",
    "Listed",
    "Mixture",
    "NSCaching",
    "NegativeSampler",
    "Phase",
    "Popularity",
    "SMiLE",
    "SelfLoop",
    "Typed",
    "Uniform",
]
