"""Every sampler against the suite, and mixtures of them."""

from dataclasses import replace

import pytest
import torch

from baselines.assembly import SAMPLERS
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Negatives, Positives
from dans.samplers import DANS, Mixture, SelfLoop, Uniform
from tests.suites.samplers import CASES, DIM, SamplerSuite, make, triples_as_embeddings


class TestEverySampler(SamplerSuite):
    """All of the table, and the settings that matter."""


def test_no_sampler_escapes_the_suite() -> None:
    assert {name for name, _ in CASES.values()} == set(SAMPLERS)


def test_a_mixture_concatenates_negatives(kg: KnowledgeGraph) -> None:
    positives, table, _ = triples_as_embeddings(kg)
    mixture = Mixture(Uniform(k=3), SelfLoop(k=2))
    negatives = mixture(positives)
    assert mixture.k == 5
    assert negatives.valid is None
    assert torch.equal(negatives.embeddings, table[negatives.ids])
    uncorrupted = torch.where(negatives.corrupt_head, kg.train[:, 2:], kg.train[:, :1])
    assert torch.equal(negatives.ids[:, 3:], uncorrupted[:, 3:])


def test_a_mixture_has_partial_ids_where_some_were_generated(kg: KnowledgeGraph) -> None:
    positives, table, _ = triples_as_embeddings(kg)
    inner = Mixture(DANS(DIM, k=1), SelfLoop(k=1))
    for mixture in (Mixture(Uniform(k=3), inner), Mixture(Mixture(Uniform(k=3)), inner)):
        negatives = mixture(positives)
        ids = negatives.partial_ids
        assert negatives.ids is None
        assert ids.lt(0).tolist() == [[False] * 3 + [True] * 2 + [False]] * len(positives)
        assert torch.equal(negatives.embeddings[ids >= 0], table[ids[ids >= 0]])
    assert Mixture(Uniform(k=3), SelfLoop(k=1))(positives).partial_ids is None
    assert Mixture(DANS(DIM, k=1))(positives).partial_ids is None


