"""Several runs answer as one, and say how far they differ."""

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import dans
from dans.cli.main import dispatch
from dans.data.graph import KnowledgeGraph, Split
from dans.errors import InputError
from dans.evaluation.calibration import Platt
from dans.evaluation.candidate_sets import Restriction
from dans.evaluation.classification import accuracy, thresholds
from dans.evaluation.relation_ranking import RelationPosterior
from dans.models.decoders import DistMult
from dans.predict import Predictor, Query
from dans.predict.answers import predict
from dans.predict.ensemble import Ensemble, Join, JointAnswer, JointTriple
from dans.predict.output_formats import QueryOptions
from dans.runs.evaluate_run import classification_table
from dans.runs.train import configure, train
from tests.suites.toy import RECIPE, lay


def member_of(kg: KnowledgeGraph, seed: int, **given: object) -> Predictor:
    torch.manual_seed(seed)
    decoder = DistMult(kg.num_relations, 4).double()
    entities = torch.randn(kg.num_entities, 4).double()
    return Predictor(kg, decoder, entities, **given)  # type: ignore[arg-type]


def places(member: Predictor, query: Query) -> dict[str, int]:
    return {answer.name: answer.rank for answer in member.predict([query], top=99)[0]}


@pytest.mark.parametrize(
    "query", [Query("ada", "owns"), Query(None, "near", "map"), Query("ada", None, "cup")]
)
def test_answers_have_the_mean_and_deviation_of_the_members_ranks(
    kg: KnowledgeGraph, query: Query
) -> None:
    members = [member_of(kg, seed) for seed in range(3)]
    ensemble = Ensemble(members, join="ranks")
    each = [places(member, query) for member in members]
    answers = ensemble.predict([query, query], top=99)[1]
    assert len(answers) == len(each[0])
    for answer in answers:
        assert isinstance(answer, JointAnswer)
        ranks = [one[answer.name] for one in each]
        assert answer.mean_rank == pytest.approx(statistics.fmean(ranks))
        assert answer.rank_std == pytest.approx(statistics.stdev(ranks))
        assert answer.score == pytest.approx(-answer.mean_rank)
        assert answer.probability is answer.probability_std is None
    assert [a.mean_rank for a in answers] == sorted(a.mean_rank for a in answers)  # type: ignore[attr-defined]
    new = ensemble.predict([query], top=2, new_only=True)[0]
    assert [a.name for a in new] == [a.name for a in answers if not a.known][:2]


def test_probabilities_are_means_of_the_members(kg: KnowledgeGraph) -> None:
    members = [member_of(kg, seed, calibration=Platt(1.0 + seed, 0.5)) for seed in range(2)]
    ensemble = Ensemble(members)
    assert ensemble.join == "probabilities"
    (triple,) = ensemble.rank([("ada", "owns", "map")])
    each = [member.rank([("ada", "owns", "map")])[0] for member in members]
    assert isinstance(triple, JointTriple)
    numbers = [one.probability or 0.0 for one in each]
    assert triple.probability == triple.score == pytest.approx(statistics.fmean(numbers))
    assert triple.probability_std == pytest.approx(statistics.stdev(numbers))
    tails = [one.tail_rank or 0.0 for one in each]
    assert triple.tail_rank_std == pytest.approx(statistics.stdev(tails))
    (answer,) = [a for a in ensemble.tails("ada", "owns", top=99) if a.name == "map"]
    assert answer.score == answer.probability == pytest.approx(triple.probability)


def test_relations_are_averaged_by_their_posteriors(kg: KnowledgeGraph) -> None:
    members = [member_of(kg, seed, calibration=Platt(1.0, 0.5)) for seed in range(2)]
    for member in members:
        member.posterior = RelationPosterior(kg, member.decoder, member.entities)
    answers = Ensemble(members).relations("ada", "cup")
    found = {a.name: a.score for a in answers}
    assert {(a.probability, a.probability_std) for a in answers} == {(None, None)}  # type: ignore[attr-defined]
    each = [{a.name: a.score for a in member.relations("ada", "cup")} for member in members]
    for name in kg.relations.names:
        expected = statistics.fmean(math.exp(one[name]) for one in each)
        assert found[name] == pytest.approx(expected)


