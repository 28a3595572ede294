"""Benchmarks: contenders do the work that their rows name, on a toy graph."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest
import torch

from dans.config.recipes import find_recipe
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.runs.grown_graph import Growth
from dans.runs.train import configure, train
from dans.training.batches import QueryBatches
from dans.training.trainer import Trainer
from scripts.benchmarks import (
    continued_training,
    ensembles,
    headroom,
    neighbor_steps,
    objectives,
    planted_errors,
    relations,
)
from scripts.benchmarks import memory_use as memory
from scripts.benchmarks.measure import Row
from scripts.benchmarks.synthetic import Size
from tests.suites.toy import RECIPE, lay

ROOT = Path(__file__).parents[1]

#: In a process of its own, as the benchmark has it: our optimizers are defined before PyKEEN looks.
PYKEEN_LOOP = """
import torch
from dans.data.graph import KnowledgeGraph
from dans.training.batches import QueryBatches
from scripts.benchmarks import memory_use as memory, objectives
torch.manual_seed(0)
objectives.WIDTH, objectives.QUERIES = 4, 5
kg = KnowledgeGraph.load("nations")
epoch = objectives.make_batches(objectives.PYKEEN, kg, 3)
print(*(len(epoch()) for _ in range(2)))
from pykeen.triples import CoreTriplesFactory, LCWAInstances
triples = CoreTriplesFactory(kg.train, 14, kg.num_relations, create_inverse_triples=True)
print(len(LCWAInstances.from_triples_factory(triples)), len(QueryBatches(kg.train, 1)))
"""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("WIDTH", 4), ("QUERIES", 5), ("SP_WIDTH", 4), ("SP_BATCH", 3)):
        monkeypatch.setattr(objectives, name, size)


@pytest.mark.usefixtures("small")
def test_one_against_all_steps_over_queries(kg: KnowledgeGraph) -> None:
    terms = objectives.make_batches(objectives.DANS, kg, 3)()
    assert isinstance(terms, list)
    assert len(terms) == 3
    assert all(step["loss"] > 0 for step in terms)
    objectives.make_batches(objectives.PRODUCTS, kg, 3)()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pykeen") is None, reason="needs PyKEEN")
def test_pykeen_has_as_many_queries_as_we_do() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PYKEEN_LOOP], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    epochs, queries = done.stdout.splitlines()
    assert epochs == "1 2", "rounds continue with the same weights"
    theirs, ours = queries.split()
    assert theirs == ours


@pytest.mark.usefixtures("small")
def test_an_epoch_of_stay_positive_sees_every_triple(kg: KnowledgeGraph) -> None:
    lengths = {
        contender: len(objectives.make_epoch(contender, kg, 2)())  # type: ignore[arg-type]
        for contender in (
            objectives.SP,
            objectives.SP_LARGE,
            objectives.NS,
            objectives.SHARED,
            objectives.SP_ALL,
            objectives.SP_ALONE,
        )
    }
    # 14 triples in batches of 3; of 3 (2 + 1) for the larger.
    assert lengths == {
        objectives.SP: 5,
        objectives.SP_LARGE: 2,
        objectives.NS: 5,
        objectives.SHARED: 5,
        objectives.SP_ALL: 5,
        objectives.SP_ALONE: 5,
    }


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("contender", "some"),
    [
        (objectives.SP, True),
        (objectives.SHARED, True),
        (objectives.NS, False),
        (objectives.SP_ALL, False),
    ],
)
def test_a_contender_updates_the_rows_its_name_says(
    contender: str, some: bool, kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def spy(*given: object, **setting: object) -> Trainer:
        made.append(trainer(*given, **setting))  # type: ignore[arg-type]
        return made[-1]

    trainer = objectives.trainer
    monkeypatch.setattr(objectives, "trainer", spy)
    objectives.make_epoch(contender, kg, 1)
    made[0].step()
    grad = made[0].model.encoder.entities.weight.grad
    assert grad is not None
    assert grad.is_sparse == some


@pytest.mark.usefixtures("small")
def test_the_first_term_alone_is_all_but_the_closed_form(kg: KnowledgeGraph) -> None:
    whole, alone = (
        objectives.make_epoch(contender, kg, 0)()[0]  # type: ignore[index]
        for contender in (objectives.SP, objectives.SP_ALONE)
    )
    assert whole.keys() == {"loss", "total"}
    assert alone == {"loss": whole["loss"]}


def test_rows_of_a_benchmark_give_the_savings_by_negatives(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The picture reads what the benchmark writes."""

    def compete(work: str, contenders: tuple[str, ...], *given: object, **options: int) -> list:
        seconds = {objectives.NS: 8.0, objectives.SP_LARGE: 2.0}
        return [Row(work, name, seconds.get(name, 4.0)) for name in contenders]

    monkeypatch.setattr(objectives, "compete", compete)
    rows = objectives.stay_positive(kg, negatives=(0, 1, 10))
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([vars(row) for row in rows]), "utf-8")
    assert objectives.reductions(file) == {1: 0.75, 10: 0.75}