def test_a_mixture_masks_the_negatives_of_the_member_that_does(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    known = kg.known(("train",))
    negatives = Mixture(SelfLoop(k=2), Uniform(k=20, filter="mask", known=known))(positives)
    assert negatives.valid[:, :2].all()
    assert not negatives.valid[:, 2:].all()


def test_what_a_member_masks_another_alone_is_expected_to_draw(kg: KnowledgeGraph) -> None:
    positives, table, _ = triples_as_embeddings(kg)
    masking = Uniform(k=20, filter="mask", known=kg.known(("train",)))
    free, b, n = Uniform(k=5), len(kg.train), len(table)
    mixture, everything = Mixture(masking, free), torch.arange(n).expand(b, n)
    tails = torch.zeros(b, n, dtype=torch.bool)
    own = tails.new_zeros(b, mixture.k)
    counts = mixture.expected_counts(positives, everything, tails, own) * (n - 1)
    known = kg.known(("train",)).is_known_corrupted(kg.train, everything, tails)
    assert known.any()
    assert counts[known] == pytest.approx(5)
    assert counts[~known] == pytest.approx(25)
    # Each heeds its own filter: one the triples of train, the other those of all splits.
    other = Uniform(k=5, filter="mask", known=kg.known())
    counts = Mixture(masking, other).expected_counts(positives, everything, tails, own) * (n - 1)
    held = kg.known().is_known_corrupted(kg.train, everything, tails)
    assert (held & ~known).any()
    assert (known <= held).all()
    assert counts[known] == pytest.approx(0)
    assert counts[held & ~known] == pytest.approx(20)
    assert counts[~held] == pytest.approx(25)
    alike = Mixture(masking, Uniform(k=5, filter="mask", known=masking.known))
    assert (alike.expected_counts(positives, everything, tails, own) > 0).all()


def test_a_mixture_learns_and_reports_what_its_members_do(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    mixture = Mixture(Uniform(k=3), DANS(DIM, k=1))
    assert [phase.name for phase in mixture.phases()] == [
        "entity_pathway",
        "relation_pathway",
        "discriminator",
    ]
    assert "discriminator_auc" in mixture.diagnose(positives)
    assert set(mixture.origins(positives)) == {"uniform", "entity pathway", "relation pathway"}
    alike = [make(name, kg) for name in ("kbgan", "igan")]
    names = ["reward", "entropy", "reward_2", "entropy_2"]
    assert list(Mixture(*alike).diagnose(positives)) == names


def test_generated_embeddings_of_a_mixture_bear_the_names_of_what_is_offered_for_them(
    kg: KnowledgeGraph,
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    members = [DANS(DIM, k=1, decode="nearest") for _ in range(2)]
    mixture = Mixture(Uniform(k=3), *members, DANS(DIM, k=1, pathways="entity"))
    named = [f"{which} pathway{end}" for end in ("", " 3") for which in ("entity", "relation")]
    assert list(mixture.generated(positives)) == named
    assert set(mixture.origins(positives)) == {"uniform", *named, "entity pathway 4"}


def test_a_mixture_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Mixture()


def test_a_sampler_is_built_by_name_with_its_options(kg: KnowledgeGraph) -> None:
    assert isinstance(make("uniform", kg, k=7), Uniform)
    assert make("published_dans", kg, k=3).k == 6


class Weighing(Uniform):
    """Uniform negatives of weight ½, and an auxiliary loss."""

    def forward(self, positives: Positives) -> Negatives:
        negatives = super().forward(positives)
        return replace(negatives, weights=torch.full(negatives.corrupt_head.shape, 0.5))

    def terms(self, positives: Positives) -> dict[str, torch.Tensor]:
        return {"own": positives.h.sum()}


class Twins(Uniform):
    """Twice the negatives that its k says."""

    def forward(self, positives: Positives) -> Negatives:
        two = [super(Twins, self).forward(positives) for _ in range(2)]
        heads = torch.cat([one.corrupt_head for one in two], dim=1)
        return Negatives(torch.cat([one.embeddings for one in two], dim=1), heads)


class Narrow(Uniform):
    """Negatives with fewer numbers than the entities have."""

    def forward(self, positives: Positives) -> Negatives:
        negatives = super().forward(positives)
        return replace(negatives, embeddings=negatives.embeddings[..., 1:])


def test_negatives_of_another_width_are_refused(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    b, d = positives.h.shape
    found = rf"sampler: narrow returned \({b}, 3, {d - 1}\) embeddings; expected \({b}, 3, {d}\)"
    with pytest.raises(InputError, match=found):
        Narrow(k=3)(positives)


def test_other_than_k_negatives_for_each_triple_are_refused(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    b = len(positives)
    expected = rf"sampler: twins returned \({b}, 6\) negatives; expected \({b}, 3\): k = 3 for each"
    for sampler in (Twins(k=3), Mixture(Uniform(k=2), Twins(k=3))):
        with pytest.raises(InputError, match=expected):
            sampler(positives)
    with pytest.raises(InputError, match="sampler: uniform returned None; expected Negatives"):
        type("Uniform", (Twins,), {"forward": lambda *_: None})(k=3)(positives)
    nameless = Uniform(k=3)
    del nameless.k
    with pytest.raises(InputError, match="sampler: uniform has no k, the number of its negatives"):
        nameless(positives)


def test_a_mixture_joins_weights_and_terms_and_refuses_names_that_clash(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    mixture = Mixture(Uniform(k=2), Weighing(k=1))
    negatives = mixture(positives)
    assert negatives.weights[0].tolist() == [1.0, 1.0, 0.5]
    assert mixture.terms(positives).keys() == {"own"}
    with pytest.raises(InputError, match="share a phase name"):
        Mixture(DANS(DIM), DANS(DIM)).phases()
    with pytest.raises(InputError, match="share a term"):
        Mixture(Weighing(k=1), Weighing(k=1)).terms(positives)
