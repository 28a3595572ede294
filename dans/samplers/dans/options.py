"""The choices DANS leaves open, by name, and which of them exclude each other."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from dans.errors import InputError, one_of
from dans.samplers.corruption import Mask
from dans.samplers.dans.networks import Film, Init, Norm, Output
from dans.samplers.dans.pathways import HeadQuery, NoiseScale, Sides

GeneratorLoss = Literal["non_saturating", "saturating"]
FilmPenalty = Literal["squared", "norm"]
Auxiliary = Literal["bce", "constant", "none"]
Pathways = Literal["both", "entity", "relation", "relation_twice"]
Decode = Literal["vector", "nearest", "nearest_other"]
Heads = Literal["linear", "stacked"]

#: What each named choice accepts.
CHOICES: dict[str, Any] = {
    "noise_scale": NoiseScale,
    "generator_loss": GeneratorLoss,
    "film": Film,
    "film_penalty": FilmPenalty,
    "head_query": HeadQuery,
    "sides": Sides,
    "output": Output,
    "norm": Norm,
    "init": Init,
    "heads": Heads,
    "auxiliary": Auxiliary,
    "pathways": Pathways,
    "decode": Decode,
    "filter": Mask,
}
#: Options that count something, so at least 1; and those that weigh something, so at least 0.
COUNTS = ("dim", "k", "generator_repeats", "discriminator_repeats")
WEIGHTS = ("noise", "film_weight", "aux_in_generator", "r1", "warmup")

#: Named settings, as departures from the constructor's defaults. ``paper``: the text, with the
#: repairs of its reference, which is what the defaults are. ``code``: the published program, with
#: the defects that explain its numbers. ``dans``: our best.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "code": {
        "film": "code",
        "film_penalty": "norm",
        "head_query": "reciprocal",
        "output": "tanh",
        "norm": "batch_code",
        "heads": "stacked",
        "auxiliary": "constant",
        "generator_repeats": 1,
        "discriminator_repeats": 10,
        "pathways": "relation_twice",
        "detach": False,
    },
    "dans": {
        "noise": 0.25,
        "noise_scale": "relative",
        "output": "residual",
        "init": "orthogonal",
        "generator_repeats": 1,
        "decode": "nearest",
        "r1": 0.1,
    },
}


def check(given: Mapping[str, Any]) -> None:
    """Check the options of ``DANS`` one by one, and those that exclude each other.

    Raises:
        InputError: an unknown choice, a number out of range, or an option without effect.

    Example:
        >>> check({"k": 0})
        Traceback (most recent call last):
        dans.errors.InputError: k: must be at least 1, got 0
    """
    for option, value in given.items():
        if option in CHOICES:
            one_of(option, value, get_args(CHOICES[option]))
        least = 1 if option in COUNTS else 0
        if option in COUNTS + WEIGHTS and value < least:
            raise InputError(f"{option}: must be at least {least}, got {value}")

    def clash(option: str, value: object, other: str, others: tuple[object, ...]) -> bool:
        return option in given and given[option] == value and given.get(other) in others

    if clash("sides", "bit", "film", ("none",)):
        raise InputError("sides: bit is part of FiLM's condition, and film = none has none")
    if clash("filter", "mask", "decode", ("vector",)):
        raise InputError("filter: generated embeddings have no ids; decode = nearest gives them")
    if clash("detach", False, "decode", ("nearest", "nearest_other")):
        raise InputError("detach: false needs decode = vector; no gradient passes a nearest entity")
    alone = given.get("pathways") in ("entity", "relation") or given.get("auxiliary") != "bce"
    if given.get("aux_in_generator") and alone:
        raise InputError("aux_in_generator: needs auxiliary = bce and two pathways to tell apart")