def test_a_file_without_rows_of_stay_positive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text("[]", "utf-8")
    with pytest.raises(InputError, match="--only stay-positive"):
        objectives.reductions(file)


@pytest.mark.parametrize("name", objectives.TORCH)
def test_touched_rows_are_updated_as_in_the_whole_table(name: str) -> None:
    ours, theirs = (
        objectives.make_updates(contender, name, (40, 3), 40)()
        for contender in (objectives.ROWS, objectives.DENSE)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "name", [neighbor_steps.OURS, neighbor_steps.DGL, neighbor_steps.SORTED, neighbor_steps.PYG]
)
def test_sampled_steps_learn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == neighbor_steps.PYG:
        pytest.importorskip("torch_geometric")
        if not (find_spec("pyg_lib") or find_spec("torch_sparse")):
            pytest.skip("PyG's sampler needs pyg_lib or torch_sparse")
    for size, number in (("WIDTH", 4), ("BATCH", 50), ("POOL", 10)):
        monkeypatch.setattr(neighbor_steps, size, number)
    encoder = {"name": "rgcn", "dim": 4, "bases": 4, "dropout": 0.0}
    train = {**neighbor_steps.CONFIG["train"], "batch": 50}
    monkeypatch.setattr(
        neighbor_steps, "CONFIG", {**neighbor_steps.CONFIG, "encoder": encoder, "train": train}
    )
    step = neighbor_steps.make_step(name, Size(50, 400, relations=4, clusters=5))
    losses = [step() for _ in range(60)]
    assert sum(losses[-10:]) < sum(losses[:10])


def test_batches_are_counted_as_the_trainer_counts_them(kg: KnowledgeGraph) -> None:
    queries = {(h, r, None) for h, r, _ in kg.train.tolist()}
    queries |= {(None, r, t) for _, r, t in kg.train.tolist()}
    assert len(QueryBatches(kg.train, 1)) == len(queries)