@pytest.mark.parametrize("among", [None, "all", "domain-range", ["ada", "cup", "map"]], ids=str)
def test_evaluation_ranks_as_queries_do(kg: KnowledgeGraph, among: Any) -> None:
    members = [member_of(kg, seed) for seed in range(3)]
    ensemble = Ensemble(members)
    assert ensemble.join == "z-scores"
    names = [(kg.entities[h], kg.relations[r], kg.entities[t]) for h, r, t in kg.test.tolist()]
    found = ensemble.rank(names, among=among)
    ranks = [rank or 0.0 for one in found for rank in (one.head_rank, one.tail_rank)]
    mrr = statistics.fmean(1 / rank for rank in ranks)
    report = ensemble.evaluate("test", among=among)
    restricted = among not in (None, "all")
    assert report.both["restricted_" * restricted + "mrr"] == pytest.approx(mrr)
    assert ("candidates" in report.protocol) == restricted
    members[1].entities[kg.entities.index("map")] = torch.nan
    with pytest.raises(FloatingPointError, match="'map' is NaN"):
        ensemble.evaluate("test", among=among)


@pytest.fixture
def labelled(kg: KnowledgeGraph) -> KnowledgeGraph:
    """With a line labelled false for each of the others, turned round."""

    def both(split: Split) -> tuple[torch.Tensor, torch.Tensor]:
        own = kg.split(split)
        return torch.cat((own, own.flip(1))), torch.arange(2 * len(own)) < len(own)

    return replace(kg, labelled={"valid": both("valid"), "test": both("test")})


@pytest.mark.parametrize("join", ["probabilities", "ranks"])
def test_labelled_lines_are_classified_by_the_mean_of_the_members_probabilities(
    labelled: KnowledgeGraph, join: Join
) -> None:
    platts = Platt(1.0, 0.5), Platt(60.0, -0.5)
    members = [member_of(labelled, i, calibration=own) for i, own in enumerate(platts)]
    ensemble = Ensemble(members, join=join)
    found = ensemble.evaluate("test").details["classification"]

    def mean_of(lines: torch.Tensor) -> torch.Tensor:
        pairs = zip(members, platts, strict=True)
        return torch.stack([own.probabilities(m._logits(lines)) for m, own in pairs]).mean(0)

    lines, holds = labelled.lines("test")
    mean = mean_of(lines)
    assert found["brier"] == pytest.approx(float((mean - holds.double()).square().mean()))
    own, truth = labelled.lines("valid")
    cuts = thresholds(mean_of(own), truth, own[:, 1], labelled.num_relations)
    assert found["accuracy"] == accuracy(mean, holds, cuts[lines[:, 1]])
    assert "optimistic" not in found
    assert ensemble.evaluate("valid").details["classification"]["optimistic"]
    assert classification_table(found)[1].startswith("mean of members")


def test_labelled_lines_are_not_classified_without_a_calibration_on_such(
    labelled: KnowledgeGraph, caplog: pytest.LogCaptureFixture
) -> None:
    platt = Platt(1.0, 0.5)
    for without in (member_of(labelled, 1), member_of(labelled, 1, calibration=platt, drawn=True)):
        caplog.clear()
        ensemble = Ensemble([member_of(labelled, 0, calibration=platt), without])
        assert not ensemble.evaluate("test").details
        assert "test: labelled lines are not classified: a member has no cal" in caplog.text


def test_members_of_other_triples_are_refused_with_what_differs(kg: KnowledgeGraph) -> None:
    lines = [("ada", "knows", "bob"), ("bob", "knows", "cy")]
    one = member_of(KnowledgeGraph.of(lines), 0)
    for other, said in (
        ([("ada", "knows", "bob")], "lacks the entity 'cy'"),
        ([*lines, ("dot", "knows", "cy")], "has more: the entity 'dot'"),
        ([(h, "owns", t) for h, _, t in lines], "lacks the relation 'knows'"),
        ([*lines, ("cy", "knows", "ada")], "3 triples in train, the first run 2"),
        (lines[::-1], "in another order"),
    ):
        with pytest.raises(InputError, match=said):
            Ensemble([one, member_of(KnowledgeGraph.of(other), 0)])
    with pytest.raises(InputError, match="two runs or more, got 1"):
        Ensemble([one])
    with pytest.raises(InputError, match="probabilities need a calibration of every member"):
        Ensemble([one, one], join="probabilities")


