"""Predictions are what the decoder scores and the evaluator ranks."""

import logging
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from baselines import assembly as baselines
from dans.data.graph import KnowledgeGraph
from dans.data.message_graph import MessageGraph
from dans.errors import InputError, install_command
from dans.evaluation.calibration import Platt
from dans.evaluation.candidate_sets import CandidateSets, Restriction
from dans.evaluation.classifier import logits
from dans.evaluation.evaluator import Evaluator
from dans.evaluation.relation_ranking import RelationPosterior
from dans.evaluation.restricted_ranking import RestrictedEvaluator
from dans.memory import Budget
from dans.models.decoders import DECODERS, Decoder, DistMult
from dans.predict import Answer, Predictor, Query
from dans.predict.output_formats import QueryOptions, Table
from dans.registry import build
from dans.runs.evaluate_run import evaluate, probabilities
from dans.runs.train import configure, load, train
from tests.suites.labelled import labelled_recipe
from tests.suites.toy import RECIPE, lay

CODERS = [(name, reciprocal) for name in DECODERS for reciprocal in (False, True)]


def decoder_of(kg: KnowledgeGraph, name: str, *, reciprocal: bool = False) -> Decoder:
    torch.manual_seed(0)
    given = {"reciprocal": reciprocal}
    built = build(DECODERS, name, given=given, num_relations=kg.num_relations, dim=6)
    return built.double().eval()


def predictor_of(kg: KnowledgeGraph, name: str = "distmult", **given: bool) -> Predictor:
    decoder = decoder_of(kg, name, **given)
    return Predictor(kg, decoder, torch.randn(kg.num_entities, 6, dtype=torch.float64))


def level(kg: KnowledgeGraph, scores: Sequence[float], **given: object) -> Predictor:
    """A model by which an entity's score is a number of its own, whatever the query."""
    decoder = DistMult(num_relations=kg.num_relations, dim=2)
    decoder.relation.weight.data[:] = torch.tensor([1.0, 0.0])
    entities = torch.tensor([[1.0, score] for score in scores])
    decoder.tail_query = lambda h, r: torch.tensor([0.0, 1.0]).expand(len(h), 2)  # type: ignore[method-assign]
    return Predictor(kg, decoder, entities, **given)  # type: ignore[arg-type]


def names(answers: Sequence[Answer]) -> list[str]:
    return [answer.name for answer in answers]


@pytest.mark.parametrize(("name", "reciprocal"), CODERS)
def test_ranks_are_those_of_evaluation(kg: KnowledgeGraph, name: str, reciprocal: bool) -> None:
    predictor = predictor_of(kg, name, reciprocal=reciprocal)
    evaluator = Evaluator(kg, "test")
    ranks = evaluator.ranks(predictor.decoder, predictor.entities)
    assert torch.equal(ranks.optimistic, ranks.pessimistic), "no ties, so that there is one answer"
    triples = [(kg.entities[h], kg.relations[r], kg.entities[t]) for h, r, t in kg.test.tolist()]
    for triple, expected in zip(predictor.rank(triples), ranks.realistic.tolist(), strict=True):
        assert [triple.head_rank, triple.tail_rank] == expected
    for (head, relation, tail), (head_rank, tail_rank) in zip(
        triples, ranks.realistic.tolist(), strict=True
    ):
        sides = (
            (predictor.heads(relation, tail, top=99), head, head_rank),
            (predictor.tails(head, relation, top=99), tail, tail_rank),
        )
        for answers, truth, rank in sides:
            # Its place among the answers that are not known, and itself.
            negatives = [a.name for a in answers if not a.known or a.name == truth]
            assert negatives.index(truth) + 1 == rank


@pytest.mark.parametrize(("name", "reciprocal"), CODERS)
def test_scores_are_those_of_the_decoder(kg: KnowledgeGraph, name: str, reciprocal: bool) -> None:
    predictor = predictor_of(kg, name, reciprocal=reciprocal)
    h, r, t = predictor.entities[[0]], torch.tensor([1]), predictor.entities[[2]]
    decoder = predictor.decoder
    with torch.no_grad():
        forwards = decoder.score_query(decoder.tail_queries(h, r), t).item()
        backwards = decoder.score_query(decoder.head_queries(r, t), h).item()
    head, relation, tail = kg.entities[0], kg.relations[1], kg.entities[2]
    (listed,) = [a for a in predictor.tails(head, relation, top=99) if a.name == tail]
    assert listed.score == pytest.approx(forwards)
    (listed,) = [a for a in predictor.heads(relation, tail, top=99) if a.name == head]
    assert listed.score == pytest.approx(backwards)
    (listed,) = [a for a in predictor.relations(head, tail, top=99) if a.name == relation]
    assert listed.score == pytest.approx(forwards)
    expected = (forwards + backwards) / 2
    assert predictor.score([(head, relation, tail)])[0].score == pytest.approx(expected)


