"""Training continues after the graph grew: what is taken over, by name, and what is refused."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import dans
from dans.cli.main import run_command
from dans.config.schema import RunConfig
from dans.data.graph import SPLITS, KnowledgeGraph
from dans.data.message_graph import MessageGraph
from dans.errors import InputError
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.models.embedding_tables import sharing
from dans.models.model import Model
from dans.registry import options
from dans.runs.build import build_model
from dans.runs.grown_graph import Growth, rows_of
from dans.runs.train import load

OLD = [(f"e{i % 7}", f"r{i % 3}", f"e{(i * i + 3) % 7}") for i in range(21)]
NEW = [("new", "likes", "newer"), ("newer", "r1", "new")]
#: New triples first and the others backwards: every old name has another id.
BEFORE, AFTER = KnowledgeGraph.of(OLD), KnowledgeGraph.of([*NEW, *OLD[::-1]])
GROWTH = Growth.of(BEFORE, AFTER)
WEIGHTED: dict[str, dict[str, Any]] = {
    "lookup": {"name": "lookup"},
    "bases": {"name": "rgcn", "bases": 2},
    "full": {"name": "rgcn", "bases": 0},
    "blocks": {"name": "rgcn", "blocks": 2, "unseen": 0.5},
}
#: Decoders that can have a row for the inverse of a relation are tested with it too.
DECODED = [
    (name, both)
    for name, kind in DECODERS.items()
    for both in (False, *[True] * ("reciprocal" in options(kind)))
]


def model_of(kg: KnowledgeGraph, encoder: str, decoder: str, both: bool = False) -> Model:
    parts = {"encoder": {**WEIGHTED[encoder], "dim": 4}, "decoder": {"name": decoder}}
    if both:
        parts["decoder"] |= {"reciprocal": True}
    return build_model(RunConfig.parse({"data": "toy", **parts}), kg)


def grown(encoder: str, decoder: str, both: bool = False) -> tuple[Model, Model, dict[str, Tensor]]:
    """The model of the old graph, that of the new one, and what this was before."""
    old, new = (model_of(kg, encoder, decoder, both) for kg in (BEFORE, AFTER))
    own = {name: weight.clone() for name, weight in new.state_dict().items()}
    new.load_state_dict(GROWTH.weights(old.state_dict(), new))
    return old.eval(), new.eval(), own


def scores(model: Model, kg: KnowledgeGraph, triples: list[tuple[str, str, str]]) -> Tensor:
    """Of both queries of each triple, by name."""
    names = kg.entities, kg.relations, kg.entities
    ids = [[part.index(x) for part, x in zip(names, row, strict=True)] for row in triples]
    with torch.no_grad():
        messages = MessageGraph.of(kg.train, kg.num_entities, kg.num_relations)
        heads, relations, tails = torch.tensor(ids).unbind(1)
        x, decoder = model.encode(messages), model.decoder
        forward = decoder.score_query(decoder.tail_queries(x[heads], relations), x[tails])
        backward = decoder.score_query(decoder.head_queries(relations, x[tails]), x[heads])
    return torch.stack((forward, backward))


@pytest.mark.parametrize(("decoder", "both"), DECODED)
def test_old_triples_keep_their_scores_in_a_lookup(decoder: str, both: bool) -> None:
    old, new, _ = grown("lookup", decoder, both)
    assert torch.equal(scores(old, BEFORE, OLD), scores(new, AFTER, OLD))


@pytest.mark.parametrize("encoder", [name for name in WEIGHTED if name != "lookup"])
def test_old_triples_keep_their_scores_where_no_new_message_reaches(encoder: str) -> None:
    old, new, _ = grown(encoder, "distmult")
    assert torch.allclose(scores(old, BEFORE, OLD), scores(new, AFTER, OLD), atol=1e-6)
    joined = KnowledgeGraph.of([*OLD, *NEW, ("new", "r0", "e0")])
    other = model_of(joined, encoder, "distmult")
    other.load_state_dict(Growth.of(BEFORE, joined).weights(old.state_dict(), other))
    assert not torch.allclose(scores(old, BEFORE, OLD), scores(other.eval(), joined, OLD))


@pytest.mark.parametrize("encoder", WEIGHTED)
def test_new_rows_are_those_drawn_and_all_else_is_taken_over(encoder: str) -> None:
    old, new, own = grown(encoder, "tucker", both=True)
    by_name = {f"{name}.{rows_of(m)}" for name, m in new.named_modules() if rows_of(m)}
    n, m = len(AFTER.entities), len(AFTER.relations)
    for key, weight in new.state_dict().items():
        before = old.state_dict()[key]
        assert (weight.shape != before.shape) == (key in by_name), key
        if key not in by_name:
            assert torch.equal(weight, before)
            continue
        kind = AFTER.entities if len(weight) == n else AFTER.relations
        theirs = BEFORE.entities if len(weight) == n else BEFORE.relations
        assert len(weight) in (n, 2 * m)
        for row, one in enumerate(weight):
            direction, i = divmod(row, len(kind))
            known = kind[i] in theirs
            rows = (
                before[direction * len(theirs) + theirs.index(kind[i])] if known else own[key][row]
            )
            assert torch.equal(one, rows), (key, row)


def test_every_encoder_is_put_to_these_tests() -> None:
    assert {part["name"] for part in WEIGHTED.values()} == set(ENCODERS)


def test_each_of_several_processes_takes_over_rows_of_its_own() -> None:
    old, whole, _ = grown("lookup", "distmult")
    for rank in range(2):
        shard: Any = type("Shard", (), {"rank": rank, "size": 2})()
        with sharing(shard):
            part = model_of(AFTER, "lookup", "distmult")
        part.load_state_dict(GROWTH.weights(old.state_dict(), part))
        known = GROWTH.entities[rank::2] >= 0
        ours, all_rows = (m.state_dict()["encoder.entities.weight"] for m in (part, whole))
        assert torch.equal(ours[known], all_rows[rank::2][known])


SMALL: dict[str, Any] = {"dim": 4, "options": {"train.validate_every": 10, "train.threads": 1}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dans.Run:
    kg = KnowledgeGraph.of(OLD[3:], valid=OLD[:2], test=OLD[2:3], name="tiny")
    out = tmp_path_factory.mktemp("runs") / "run"
    return dans.train(kg, encoder="lookup", steps=10, out=out, lr=0.05, **SMALL)


def test_training_continues_with_what_the_run_knew(
    run: dans.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kg = run.grow([*NEW, OLD[5]])
    assert (kg.num_entities, kg.num_relations, len(kg.train)) == (9, 4, len(run.kg.train) + 2)
    assert torch.equal(kg.valid, run.kg.valid)
    given: dict[str, Any] = {
        "lr": 0.05,
        "options": {"train.schedule": "constant", "train.validate_every": 10},
    }
    start = dans.train(kg, init_from=run, steps=0, out=tmp_path / "start", **given).model
    with caplog.at_level(logging.INFO):
        more = dans.train(kg, init_from=run, steps=60, out=tmp_path / "more", **given)
    assert "entities: 7 taken over, 2 new; relations: 3 taken over, 1 new; the opt" in caplog.text
    assert "too good" not in caplog.text
    assert dans.open_run(more.path).kg.digest == kg.digest
    assert more.best_step > 0, "rows as they were drawn are never the best"
    assert f"best at step {more.best_step}, validation MRR" in repr(more)
    given |= {"out": tmp_path / "start", "resume": True}
    again = dans.train(kg, init_from=run, steps=60, **given)
    assert again.best_step == more.best_step, "resumed before the first step"
    assert torch.equal(again.entities, more.entities)
    trained = load(more.path, which="last").model
    others = [("newer", "likes", "e1"), ("e3", "r1", "new")]
    margins = [scores(model, kg, NEW) - scores(model, kg, others) for model in (start, trained)]
    assert margins[1].mean() > margins[0].mean() + 1


def test_held_out_triples_that_are_put_into_train_are_counted(
    run: dans.Run, caplog: pytest.LogCaptureFixture
) -> None:
    run.grow(NEW)
    assert "in train too" not in caplog.text
    assert len(run.grow([*NEW, OLD[0], OLD[2]]).valid) == 2
    assert "tiny: in train too: 1 of 2 valid triples; that" in caplog.text
    assert "tiny: in train too: 1 of 1 test triples; that" in caplog.text


def test_a_graph_in_another_order_is_taken_over_by_name(run: dans.Run, tmp_path: Path) -> None:
    names = [[tuple(row) for row in run.kg.to_pandas(split).values[:, :3]] for split in SPLITS]
    kg = KnowledgeGraph.of(names[0][::-1], names[1], names[2], name="turned")
    assert kg.entities != run.kg.entities
    turned = dans.train(kg, init_from=run, steps=0, out=tmp_path / "turned")
    assert turned.score(OLD) == run.score(OLD)


def test_triples_of_training_that_are_evaluated_now_are_counted(
    run: dans.Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kg = KnowledgeGraph.of([*NEW, *OLD[:15]], valid=OLD[15:], name="split again")
    dans.train(kg, init_from=run, steps=0, out=tmp_path / "again")
    assert "6 of the 6 triples of valid were in train of the run to start from" in caplog.text


def test_a_graph_that_lost_names_is_refused(run: dans.Run, tmp_path: Path) -> None:
    for lost, sentence in (
        ({"e5", "e6"}, r"less lacks 2 of the 7 entities .* first 'e5'; name triples"),
        ({"r1"}, r"less lacks 1 of the 3 relations of the run to start from, first 'r1'"),
    ):
        rows = [(h, r if r not in lost else "r0", t) for h, r, t in OLD if not {h, t} & lost]
        kg = KnowledgeGraph.of(rows, name="less")
        with pytest.raises(InputError, match=sentence):
            dans.train(kg, init_from=run, steps=1, out=tmp_path / "less")
    with pytest.raises(InputError, match="dim: 8 here, 4 in the run"):
        dans.train(run.grow(NEW), init_from=run, dim=8, out=tmp_path / "wide")
    assert not list(tmp_path.iterdir())


def test_features_are_put_into_the_columns_of_the_run(tmp_path: Path) -> None:
    kg = KnowledgeGraph.of(OLD, name="tiny")
    ages = {f"e{i}": 10.0 * i for i in range(6)}
    options = {**SMALL["options"], "features.combine": "only"}
    first = {"encoder": "lookup", "steps": 1, "dim": 4, "options": options}
    run = dans.train(kg, features={"age": ages}, out=tmp_path / "run", **first)
    more = run.grow(NEW)
    with pytest.raises(InputError, match="features: the run was trained with features and the"):
        dans.train(more, init_from=run, steps=0, out=tmp_path / "more")
    ages |= {"new": 70.0}
    with pytest.raises(InputError, match="features: scaled or laid out in other columns"):
        dans.train(more.with_features({"age": ages}), init_from=run, out=tmp_path / "more")
    grown = dans.train(more, features={"age": ages}, init_from=run, steps=0, out=tmp_path / "more")
    assert torch.equal(grown.entities[:7], run.entities)
    assert torch.equal(grown.entities[6], grown.entities[grown.kg.entities.index("newer")])
    assert not torch.equal(grown.entities[6], grown.entities[grown.kg.entities.index("new")])


def test_the_command_continues_by_names_too(run: dans.Run, tmp_path: Path) -> None:
    data = tmp_path / "more"
    data.mkdir()
    for split, rows in {"train": [*NEW, *OLD[3:]], "valid": OLD[:2]}.items():
        (data / f"{split}.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    given = ["--init-from", str(run.path), "--steps", "0"]
    run_command("train", [str(data), *given, "--out", str(tmp_path / "a")])
    recipe = tmp_path / "own.toml"
    recipe.write_text('loss = "logistic"\nsampler = ["uniform"]\n')
    sets = ["--set", f"data={data}"]
    run_command("train", [str(recipe), *given, *sets, "--out", str(tmp_path / "b")])
    for out in ("a", "b"):
        grown = dans.open_run(tmp_path / out)
        assert (grown.config.data, grown.kg.num_entities) == (str(data), 9)
        assert [one.score for one in grown.score(OLD)] == [one.score for one in run.score(OLD)]
    (data / "train.tsv").write_text("".join("\t".join(row) + "\n" for row in OLD))
    kg = KnowledgeGraph.load(data)
    with pytest.raises(InputError, match=r"more: changed since the run was trained on it, so"):
        dans.train(kg, init_from=tmp_path / "a", steps=0, out=tmp_path / "c")