def test_every_budget_ranks_the_same(tmp_path: Path) -> None:
    for split, step in (("train", 1), ("valid", 3), ("test", 5)):
        lines = [f"e{i % 7}\tr{i % 3}\te{i * step % 7}" for i in range(20)]
        (tmp_path / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    names = [f"dans, {text or 'a quarter of what is free'}" for text in memory.BUDGETS]
    reports = [memory.make_ranking(name, str(tmp_path), "complex")() for name in names]
    assert len(reports) == 4
    assert all(report == reports[0] for report in reports)


def test_planted_errors_are_new_triples_that_differ_at_one_end(kg: KnowledgeGraph) -> None:
    given, wrong = planted_errors.corrupted(kg, 0.3, seed=0)
    assert int(wrong.sum()) == 4
    assert torch.equal(given.train[~wrong], kg.train[~wrong])
    assert not kg.known().is_known(given.train[wrong]).any()
    assert ((given.train != kg.train)[wrong].sum(1) == 1).all()
    assert not (given.train != kg.train)[:, 1].any()
    values = torch.where(wrong, 0.0, 1.0)
    assert planted_errors.quality(values, wrong) == {
        "precision": 1.0,
        "average_precision": 1.0,
        "auc": 1.0,
    }


def test_the_best_member_of_an_ensemble_is_chosen_on_validation() -> None:
    joined = dict.fromkeys(get_args(ensembles.Join), 0.9)
    groups = [
        {
            "valid": {"members": [0.5, 0.6], **joined},
            "test": {"members": [0.8, 0.4 + gain], **joined},
        }
        for gain in (0.0, 0.2)
    ]
    found = ensembles.summary(groups)
    assert found["values"]["best member"]["test"] == pytest.approx([0.4, 0.6])
    assert found["values"]["mean of members"]["test"] == pytest.approx([0.6, 0.7])
    gains = found["gain on test"]["ranks"]
    assert gains["best member"]["mean"] == pytest.approx(0.4)
    assert gains["mean of members"]["mean"] == pytest.approx(0.25)
    assert 0.1 < gains["mean of members"]["p"] < 0.15


def test_the_tables_of_relations_are_those_of_their_file() -> None:
    found = json.loads((ROOT / "scripts/results/relations.json").read_text())
    page = (ROOT / "docs/pages/predict.md").read_text()
    for mark, table in (
        ("relation-ranking", relations.ranking_table(found)),
        ("relation-selection", relations.selection_table(found)),
    ):
        text = page.partition(f"<!-- {mark} -->\n")[2].partition(f"\n<!-- /{mark} -->")[0]
        assert text == table, f"{mark}: run scripts/benchmarks/relations.py"
    # 157 and 660 of 661 triples, rounded once.
    frequency, ends = (found["umls-complex-sce"][row] for row in ("frequency", "ends"))
    assert relations.cell(frequency["hits@1"], "hits@1") == "0.238"
    assert relations.cell(ends["hits@10"], "hits@10") == "0.998"
    assert relations.cell([0.5, 0.7]) == "0.600 ± 0.141"


def test_a_run_that_stopped_is_trained_on_before_it_is_measured(tmp_path: Path) -> None:
    lay(tmp_path / "triples")
    recipe = tmp_path / "own.toml"
    recipe.write_text(RECIPE.format(data=tmp_path / "triples"))
    train(configure(recipe, ["train.steps=2"]), tmp_path / "runs" / "own" / "seed0")
    numbers = relations.measure(str(recipe), tmp_path / "runs", [0], 0)
    run = relations.trained(str(recipe), tmp_path / "runs", 0)
    assert run.history[-1]["step"] == 4
    report = run.evaluate_relations()
    assert numbers["model"]["mrr"] == [round(report.model["relation_mrr"], 6)]
    valid = run.evaluate_relations("valid")
    orders = relations.orders(run)
    assert orders["0.03"] == pytest.approx(valid.model["relation_mrr"])
    assert orders["scores"] == pytest.approx(valid.scores["relation_mrr"])


def test_a_graph_before_it_grew_lacks_what_is_held_back(kg: KnowledgeGraph) -> None:
    less = continued_training.before(kg, "entities", seed=0)
    away = set(kg.entities.names) - set(less.entities.names)
    assert len(away) >= round(continued_training.SHARE * kg.num_entities) > 0
    fewer = continued_training.before(kg, "triples", seed=0)
    assert len(fewer.train) == len(kg.train) - round(continued_training.SHARE * len(kg.train))
    for one in (less, fewer):
        assert Growth.of(one, kg).trained_on("test") == 0


def test_the_fewest_steps_that_are_close_are_chosen() -> None:
    values = {25: 0.8, 50: 0.896, 100: 0.91}
    found = {
        f"entities, continued for {k} steps": {"valid": [mrr, mrr]} for k, mrr in values.items()
    }
    found["from scratch, all steps"] = {"valid": [0.89, 0.91]}
    assert continued_training.chosen(found, "entities") == 50
    found["from scratch, all steps"] = {"valid": [0.95, 0.95]}
    assert continued_training.chosen(found, "entities") == 100


def test_the_oracle_alone_takes_held_out_triples_for_known() -> None:
    plain, oracle = (headroom.graph("nations", oracle=oracle) for oracle in (False, True))
    for kg, expected in ((plain, False), (oracle, True)):
        known = kg.known(("train",)).is_known(torch.cat((kg.valid, kg.test)))
        assert known.all() if expected else not known.any()


@pytest.mark.parametrize("name", headroom.CONFIGURATIONS)
def test_each_bound_is_of_recipes_that_there_are(name: str) -> None:
    _, *settings, _ = headroom.CONFIGURATIONS[name]
    for graphs, (setting, _) in zip((headroom.SMALL, headroom.LARGE), settings, strict=True):
        for data in graphs:
            assert find_recipe(f"{data}-distmult-{setting}", "baselines")
            assert data in headroom.SMALL or (data, setting) in headroom.STEPS
