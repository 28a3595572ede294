"""Numeric options of every component at the extremes: each works, or is refused in a sentence."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import pytest
import torch
from msgspec import structs

from baselines.assembly import OBJECTIVES, SAMPLERS
from dans.config.schema import Component, GraphConfig, PhaseConfig, RunConfig, TrainConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import LARGE, MOST, SMALL, InputError
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.objectives.losses import LOSSES, Logistic
from dans.objectives.regularizers import REGULARIZERS
from dans.registry import build, hints, options
from dans.runs.build import build_member
from tests.suites.samplers import DIM, listing, triples_as_embeddings, update

WHOLE = (0, -1, 2**31, 10**12, 10**18)
VALUES = (*WHOLE, LARGE, -LARGE, SMALL, 1e308, -1e308, 1e-320, float("nan"), float("inf"))

#: Seconds for one option: nothing may be allocated or counted to the end.
SECONDS = 10

#: Sizes that a data set or an encoder gives, and what options beside one need.
GIVEN = ("num_entities", "num_relations", "num_batches")
BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("lp", "relations"): {"entities": 0.1},
    ("table", "relations"): {"entities": 0.1},
    ("lp", "p"): {"entities": 0.1},
    ("table", "p"): {"entities": 0.1},
    ("sans", "walks_per_entity"): {"neighbourhood": "walks"},
    ("sampled", "smoothing"): {"noise": "frequency"},
}


def numeric(factory: Callable[..., object]) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The numeric options of a constructor, and the values that its types let through."""
    declared = hints(factory)
    for name in options(factory):
        kinds = [part for part in get_args(declared.get(name)) or [declared.get(name)]]
        kinds = [kind for kind in kinds if kind is not NoneType]
        if name not in GIVEN and kinds in ([int], [float]):
            yield name, VALUES if kinds == [float] else WHOLE


def tried(work: Callable[[], object], what: str) -> None:
    """Run work with an extreme option: it ends soon, or is refused in one sentence."""
    start, refused = time.monotonic(), ""
    try:
        work()
    except InputError as error:
        refused = str(error)
    assert "\n" not in refused, what
    assert "cannot be built" not in refused, f"{what}: not checked: {refused}"
    assert time.monotonic() - start < SECONDS, what


def check(family: Mapping[str, Any], use: Callable[[str, dict[str, Any]], object]) -> int:
    """Try every option of every member of a family at every extreme."""
    count = 0
    for member, factory in family.items():
        for option, values in numeric(factory):
            for value in values:
                given = {**BESIDE.get((member, option), {}), option: value}
                tried(partial(use, member, given), f"{member}.{option} = {value}")
                count += 1
    return count


def test_encoders_and_decoders(kg: KnowledgeGraph) -> None:
    sizes = {"num_entities": kg.num_entities, "num_relations": kg.num_relations}

    def encode(name: str, given: dict[str, Any]) -> None:
        encoder = build(ENCODERS, name, given={"dim": DIM, **given}, **sizes)
        encoder(kg.messages("relation"))

    def decode(name: str, given: dict[str, Any]) -> None:
        decoder = build(DECODERS, name, given={"dim": DIM, **given}, **sizes)
        h = decoder.prepare(torch.randn(3, DIM))
        decoder.tail_queries(h, torch.tensor([0, 1, 2]))

    assert check(ENCODERS, encode) > 50
    assert check(DECODERS, decode) > 100


def test_tables_beyond_the_free_memory_are_refused_before_they_are_made() -> None:
    sizes = {"num_entities": 10**6, "num_relations": 10**6}
    wide = {"dim": MOST}
    large = {**dict.fromkeys(ENCODERS, (ENCODERS, wide)), "rescal": (DECODERS, wide)}
    large["tucker"] = (DECODERS, {"dim": 8, "relation_dim": MOST, "reciprocal": True})
    for name, (family, given) in large.items():
        start = time.monotonic()
        with pytest.raises(InputError, match=r"dim: its tables take .*B, and .*B are free"):
            build(family, name, given=given, **sizes)
        assert time.monotonic() - start < 1, name


def test_losses_and_regularizers(kg: KnowledgeGraph) -> None:
    positives, _, decoder = triples_as_embeddings(kg, "complex")

    def lose(name: str, given: dict[str, Any]) -> None:
        loss = build(LOSSES, name, given=given)(torch.randn(3, 1), torch.randn(3, 4))
        assert loss.isfinite(), (name, given)

    def regularize(name: str, given: dict[str, Any]) -> None:
        term = build(REGULARIZERS, name, given=given, num_batches=1, decoder="complex")
        assert term(decoder, positives).isfinite(), (name, given)

    assert check(LOSSES, lose) > 30
    assert check(REGULARIZERS, regularize) > 30


def test_objectives(kg: KnowledgeGraph) -> None:
    def make(name: str, given: dict[str, Any]) -> None:
        sizes = {"num_entities": kg.num_entities, "num_relations": kg.num_relations}
        known = {"triples": kg.train, "known": kg.known(("train",)), "num_batches": 1}
        build(
            OBJECTIVES, name, given=given, loss=Logistic(), sampler=None, l2=0.0, **sizes, **known
        )

    assert check(OBJECTIVES, make) > 20


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers(name: str, kg: KnowledgeGraph, tmp_path: Path) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    own = {"file": listing(kg, tmp_path)} if name == "listed" else {}

    def draw(name: str, given: dict[str, Any]) -> None:
        sampler = build_member(
            Component(name, {**own, **given}), kg, DIM, SAMPLERS, where="sampler"
        )
        assert sampler(positives).scores(positives).isfinite().all(), (name, given)
        for phase in sampler.phases():
            assert phase.loss(positives.detach()).isfinite(), (name, given)
            update(phase, positives)
        sampler.terms(positives)
        assert sampler(positives).scores(positives).isfinite().all(), (name, given)

    assert check({name: SAMPLERS[name]}, draw)


def test_options_of_training() -> None:
    for section in (GraphConfig, TrainConfig, PhaseConfig):
        table = "phase" if section is PhaseConfig else section.__name__[:5].lower()
        for field in structs.fields(section):
            for value in VALUES:
                given = {field.name: [value, value] if field.name == "betas" else value}
                recipe = {
                    "data": "toy",
                    "encoder": "lookup",
                    "decoder": "transe",
                    table: {"one": given} if table == "phase" else given,
                }
                tried(partial(RunConfig.parse, recipe), f"{table}.{field.name} = {value}")