def test_from_the_command_and_from_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "toy"
    lay(data)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(data=data), "utf-8")
    runs = [tmp_path / f"run{seed}" for seed in range(2)]
    for seed, where in enumerate(runs):
        settings = [f"train.seed={seed}", "train.steps=2"]
        train(configure(recipe, [*settings, "train.validate_every=2"]), where)
    ensemble = dans.Ensemble(runs)
    assert ensemble.score([]) == []
    report = ensemble.evaluate("valid")
    words = [*map(str, runs)]
    dispatch(["evaluate", *words, "--ensemble", "--split", "valid"])
    assert capsys.readouterr().out.strip() == str(report)
    dispatch(["evaluate", *words, "--ensemble", "--among", "domain-range"])
    assert "restricted_mrr" in capsys.readouterr().out
    name, relation = ensemble.predictor.kg.entities[0], ensemble.predictor.kg.relations[0]
    dispatch(["predict", *words, "--head", name, "--relation", relation, "--top", "2"])
    out = capsys.readouterr().out
    assert repr(ensemble.predict(name, relation, top=2)) in out
    assert "mean_rank  rank_std" in out
    dispatch(["predict", *words, "--head", name, "--relation", relation, "--csv"])
    assert "mean_rank,rank_std" in capsys.readouterr().out.splitlines()[0]
    for wrong in (words, [words[0], "--join", "ranks"], [*words, "--ensemble", "--types"]):
        with pytest.raises(InputError, match="--ensemble"):
            dispatch(["evaluate", *wrong])
    with pytest.raises(InputError, match="seed: has no effect unless something is drawn"):
        dispatch(["evaluate", *words, "--ensemble", "--seed", "3"])
    with pytest.raises(InputError, match="among: restricts heads and tails"):
        ensemble.predict(name, None, name, among="domain-range")
    assert repr(ensemble) == f"Ensemble({runs[0]}, {runs[1]})"
    for wrong, why in (([], "two runs or more, got 0"), ([runs[0], tmp_path / "none"], "none")):
        with pytest.raises(InputError, match=why):
            dans.Ensemble(wrong)
    with pytest.raises(InputError, match=r"join: known: ranks, .* got 'mean'"):
        dans.Ensemble(runs, join="mean")
    with pytest.raises(InputError, match="named twice"):
        dispatch(["predict", words[0], words[0], "--head", name, "--relation", relation])


@pytest.mark.filterwarnings("error")
def test_an_ensemble_of_calibrated_members_says_once_what_probabilities_are_of(
    kg: KnowledgeGraph,
) -> None:
    members = [member_of(kg, s, calibration=Platt(1.0, 0.5), drawn=True) for s in range(2)]
    ensemble = Ensemble(members)
    assert ensemble.about.count("as many drawn negatives") == 1
    # No whole triple is asked for, and none is scored.
    (answers,) = predict(ensemble, [Query("ada", "owns")], QueryOptions(top=2))
    assert isinstance(answers, list)
    assert answers[0].probability is not None
    assert ensemble.rank([]) == []


def test_candidates_are_those_of_the_recipes_where_these_agree(kg: KnowledgeGraph) -> None:
    domains, some = Restriction("domain-range"), Restriction(["ada", "cup"])
    for first, second, agreed in (
        (domains, domains, "domain-range"),
        (some, Restriction(["cup", "ada"]), ["ada", "cup"]),
        (None, Restriction("all"), "all"),
    ):
        restrictions = zip(range(2), (first, second), strict=True)
        ensemble = Ensemble([member_of(kg, s, restriction=one) for s, one in restrictions])
        assert ensemble.evaluate("test") == ensemble.evaluate("test", among=agreed)
    assert "restricted_mrr" in ensemble.evaluate("test", among="domain-range").both
    for first, second in ((domains, some), (None, domains), (domains, None)):
        restrictions = zip(range(2), (first, second), strict=True)
        ensemble = Ensemble([member_of(kg, s, restriction=one) for s, one in restrictions])
        with pytest.raises(InputError, match="that of the first run otherwise; choose by --among"):
            ensemble.evaluate("test")
