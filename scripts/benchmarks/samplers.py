"""Drawing negatives: our samplers beside PyKEEN's, and a training step with each learned sampler.

A draw gives the corrupted triples as ids, (b, k, 3), and with a filter the mask of the valid ones.
Ours is exact, PyKEEN's is a Bloom filter that takes some negatives for known triples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec

import torch

from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.models.batch import Positives
from dans.registry import build
from dans.runs.build import build_trainer
from dans.samplers import DANS, SAMPLERS
from scripts.benchmarks.measure import Row, compete

#: Our sampler and PyKEEN's of the same method, with options. PyKEEN's uniform sampler draws no
#: side: all negatives of the first half of a batch corrupt heads, those of the second tails.
PEERS: dict[str, tuple[tuple[str, dict[str, object]], tuple[str, dict[str, object]]]] = {
    "uniform": (("uniform", {}), ("basic", {})),
    "uniform, tails alone": (
        ("uniform", {"side": "tail"}),
        ("basic", {"corruption_scheme": ("tail",)}),
    ),
    "bernoulli": (("bernoulli", {}), ("bernoulli", {})),
}

#: Samplers that may choose among some drawn entities in place of all, and among how many each.
CANDIDATES = {"igan": (2048, 4096), "smile": (512, 1024)}

#: Draws in a round: a single one of 512 x 20 takes a fraction of a millisecond.
DRAWS = 20


def rows(kg: KnowledgeGraph, *, k: int = 20, rounds: int = 10) -> list[Row]:
    """Draws of each sampler PyKEEN has too, at two sizes of batch; without a filter and with.

    Args:
        kg: its training triples are corrupted and are what is filtered by.
    """
    found = []
    for name in PEERS:
        for batch in (512, 8192):
            work = f"{DRAWS} draws of {batch} x {k}, {name}, {kg.name}"
            peers = find_spec("pykeen") is not None
            plain = ["dans", *(["PyKEEN"] if peers else [])]
            exact = ["dans, mask", "dans, resample", *(["PyKEEN, Bloom filter"] if peers else [])]
            given = (kg, name, batch, k)
            found += compete(work, plain, make_draws, *given, rounds=rounds)
            found += compete(f"{work}, filtered", exact, make_draws, *given, rounds=rounds)
    return found


def make_draws(
    contender: str, kg: KnowledgeGraph, name: str, batch: int, k: int
) -> Callable[[], object]:
    """A contender's piece of work; returns the last draw."""
    torch.manual_seed(0)
    order = torch.randperm(len(kg.train))[: DRAWS * batch]
    # Fewer triples than the draws need are drawn from more than once.
    order = order.repeat(-(-DRAWS * batch // len(order)))[: DRAWS * batch]
    batches = kg.train[order].split(batch)
    if contender.startswith("PyKEEN"):
        draw = _theirs(contender, kg, name, k)
    else:
        draw = _ours(contender, kg, name, k)

    def draws() -> object:
        for triples in batches:
            last = draw(triples)
        return last

    return draws


def _ours(
    contender: str, kg: KnowledgeGraph, name: str, k: int
) -> Callable[[torch.Tensor], object]:
    name, options = PEERS[name][0]
    sampler = build(
        SAMPLERS,
        name,
        given={**options, "k": k, "filter": contender.partition(", ")[2] or "none"},
        num_relations=kg.num_relations,
        triples=kg.train,
        known=kg.known(("train",)),
    )

    def draw(triples: torch.Tensor) -> object:
        negatives = sampler(Positives.of_ids(triples, kg.num_entities))
        return negatives.triples(triples), negatives.valid

    return draw


def _theirs(
    contender: str, kg: KnowledgeGraph, name: str, k: int
) -> Callable[[torch.Tensor], object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pykeen.sampling import negative_sampler_resolver

    name, options = PEERS[name][1]
    sampler = negative_sampler_resolver.make(
        name,
        options,
        mapped_triples=kg.train,
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
        num_negs_per_pos=k,
        filtered="Bloom" in contender,
    )
    return sampler.sample


def step_rows(kg: KnowledgeGraph, *, batch: int = 8192, k: int = 20, rounds: int = 2) -> list[Row]:
    """A full-graph training step with each sampler that looks at the model, and with Uniform.

    Args:
        k: negatives of each; DANS splits them between its pathways.
    """
    adaptive = [name for name, sampler in SAMPLERS.items() if sampler.adaptive]
    adaptive += [f"{name}, {c} candidates" for name, counts in CANDIDATES.items() for c in counts]
    work = f"step of {batch} triples by sampler, k={k}, DistMult d=100, {kg.name}"
    return compete(work, ["uniform", *adaptive], make_step, kg.name, batch, k, rounds=rounds)


def make_step(name: str, data: str, batch: int, k: int) -> Callable[[], object]:
    """One step with one sampler and its default options, or with few candidates."""
    name, _, few = name.partition(", ")
    options = {"candidates": int(few.split()[0])} if few else {}
    pathways = 2 if SAMPLERS[name] is DANS else 1
    config = RunConfig.parse(
        {
            "data": data,
            "encoder": {"name": "rgcn", "dim": 100, "layers": 2, "bases": 4, "dropout": 0.2},
            "decoder": "distmult",
            "loss": "logistic",
            "graph": {"norm": "relation"},
            "sampler": [{"name": name, "k": k // pathways, **options}],
            "train": {"batch": batch},
        }
    )
    return build_trainer(config, KnowledgeGraph.load(data), None).step
