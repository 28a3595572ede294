"""Promises that every negative sampler keeps."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.assembly import SAMPLERS
from baselines.published_dans import PublishedDANS
from dans.config.schema import Component
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.models.decoders import DECODERS, Decoder
from dans.objectives.losses import Logistic
from dans.registry import build
from dans.runs.build import build_member
from dans.samplers import DANS, NegativeSampler, Phase
from dans.samplers.dans.sampler import PRESETS

DIM = 8

#: Every sampler with its defaults, and with options that change what it does.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in SAMPLERS},
    **{f"dans-{preset}": ("dans", given) for preset, given in PRESETS.items()},
    "uniform-masked": ("uniform", {"filter": "mask"}),
    "uniform-resampled": ("uniform", {"filter": "resample"}),
    "frequency-weighted": ("frequency", {"noise": "weighted", "filter": "mask"}),
    "sans-hops": ("sans", {"neighbourhood": "hops", "filter": "none"}),
    "sans-limited": ("sans", {"limit": 3}),
    "mcns-walks": ("mcns", {"neighbours": "walks", "chains": "relation", "filter": "none"}),
    "mcns-random": ("mcns", {"chains": "random", "pool": 3}),
    "nscaching-top": ("nscaching", {"update": "top", "size": 3, "fresh": 3, "side": "coin"}),
    "nscaching-resampled": ("nscaching", {"filter": "resample", "lazy": 1}),
    "nscaching-unfiltered": ("nscaching", {"filter": "none", "temperature": 2.0}),
    "cake-masked": ("cake", {"filter": "mask", "k": 20}),
    "typed-masked": ("typed", {"filter": "mask"}),
    "smile-few": ("smile", {"clusters": 2, "negatives": 2, "weight": 0.1}),
    "dans-entity": ("dans", {"pathways": "entity"}),
    "dans-relation": ("dans", {"pathways": "relation"}),
    "dans-plain": ("dans", {"film": "none"}),
    "dans-filtered": ("dans", {"decode": "nearest_other", "filter": "mask"}),
    "igan-unfiltered": ("igan", {"filter": "none", "baseline": "batch"}),
    "igan-pretrained": ("igan", {"pretrain": 100}),
    "kbgan-epoch": ("kbgan", {"baseline": "epoch", "pretrain": 0}),
    "uniform-shared": ("uniform", {"shared_negatives": 4}),
    "bernoulli-shared": ("bernoulli", {"shared_negatives": 3, "filter": "mask"}),
    "smile-pool": ("smile", {"candidates": 4}),
    "dans-pool": ("dans", {**PRESETS["dans"], "candidates": 4, "filter": "mask"}),
    "dans-other-pool": ("dans", {"decode": "nearest_other", "candidates": 5}),
    "kbgan-complex": ("kbgan", {"generator": "complex", "pretrain": 0, "filter": "resample"}),
}


#: Samplers that know how often they draw an entity.
COUNTED = (
    "bernoulli",
    "cake",
    "frequency",
    "igan",
    "popularity",
    "sans",
    "self_loop",
    "typed",
    "uniform",
)


def make(case: str, kg: KnowledgeGraph, **given: Any) -> NegativeSampler:
    """Build a case as a run does, always from the same seed."""
    name, options = CASES[case]
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        own = {"file": listing(kg, Path(folder))} if name == "listed" else {}
        part = Component(name, {**own, **options, **given})
        return build_member(part, kg, DIM, SAMPLERS, where="sampler")


def listing(kg: KnowledgeGraph, folder: Path) -> str:
    """A file that lists negatives of every training triple, for both sides."""
    names = [[kg.entities[h], kg.relations[r], kg.entities[t]] for h, r, t in kg.train.tolist()]
    lines = [
        "\t".join((*triple, side, negative))
        for triple in names
        for side in ("head", "tail")
        for negative in kg.entities.names
        if negative not in triple
    ]
    path = folder / "negatives.tsv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def triples_as_embeddings(
    kg: KnowledgeGraph, decoder: str = "distmult", *, dim: int = DIM, seed: int = 0
) -> tuple[Positives, Tensor, Decoder]:
    """The training triples with random embeddings: positives, entity embeddings, decoder."""
    torch.manual_seed(seed)
    table = torch.randn(kg.num_entities, dim, requires_grad=True)
    scorer = build(DECODERS, decoder, num_relations=kg.num_relations, dim=dim)
    return Positives.from_embeddings(kg.train, table, scorer), table, scorer


def changed(positives: Positives, change: Callable[[Tensor], Tensor]) -> Positives:
    """The same triples, with a change applied to all embeddings."""
    names = ("h", "r", "t", "tail_query", "head_query", "entities")
    embeddings = {name: change(getattr(positives, name).detach()) for name in names}
    return replace(positives, **embeddings)


def update(phase: Phase, positives: Positives, *, times: int = 1, lr: float = 0.01) -> None:
    """Update a phase's parameters as a trainer does."""
    optimizer = torch.optim.Adam(phase.parameters, lr=lr)
    for _ in range(times):
        optimizer.zero_grad()
        phase.loss(positives.detach()).backward(inputs=list(phase.parameters))
        optimizer.step()