@pytest.mark.parametrize("among", ["domain-range", ["ada", "bob", "map"]], ids=str)
def test_answers_among_some_are_those_of_all_that_are_candidates(
    kg: KnowledgeGraph, among: str | list[str]
) -> None:
    predictor = predictor_of(kg, "complex")
    sets = Restriction(among).sets(kg)
    queries = [Query("ada", "owns"), Query(None, "near", "map"), Query("ada", None, "bob")]
    for new_only in (False, True):
        every = predictor.predict(queries, top=99, new_only=new_only)
        some = predictor.predict(queries, top=99, new_only=new_only, among=among)
        for slot, all_of_it, found in zip((3, 4), every, some, strict=False):
            inside = ~sets.excluded(torch.tensor([slot]))[0]
            left = [a for a in all_of_it if inside[kg.entities.index(a.name)]]
            assert names(found) == names(left)
            assert [a.score for a in found] == pytest.approx([a.score for a in left])
            assert [a.known for a in found] == [a.known for a in left]
            assert [a.rank for a in found] == list(range(1, len(found) + 1))
        assert some[2] == every[2], "relations are not restricted"
    triples = [(kg.entities[h], kg.relations[r], kg.entities[t]) for h, r, t in kg.test.tolist()]
    ranks = RestrictedEvaluator(kg, "test", sets).ranks(predictor.decoder, predictor.entities)
    found_ranks = [[a.head_rank, a.tail_rank] for a in predictor.rank(triples, among=sets)]
    assert found_ranks == ranks.realistic.tolist()


def test_answers_are_sorted_and_numbered(kg: KnowledgeGraph) -> None:
    answers = predictor_of(kg).tails("ada", "owns", top=5)
    assert [answer.rank for answer in answers] == [1, 2, 3, 4, 5]
    scores = [answer.score for answer in answers]
    assert scores == sorted(scores, reverse=True)
    everyone = predictor_of(kg).tails("ada", "owns", top=99)
    assert sorted(names(everyone)) == sorted(kg.entities.names)
    assert names(everyone[:5]) == names(answers)


def test_known_answers_name_their_splits(kg: KnowledgeGraph) -> None:
    known = {a.name: a.known for a in predictor_of(kg).tails("ada", "owns", top=99)}
    assert (known["tea"], known["cup"], known["map"]) == (("train",), ("valid",), ("test",))
    assert known["gus"] == ()
    both = KnowledgeGraph.of([("a", "r", "b")], test=[("a", "r", "b")])
    assert predictor_of(both).score([("a", "r", "b")])[0].known == ("train", "test")
    between = {a.name: a.known for a in predictor_of(kg).relations("ada", "cup")}
    assert between == {"knows": (), "owns": ("valid",), "near": ()}


@pytest.mark.parametrize("target", ["heads", "relations", "tails"])
def test_new_only_leaves_out_what_is_known_and_nothing_else(
    kg: KnowledgeGraph, target: str
) -> None:
    predictor = predictor_of(kg)
    query = {
        "heads": Query(relation="knows", tail="bob"),
        "relations": Query(head="ada", tail="cup"),
        "tails": Query("ada", "owns"),
    }[target]
    (everything,) = predictor.predict([query], top=99)
    (new,) = predictor.predict([query], top=99, new_only=True)
    assert any(answer.known for answer in everything)
    assert names(new) == [answer.name for answer in everything if not answer.known]
    assert [answer.rank for answer in new] == list(range(1, len(new) + 1))
    (two,) = predictor.predict([query], top=2, new_only=True)
    assert two == new[:2]


@pytest.mark.parametrize("top", [1, 2, 3, 5, 99])
def test_of_equal_scores_the_smaller_id_comes_first(kg: KnowledgeGraph, top: int) -> None:
    predictor = level(kg, [1.0, 2.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0])
    expected = [kg.entities[i] for i in (1, 3, 7, 0, 2, 4, 6, 5)]
    assert names(predictor.tails("ada", "near", top=top)) == expected[:top]


