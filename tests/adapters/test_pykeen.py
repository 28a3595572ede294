"""PyKEEN's own pipeline, with negatives of ours."""

import gc
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

if not find_spec("pykeen"):
    pytest.skip("PyKEEN is not installed", allow_module_level=True)

# Ours first: it keeps PyTorch Geometric, which PyKEEN imports, from warning of itself.
from dans.adapters.pykeen import DansNegativeSampler, Embeddings

# isort: split
import pykeen.models
from pykeen.pipeline import pipeline
from pykeen.sampling import negative_sampler_resolver
from pykeen.triples import CoreTriplesFactory

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError, install_command
from dans.samplers import DANS, SAMPLERS, NegativeSampler
from tests.processes import succeed
from tests.suites.samplers import snapshot

ROOT = Path(__file__).parents[2]

# What PyKEEN's pipeline warns of with samplers of its own too, and torch of PyKEEN's loader.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Training instances are always shuffled:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
    pytest.mark.filterwarnings("ignore:Resetting regularization term without using it"),
]

MODELS = ["DistMult", "ComplEx", "RotatE"]
NEAREST = {"decode": "nearest_other"}
#: Samplers that look at the model and add no term to its loss.
LOOKING = sorted(
    name for name, kind in SAMPLERS.items() if kind.adaptive and kind.terms is NegativeSampler.terms
)


def factory(kg: KnowledgeGraph, triples: Tensor, **given: bool) -> CoreTriplesFactory:
    return CoreTriplesFactory(triples, kg.num_entities, kg.num_relations, **given)


def model_of(kg: KnowledgeGraph, name: str = "DistMult", **given: Any) -> Any:
    kind = getattr(pykeen.models, name)
    return kind(triples_factory=factory(kg, kg.train), random_seed=0, **given)


def make(kg: KnowledgeGraph, **given: Any) -> DansNegativeSampler:
    return DansNegativeSampler(
        mapped_triples=kg.train,
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
        **given,
    )


def run(kg: KnowledgeGraph, model: Any, given: dict[str, Any], **more: Any) -> Any:
    return pipeline(
        training=factory(kg, kg.train),
        testing=factory(kg, kg.valid),
        model=model,
        negative_sampler_kwargs=given,
        training_kwargs={"num_epochs": 2, "batch_size": 5, "use_tqdm": False},
        evaluation_kwargs={"use_tqdm": False, "batch_size": 4},
        random_seed=0,
        **{"negative_sampler": DansNegativeSampler, **more},
    )


def check(triples: Tensor, negatives: Tensor, n: int) -> None:
    """Relations are kept, one side of each has changed, and ids are in range."""
    changed = negatives != triples.unsqueeze(-2)
    assert not changed[..., 1].any()
    assert changed.sum(-1).eq(1).all()
    assert ((negatives[..., ::2] >= 0) & (negatives[..., ::2] < n)).all()


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("uniform", {}),
        ("uniform", {"filter": "mask"}),
        ("bernoulli", {"filter": "resample"}),
    ],
)
def test_the_pipeline_trains_on_our_negatives(
    sampler: str, options: dict[str, Any], kg: KnowledgeGraph
) -> None:
    given = {"sampler": sampler, "options": options, "num_negs_per_pos": 4}
    result = run(kg, "DistMult", given)
    assert len(result.losses) == 2
    assert all(loss > 0 for loss in result.losses)
    assert result.get_metric("mrr") > 0


def test_the_sampler_has_a_name_among_pykeens(kg: KnowledgeGraph) -> None:
    assert negative_sampler_resolver.lookup("dans") is DansNegativeSampler
    result = run(kg, "TransE", {"num_negs_per_pos": 2}, negative_sampler="dans")
    assert len(result.losses) == 2