def snapshot(sampler: NegativeSampler) -> dict[str, int]:
    """A hash of every parameter's bytes."""
    return {
        name: hash(parameter.detach().numpy().tobytes())
        for name, parameter in sampler.named_parameters()
    }


def seeded(**given: Any) -> DANS:
    """DANS with the weights of seed 0."""
    torch.manual_seed(0)
    return DANS(DIM, **given)


def named(sampler: NegativeSampler, name: str) -> Phase:
    """One of its phases."""
    return next(phase for phase in sampler.phases() if phase.name == name)


def offering(
    monkeypatch: pytest.MonkeyPatch, sampler: DANS | PublishedDANS, generated: dict[str, Any]
) -> None:
    """Let each pathway give what it is given, whatever the triples."""
    for name, pathway in sampler.pathways.items():

        def forward(
            _: Positives, side: Tensor, given: Any = generated[name]
        ) -> tuple[Tensor, None]:
            if isinstance(given, Tensor):
                return given.view(*side.shape, -1), None
            return torch.full((*side.shape, DIM), float(given)), None

        monkeypatch.setattr(pathway, "forward", forward)


def gradient(loss: Tensor, parameters: Any) -> Tensor:
    """All parameters' gradients, concatenated; zero for those the loss does not depend on."""
    found = torch.autograd.grad(loss, list(parameters), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


def recorded(sampler: NegativeSampler, kg: KnowledgeGraph) -> list[float]:
    """Three steps of its phases: the losses of each, then sum and sum of squares of its draw."""
    positives, _, _ = triples_as_embeddings(kg)
    optimizers = {p.name: torch.optim.Adam(p.parameters, lr=0.01) for p in sampler.phases()}
    torch.manual_seed(1)
    numbers: list[float] = []
    for _ in range(3):
        for phase in sampler.phases():
            for _ in range(phase.repeats):
                optimizers[phase.name].zero_grad()
                loss = phase.loss(positives.detach())
                loss.backward(inputs=list(phase.parameters))
                optimizers[phase.name].step()
            numbers.append(loss.item())
        drawn = sampler(positives).embeddings.detach().double()
        numbers += [drawn.sum().item(), drawn.square().sum().item()]
    return numbers


def base_loss(sampler: NegativeSampler, positives: Positives) -> Tensor:
    """What the model minimises with its negatives alone."""
    negatives = sampler(positives)
    loss: Tensor = Logistic()(positives.scores(), negatives.scores(positives), negatives.valid)
    return loss


class SamplerSuite:
    """A subclass in a test module runs every promise for every case."""

    @pytest.fixture(params=sorted(CASES))
    def case(self, request: pytest.FixtureRequest) -> str:
        case: str = request.param
        return case

    def test_some_entities_give_what_all_of_them_give(self, case: str, kg: KnowledgeGraph) -> None:
        (_, table, decoder), n = triples_as_embeddings(kg), kg.num_entities
        # Two triples, so that not every entity is one of theirs.
        triples, ids = kg.train[:2], Positives.of_ids(kg.train[:2], kg.num_entities)
        sampler = make(case, kg)
        if sampler.needs_all_entities:
            with pytest.raises(InputError, match=re.escape(sampler.needs_all_entities)):
                sampler.propose(ids)
            return
        torch.manual_seed(1)
        proposal = sampler.propose(ids)
        rows = torch.cat((triples[:, ::2].flatten(), *proposal.entities())).unique()
        some = Positives.from_embeddings(
            triples, table[rows], decoder, entity_ids=rows, num_entities=n
        )
        every = Positives.from_embeddings(triples, table, decoder)
        found = []
        for positives in (some, every):
            torch.manual_seed(0)
            own, batch = make(case, kg), replace(positives, proposal=proposal)
            own.load_state_dict(sampler.state_dict())
            torch.manual_seed(2)
            numbers = [phase.loss(batch.detach()).detach() for phase in own.phases()]
            negatives = own(batch)
            loss = negatives.scores(batch).square().sum() + sum(own.terms(batch).values())
            numbers += [*torch.autograd.grad(loss, table), *own.state_dict().values()]
            names = ("corrupt_head", "ids", "valid", "weights")
            found.append([*numbers, *(getattr(negatives, name) for name in names)])
        for one, other in zip(*found, strict=True):
            if isinstance(one, Tensor):
                torch.testing.assert_close(one, other)
            else:
                assert one is other is None

    def test_negatives_have_the_shapes_promised(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, _, _) = make(case, kg), triples_as_embeddings(kg)
        negatives = sampler(positives)
        assert negatives.embeddings.shape == (len(kg.train), sampler.k, DIM)
        assert negatives.corrupt_head.dtype == torch.bool
        assert negatives.ids is None or negatives.ids.dtype == torch.int64
        assert negatives.valid is None or negatives.valid.dtype == torch.bool

    def test_one_triple_is_a_batch(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, _, _) = make(case, kg), triples_as_embeddings(kg)
        one = positives.slice(3, 4)
        assert sampler(one).embeddings.isfinite().all()
        for phase in sampler.phases():
            update(phase, one)
        assert sampler(one).embeddings.isfinite().all()

    def test_numbers_are_double_where_torch_makes_doubles(
        self, case: str, kg: KnowledgeGraph
    ) -> None:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            sampler, (positives, _, _) = make(case, kg), triples_as_embeddings(kg)
            for phase in sampler.phases():
                update(phase, positives)
            found = [sampler(positives).embeddings, *sampler.terms(positives).values()]
        finally:
            torch.set_default_dtype(before)
        assert {numbers.dtype for numbers in found} == {torch.float64}

    def test_ids_index_the_embeddings_and_the_relation_stays(
        self, case: str, kg: KnowledgeGraph
    ) -> None:
        sampler, (positives, table, _) = make(case, kg), triples_as_embeddings(kg)
        negatives = sampler(positives)
        if negatives.ids is None:
            with pytest.raises(ValueError, match="generated"):
                negatives.triples(kg.train)
            return
        assert torch.equal(negatives.embeddings, table[negatives.ids])
        triples = negatives.triples(kg.train)
        true = kg.train.unsqueeze(1).expand_as(triples)
        side = negatives.corrupt_head
        assert torch.equal(triples[..., 1], true[..., 1])
        assert torch.equal(triples[..., 2][side], true[..., 2][side])
        assert torch.equal(triples[..., 0][~side], true[..., 0][~side])

    def test_both_sides_are_replaced(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, _, _) = make(case, kg), triples_as_embeddings(kg)
        share = sampler(positives).corrupt_head.double().mean()
        assert 0.2 < share < 0.8

    def test_expected_counts_are_the_means_of_the_counts(
        self, case: str, kg: KnowledgeGraph
    ) -> None:
        name, options = CASES[case]
        filters = {"filter": "mask"} if options.get("filter") != "none" else {}
        filters = {} if name in ("published_dans", "dans", "smile") else filters
        sampler, (positives, table, scorer) = make(case, kg, **filters), triples_as_embeddings(kg)
        if name in COUNTED and case != "frequency-weighted":
            assert not sampler.not_counted
        if sampler.not_counted:
            with pytest.raises(InputError, match=r"known|weighted|resample"):
                sampler.expected_counts(positives, kg.train, kg.train > 0, kg.train > 0)
            return
        # Every triple 400 times, in few batches; triples that share negatives once in each.
        copies = 1 if "shared_negatives" in options else 40
        triples = kg.train.repeat(copies, 1)
        positives = Positives.from_embeddings(triples, table, scorer)
        b, n = len(triples), len(table)
        everything = torch.arange(n).expand(b, n)
        counted, expected = torch.zeros(2, b, n), torch.zeros(2, b, n, dtype=torch.float64)
        torch.manual_seed(0)
        for _ in range(400 // copies):
            negatives = sampler(positives)
            assert negatives.ids is not None
            own = negatives.corrupt_head
            for side in (0, 1):
                counted[side].scatter_add_(1, negatives.ids, (own == bool(side)).float())
                which = torch.full((b, n), bool(side))
                expected[side] += sampler.expected_counts(positives, everything, which, own)
        counted, expected = (all.view(2, copies, -1, n).sum(1) for all in (counted, expected))
        for side, true in enumerate((kg.train[:, 2:], kg.train[:, :1])):
            counted[side].scatter_(1, true, 0), expected[side].scatter_(1, true, 0)
        # The variance of a count is at most its mean.
        noise = (expected + 1).sqrt()
        assert bool(((counted - expected).abs() < 6 * noise).all())
        assert bool((expected[counted > 0] > 0).all())

    def test_gradient_reaches_the_entities_drawn_and_no_generator(
        self, case: str, kg: KnowledgeGraph
    ) -> None:
        sampler, (positives, table, _) = make(case, kg), triples_as_embeddings(kg)
        if isinstance(sampler, PublishedDANS):
            assert sampler(positives).embeddings.requires_grad
            return
        negatives = sampler(positives)
        if negatives.ids is None:
            assert not negatives.embeddings.requires_grad
            return
        negatives.embeddings.sum().backward()
        assert table.grad is not None
        moved = table.grad.abs().sum(-1).nonzero().squeeze(1)
        assert torch.equal(moved, negatives.ids.unique())

    def test_dtype_is_kept(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, _, _) = make(case, kg), triples_as_embeddings(kg)
        double = changed(positives, Tensor.double)
        assert sampler.double()(double).embeddings.dtype == torch.float64

    def test_the_seed_determines_the_draws(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, _, _) = make(case, kg), triples_as_embeddings(kg)
        before = {name: value.clone() for name, value in sampler.state_dict().items()}
        drawn = []
        for seed in (1, 1, 2):
            sampler.load_state_dict(before)
            torch.manual_seed(seed)
            negatives = sampler(positives)
            drawn.append(negatives.embeddings.detach() + 2.0 * negatives.corrupt_head.unsqueeze(-1))
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])

    def test_state_dict_restores_the_draws(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, _, _) = make(case, kg), triples_as_embeddings(kg)
        for phase in sampler.phases():
            update(phase, positives)
        sampler(positives)
        other = make(case, kg)
        other.load_state_dict(sampler.state_dict())
        drawn = []
        for which in (sampler, other):
            torch.manual_seed(5)
            drawn.append(torch.cat([which(positives).embeddings.detach() for _ in range(3)]))
        assert torch.equal(*drawn)
        one, two = sampler.state_dict(), other.state_dict()
        assert all(torch.equal(value, two[name]) for name, value in one.items())

    def test_evaluation_changes_no_state(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, _, _) = make(case, kg).eval(), triples_as_embeddings(kg)
        before = {name: value.clone() for name, value in sampler.state_dict().items()}
        sampler(positives)
        for phase in sampler.phases():
            phase.loss(positives.detach())
        for name, value in sampler.state_dict().items():
            assert torch.equal(value, before[name]), name

    def test_phases_share_no_parameter_and_leave_none_out(
        self, case: str, kg: KnowledgeGraph
    ) -> None:
        sampler = make(case, kg)
        owned = [id(p) for phase in sampler.phases() for p in phase.parameters]
        assert len(owned) == len(set(owned))
        assert set(owned) == {id(p) for p in sampler.parameters()}
        names = [phase.name for phase in sampler.phases()]
        assert len(names) == len(set(names))

    def test_a_phase_moves_all_of_its_own_and_no_other(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, table, _) = make(case, kg), triples_as_embeddings(kg)
        named = {id(p): name for name, p in sampler.named_parameters()}
        for phase in sampler.phases():
            before = snapshot(sampler)
            # The layer before one that starts at zero moves from the second time on.
            update(phase, positives, times=2)
            after = snapshot(sampler)
            moved = {name for name in before if before[name] != after[name]}
            assert moved == {named[id(p)] for p in phase.parameters}
        assert table.grad is None

    def test_diagnosis_is_finite_and_changes_no_state(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, _, _) = make(case, kg), triples_as_embeddings(kg)
        sampler(positives)
        before, random = sampler.state_dict(), torch.get_rng_state()
        before = {name: value.clone() for name, value in before.items()}
        numbers = sampler.diagnose(positives)
        assert torch.equal(torch.get_rng_state(), random)
        assert sampler.training
        for name, value in sampler.state_dict().items():
            assert torch.equal(value, before[name]), name
        assert torch.tensor(list(numbers.values())).isfinite().all()

    def test_works_with_every_decoder(self, case: str, kg: KnowledgeGraph) -> None:
        for decoder in DECODERS:
            sampler, (positives, _, _) = make(case, kg), triples_as_embeddings(kg, decoder)
            if (case, decoder) == ("published_dans", "rescal"):
                # The program divides by relation embeddings, and a matrix is none.
                with pytest.raises(InputError, match="relation embeddings as wide as entities"):
                    sampler(positives)
                continue
            for phase in sampler.phases():
                update(phase, positives)
            assert sampler(positives).scores(positives).isfinite().all(), decoder

    def test_origins_are_named_negatives(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, _, _) = make(case, kg), triples_as_embeddings(kg)
        origins = sampler.eval().origins(positives)
        assert origins
        assert all(len(negatives.embeddings) == len(positives) for negatives in origins.values())

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_everything_stays_on_the_device_given(self, case: str, kg: KnowledgeGraph) -> None:
        sampler, (positives, _, scorer) = make(case, kg), triples_as_embeddings(kg)
        scorer.cuda()
        moved = replace(changed(positives, Tensor.cuda), triples=kg.train.cuda())
        sampler = sampler.cuda()
        for phase in sampler.phases():
            update(phase, moved)
        negatives = sampler(moved)
        assert negatives.embeddings.is_cuda
        assert negatives.corrupt_head.is_cuda
        sampler.diagnose(moved)
