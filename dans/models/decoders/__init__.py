"""Decoders, and the table they are chosen from."""

from dans.models.decoders.base import Decoder
from dans.models.decoders.complex import ComplEx
from dans.models.decoders.distmult import DistMult
from dans.models.decoders.rotate import RotatE

DECODERS: dict[str, type[Decoder]] = {
    "complex": ComplEx,
    "distmult": DistMult,
    "rotate": RotatE,
}

__all__ = ["DECODERS", "ComplEx", "Decoder", "DistMult", "RotatE"]
