"""Encoders, decoders, and the model that joins one of each."""

from dans.models.encoders import Encoder, Lookup
from dans.models.rgcn import RGCN

#: Encoders by their names in recipes.
ENCODERS: dict[str, type[Encoder]] = {"lookup": Lookup, "rgcn": RGCN}