@pytest.mark.parametrize("name", MODELS)
def test_dans_learns_beside_the_model(
    name: str, kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    build = DansNegativeSampler.make

    def watched(self: DansNegativeSampler, *given: Any) -> Any:
        sampler = build(self, *given)
        made.append((sampler, snapshot(sampler)))
        return sampler

    monkeypatch.setattr(DansNegativeSampler, "make", watched)
    model = model_of(kg, name, embedding_dim=6)
    given = {
        "sampler": "dans",
        "options": {**NEAREST, "filter": "mask"},
        "num_negs_per_pos": 4,
        "model": model,
        "phases": {"discriminator": {"lr": 0.01}},
    }
    result = run(kg, model, given)
    assert len(result.losses) == 2
    sampler, before = made[-1]
    assert isinstance(sampler, DANS)
    assert all(value != before[name] for name, value in snapshot(sampler).items())


@pytest.mark.parametrize("sampler", LOOKING)
def test_every_sampler_that_looks_at_the_model_draws(sampler: str, kg: KnowledgeGraph) -> None:
    options = NEAREST if sampler == "dans" else {}
    given = make(kg, sampler=sampler, options=options, model=model_of(kg), num_negs_per_pos=4)
    for _ in range(2):
        negatives, _ = given.sample(kg.train)
        assert negatives.shape == (14, 4, 3)
        check(kg.train, negatives, kg.num_entities)


def test_a_sampler_with_a_term_for_the_model_is_refused(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="smile adds a term to the model's loss"):
        make(kg, sampler="smile", model=model_of(kg))


@pytest.mark.parametrize("name", MODELS)
def test_our_scores_are_those_of_the_model(name: str, kg: KnowledgeGraph) -> None:
    model = model_of(kg, name, embedding_dim=6)
    positives = Embeddings(model)(kg.train)
    theirs = model.score_hrt(kg.train).detach()
    torch.testing.assert_close(positives.scores(), theirs, rtol=1e-4, atol=1e-5)
    head_scores = positives.score_query(positives.head_query, positives.h)
    torch.testing.assert_close(head_scores.unsqueeze(1), theirs, rtol=1e-4, atol=1e-5)
    assert positives.entities.shape == (kg.num_entities, Embeddings(model).dim)


def test_regularisers_do_not_count_our_look_ups(kg: KnowledgeGraph) -> None:
    """PyKEEN's regularisers sum up whatever is looked up with gradients."""
    model = model_of(kg)
    positives = Embeddings(model)(kg.train)
    assert not positives.entities.requires_grad
    assert not positives.tail_query.requires_grad
    assert float(model.collect_regularization_term()) == 0


def test_the_sampler_sees_the_model_of_now(kg: KnowledgeGraph) -> None:
    model = model_of(kg)
    embeddings = Embeddings(model)
    before = embeddings(kg.train).entities.clone()
    model.reset_parameters_()
    assert not torch.equal(embeddings(kg.train).entities, before)


def test_what_is_masked_is_known_and_nothing_else(kg: KnowledgeGraph) -> None:
    sampler = make(kg, filtered=True, num_negs_per_pos=40)
    negatives, valid = sampler.sample(kg.train)
    check(kg.train, negatives, kg.num_entities)
    assert valid is not None
    assert torch.equal(valid, ~kg.known(("train",)).is_known(negatives))
    assert 0 < int(valid.sum()) < valid.numel()
    unfiltered = make(kg, num_negs_per_pos=40).sample(kg.train)
    assert unfiltered[1] is None


def test_batches_of_any_shape_are_corrupted(kg: KnowledgeGraph) -> None:
    negatives = make(kg, num_negs_per_pos=3).corrupt_batch(kg.train.view(2, 7, 3))
    assert negatives.shape == (2, 7, 3, 3)
    check(kg.train.view(2, 7, 3), negatives, kg.num_entities)


def test_default_sizes_are_those_of_the_triples_and_the_sampler(kg: KnowledgeGraph) -> None:
    sampler = DansNegativeSampler(mapped_triples=kg.train)
    assert sampler.num_negs_per_pos == SAMPLERS["uniform"]().k
    assert sampler.sample(kg.train)[0].shape == (14, 20, 3)
    own = DansNegativeSampler(mapped_triples=kg.train, options={"k": 7})
    assert own.num_negs_per_pos == 7
    assert sampler.num_entities == int(kg.train[:, ::2].max()) + 1


def test_inverse_triples_are_triples_like_others(kg: KnowledgeGraph) -> None:
    training = factory(kg, kg.train, create_inverse_triples=True)
    result = pipeline(
        training=training,
        testing=factory(kg, kg.valid),
        model="DistMult",
        negative_sampler=DansNegativeSampler,
        negative_sampler_kwargs={"sampler": "bernoulli", "filtered": True},
        training_kwargs={"num_epochs": 1, "batch_size": 28, "use_tqdm": False},
        evaluation_kwargs={"use_tqdm": False, "batch_size": 4},
        random_seed=0,
    )
    assert len(result.losses) == 1


def test_workers_do_not_look_at_the_model(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long torch waits for a worker that has failed.
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.1)
    model = model_of(kg)
    sampler = make(kg, sampler="dans", options=NEAREST, model=model)
    triples = torch.utils.data.DataLoader(
        [0], num_workers=1, collate_fn=lambda _: draw(sampler, kg)
    )
    with pytest.raises(InputError, match="num_workers: must be 0"):
        list(triples)
    gc.collect()


def draw(sampler: DansNegativeSampler, kg: KnowledgeGraph) -> Tensor:
    return sampler.corrupt_batch(kg.train)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"sampler": "unifrom"}, "sampler: unknown name 'unifrom'; known: .*did you mean"),
        ({"sampler": "dans"}, "model: dans looks at the model; give an instance"),
        ({"model": "DistMult"}, "model: no effect, as uniform does not look at it"),
        ({"sampler": "dans", "model": "TransE"}, "expected one of PyKEEN's DistMult, ComplEx, R"),
        ({"sampler": "dans", "model": "DistMult"}, "decode: vector gives negatives without ids"),
        ({"options": {"temperature": 2}}, "options.temperature: unknown option of uniform"),
        ({"options": {"k": 2}, "num_negs_per_pos": 2}, "options.k: num_negs_per_pos says it"),
        ({"filtered": True, "options": {"filter": "none"}}, "options.filter: none, but filtered"),
        (
            {"sampler": "dans", "model": "DistMult", "options": NEAREST, "num_negs_per_pos": 3},
            "num_negs_per_pos: expected a multiple of 2, .* of dans; got 3",
        ),
    ],
)
def test_what_cannot_serve_is_refused_in_a_sentence(
    given: dict[str, Any], sentence: str, kg: KnowledgeGraph
) -> None:
    if "model" in given:
        given = {**given, "model": model_of(kg, given["model"])}
    with pytest.raises(InputError, match=sentence):
        make(kg, **given)


def test_without_pykeen_the_extra_is_named() -> None:
    hide = "import sys; sys.modules['pykeen'] = None; "
    done = subprocess.run(
        [sys.executable, "-c", hide + "import dans.adapters.pykeen"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].endswith(
        f"InputError: pykeen: not installed; PyKEEN comes with: {install_command('pykeen')}"
    )


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path) -> None:
    options = ["--epochs", 2, "--sampler", "dans"]
    done = succeed("examples/pykeen_pipeline.py", *options, cwd=tmp_path)
    losses, metric = done.stdout.splitlines()
    first, second = map(float, losses.removeprefix("losses:").split())
    assert second < first
    assert 0 < float(metric.removeprefix("test MRR")) < 1