def test_ties_of_a_rank_count_half_as_in_evaluation(kg: KnowledgeGraph) -> None:
    predictor = level(kg, [1.0, 2.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0])
    triples = [("ada", "near", kg.entities[i]) for i in (1, 3, 7, 0, 2, 4, 6, 5)]
    assert [triple.tail_rank for triple in predictor.rank(triples)] == [2.0] * 3 + [5.5] * 4 + [8.0]
    constant = level(kg, [1.0] * 8)
    decoder, entities = constant.decoder, torch.zeros_like(constant.entities)
    expected = Evaluator(kg, "test").ranks(decoder, entities).realistic.tolist()
    triples = [(kg.entities[h], kg.relations[r], kg.entities[t]) for h, r, t in kg.test.tolist()]
    ranked = Predictor(kg, decoder, entities).rank(triples)
    assert [[triple.head_rank, triple.tail_rank] for triple in ranked] == expected


def test_entities_with_equal_embeddings_have_equal_scores() -> None:
    count = 1001
    kg = KnowledgeGraph.of([(f"e{i}", "r", f"e{i + 1}") for i in range(count - 1)])
    torch.manual_seed(0)
    entities = torch.randn(1, 50).repeat(count, 1)
    predictor = Predictor(kg, DistMult(num_relations=1, dim=50), entities)
    assert names(predictor.tails("e7", "r", top=count)) == list(kg.entities.names)


@pytest.fixture(scope="module")
def wide() -> KnowledgeGraph:
    """So many entities that a budget matters."""
    return KnowledgeGraph.of([(f"e{i}", f"r{i % 2}", f"e{i * 7 % 3000}") for i in range(3000)])


@pytest.mark.parametrize("name", list(DECODERS))
def test_answers_depend_neither_on_the_budget_nor_on_other_queries(
    wide: KnowledgeGraph, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = predictor_of(wide, name)
    few = Predictor(wide, usual.decoder, usual.entities, budget=Budget(9_000_000))
    queries = [Query(f"e{i}", "r0") for i in range(60)]
    queries += [Query(relation="r1", tail="e7"), Query(head="e1", tail="e2")]
    held = watch(few, monkeypatch)
    together = few.predict(queries, top=4)
    assert sum(held) == len(queries)
    assert len(held) > 3
    assert max(held) * 8 * wide.num_entities < 9_000_000
    for i in (0, 59, 60, 61):
        (alone,) = usual.predict([queries[i]], top=4)
        assert names(together[i]) == names(alone)
        assert [a.score for a in together[i]] == pytest.approx([a.score for a in alone])
    triples = [(f"e{i}", "r0", "e5") for i in range(40)]
    ranks = [
        [(f.head_rank, f.tail_rank) for f in predictor.rank(triples)] for predictor in (few, usual)
    ]
    assert ranks[0] == ranks[1]


def watch(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries are scored at a time, from here on."""
    held, scores = [], predictor._scores

    def watched(ids: Tensor, column: int, sets: CandidateSets | None) -> Tensor:
        held.append(len(ids))
        return scores(ids, column, sets)

    monkeypatch.setattr(predictor, "_scores", watched)
    return held


def test_a_budget_that_holds_no_query_is_refused(kg: KnowledgeGraph) -> None:
    predictor = predictor_of(kg)
    predictor.budget = Budget(10)
    with pytest.raises(InputError, match="memory_budget: expected at least"):
        predictor.tails("ada", "owns")


def test_memory_that_gives_out_changes_no_answer(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = predictor_of(kg)
    queries = [Query("ada", "owns"), Query("bob", "owns"), Query("cy", "owns")]
    expected, scores = predictor.predict(queries), predictor._scores

    def scarce(ids: Tensor, column: int, sets: CandidateSets | None) -> Tensor:
        if len(ids) > 1:
            raise MemoryError
        return scores(ids, column, sets)

    monkeypatch.setattr(predictor, "_scores", scarce)
    assert [names(answers) for answers in predictor.predict(queries)] == [
        names(a) for a in expected
    ]


def test_nothing_is_dropped_and_modes_stay(kg: KnowledgeGraph) -> None:
    given = {"dropout": 0.5}
    decoder = build(DECODERS, "distmult", given=given, num_relations=3, dim=6).train()
    predictor = Predictor(kg, decoder, torch.randn(kg.num_entities, 6))
    assert predictor.tails("ada", "owns") == predictor.tails("ada", "owns")
    assert decoder.training


def test_probabilities_are_calibrated_or_absent(kg: KnowledgeGraph) -> None:
    predictor = predictor_of(kg)
    assert {a.probability for a in predictor.tails("ada", "owns")} == {None}
    calibrated = Predictor(
        kg, predictor.decoder, predictor.entities, calibration=Platt(a=2.0, b=-1.0)
    )
    for answer in calibrated.tails("ada", "owns"):
        expected = 1 / (1 + math.exp(1 - 2 * answer.score))
        assert answer.probability == pytest.approx(expected)


def test_probability_with_reciprocal_relations_is_of_the_mean_of_both(kg: KnowledgeGraph) -> None:
    predictor = predictor_of(kg, reciprocal=True)
    predictor.calibration = Platt(a=2.0, b=-1.0)
    listed = predictor.tails("ada", "owns", top=1)[0]
    triple = predictor.score([("ada", "owns", listed.name)])[0]
    assert listed.score != pytest.approx(triple.score)
    assert listed.probability == triple.probability


def test_a_relation_has_the_probability_of_its_score_and_no_other(kg: KnowledgeGraph) -> None:
    predictor = predictor_of(kg)
    predictor.calibration = Platt(a=2.0, b=-1.0)
    options = QueryOptions(top=kg.num_relations)
    query = Query("ada", tail="bob")
    by_scores = predictor.relations("ada", "bob")
    assert None not in {answer.probability for answer in by_scores}, "those of training compare"
    assert "score  probability" in Table(predictor, options).text(query, by_scores)
    predictor.posterior = RelationPosterior(kg, predictor.decoder, predictor.entities)
    answers = predictor.relations("ada", "bob")
    assert sum(math.exp(answer.score) for answer in answers) == pytest.approx(1)
    assert {answer.probability for answer in answers} == {None}
    heading = Table(predictor, options).text(query, answers).splitlines()[2]
    assert heading.endswith("log p(r | h, t)  known")
    # Tails and triples keep that of the calibration.
    assert predictor.tails("ada", "knows")[0].probability is not None
    assert predictor.score([("ada", "knows", "bob")])[0].probability is not None


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (("adda", "knows", None), "head: unknown name 'adda'; did you mean 'ada'?"),
        (("ada", "know", None), "relation: unknown name 'know'; did you mean 'knows'?"),
        ((None, "knows", "BOB"), "tail: unknown name 'BOB'; did you mean 'bob'?"),
        (("ada", None, ""), "tail: unknown name ''"),
        ((None, None, "ada"), "head and relation are left open"),
        (("ada", "knows", 3), "tail: expected a name, got 3"),
        (("ada", "knows", "bob"), "a whole triple is no query"),
    ],
)
def test_queries_that_cannot_be_answered_are_refused(
    kg: KnowledgeGraph, parts: tuple[str, str, str], sentence: str
) -> None:
    with pytest.raises(InputError) as refusal:
        predictor_of(kg).predict([Query(*parts)])
    assert sentence in str(refusal.value)


def test_wrong_triples_and_tops_are_refused(kg: KnowledgeGraph) -> None:
    predictor = predictor_of(kg)
    good = ("ada", "knows", "bob")
    with pytest.raises(InputError, match=r"triples\[1\]: tail: unknown name 'bop'"):
        predictor.score([good, ("ada", "knows", "bop")])
    for wrong in (("ada", "knows"), "abc", ("ada", "knows", None)):
        with pytest.raises(InputError, match=r"triples\[0\]: (expected three names|a missing)"):
            predictor.rank([wrong])
    with pytest.raises(InputError, match="top: expected at least 1, got 0"):
        predictor.tails("ada", "knows", top=0)


def test_no_queries_have_no_answers(kg: KnowledgeGraph) -> None:
    predictor = predictor_of(kg)
    assert predictor.predict([]) == predictor.score([]) == predictor.rank([]) == []
    for empty in ("", b""):
        with pytest.raises(InputError, match="triples: expected a"):
            predictor.score(empty)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_refused(kg: KnowledgeGraph, wrong: float) -> None:
    predictor = level(kg, [0.0, 1.0, wrong, 3.0, 4.0, 5.0, 6.0, 7.0])
    with pytest.raises(FloatingPointError, match=f"the score of {kg.entities[2]!r} is"):
        predictor.tails("bob", "near")
    with pytest.raises(FloatingPointError):
        predictor.rank([("bob", "near", "cy")])
    with pytest.raises(FloatingPointError, match="no finite number"):
        predictor.score([("bob", "near", kg.entities[2])])


def test_large_finite_scores_are_numbers(kg: KnowledgeGraph) -> None:
    predictor = level(kg, [3e38, 2e38, 3e38, 1e38, 0.0, 0.0, 0.0, 0.0])
    assert names(predictor.tails("bob", "near", top=3)) == [kg.entities[i] for i in (0, 2, 1)]


SOFTMAX = """
data = "{data}"
objective = "softmax"
encoder = {{ name = "lookup", dim = 8 }}
decoder = {{ name = "complex", reciprocal = true }}
[train]
steps = 2
batch = 10
validate_every = 2
threads = 1
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two trained runs on a user's own triples, by what trained them."""
    folder = tmp_path_factory.mktemp("predicted")
    lay(folder / "triples")
    made = {}
    for name, text, how in (("dans", RECIPE, train), ("baselines", SOFTMAX, baselines.train)):
        recipe = folder / f"{name}.toml"
        recipe.write_text(text.format(data=folder / "triples"))
        how(configure(recipe, []), folder / name)
        made[name] = folder / name
    return made


@pytest.mark.parametrize("kind", ["dans", "baselines"])
def test_runs_of_every_kind_predict(runs: dict[str, Path], kind: str) -> None:
    predictor = Predictor.load(runs[kind])
    trained = load(runs[kind])
    triples = trained.kg.test
    entities, relations = trained.kg.entities, trained.kg.relations
    named = [(entities[h], relations[r], entities[t]) for h, r, t in triples.tolist()]
    said = predictor.score(named)
    expected = logits(trained.model.decoder, trained.entities, triples).tolist()
    assert [triple.score for triple in said] == pytest.approx(expected)
    assert all("test" in triple.known for triple in said)
    assert {triple.probability for triple in said} == {None}
    assert str(runs[kind]) in predictor.about
    assert f"best checkpoint, step {trained.step}" in predictor.about


def test_either_checkpoint_predicts(runs: dict[str, Path]) -> None:
    assert "last checkpoint" in Predictor.load(runs["dans"], which="last").about


def test_encoding_for_prediction_needs_no_graph_of_dgl(runs: dict[str, Path]) -> None:
    kg = load(runs["dans"]).kg
    for norm in ("relation", "node", "code"):
        ours = MessageGraph.of(kg.train, kg.num_entities, kg.num_relations, norm)
        theirs = kg.messages(norm)
        for part in ("sources", "targets", "etype", "triple_ids", "weight"):
            assert torch.equal(getattr(ours, part), getattr(theirs, part)), (norm, part)


@pytest.mark.slow
def test_predicting_loads_neither_dgl_nor_what_draws_or_downloads(runs: dict[str, Path]) -> None:
    """Seconds for a person who waits for one answer."""
    code = (
        "import sys; from dans.cli import parsing; from dans.predict import Predictor, answers;"
        f"Predictor.load({str(runs['dans'])!r}).tails('e1', 'r1'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"dgl", "requests", "matplotlib", "sklearn", "tensorboard", "scipy", "pandas"}
    assert not heavy.intersection(done.stdout.split())


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    train(configure(labelled_recipe(tmp_path, monkeypatch), []), tmp_path / "run")
    return tmp_path / "run"


def test_a_calibrated_run_has_probabilities(labelled: Path) -> None:
    evaluate(labelled)
    before = sorted(path.name for path in labelled.iterdir())
    predictor = Predictor.load(labelled)
    listed = predictor.tails("e0", "r0", top=3)
    triples = [predictor.ids(Query("e0", "r0", answer.name)) for answer in listed]
    expected = probabilities(labelled, torch.tensor(triples))
    assert [answer.probability for answer in listed] == pytest.approx(expected.tolist())
    assert sorted(path.name for path in labelled.iterdir()) == before, "asking writes nothing"


def test_a_line_labelled_false_is_not_known(labelled: Path) -> None:
    predictor = Predictor.load(labelled)
    kg = predictor.kg
    lines, holds = kg.lines("test")
    for row, truth in zip(lines[:40].tolist(), holds[:40].tolist(), strict=True):
        triple = (kg.entities[row[0]], kg.relations[row[1]], kg.entities[row[2]])
        assert ("test" in predictor.score([triple])[0].known) is truth


def test_without_scikit_learn_there_are_scores_and_a_word_why(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("sklearn", "sklearn.isotonic", "sklearn.linear_model"):
        monkeypatch.setitem(sys.modules, name, None)
    with caplog.at_level(logging.WARNING, "dans"):
        predictor = Predictor.load(labelled)
    assert predictor.tails("e0", "r0")[0].probability is None
    assert install_command("calibration") in caplog.text
    assert "nothing is calibrated" in caplog.text
