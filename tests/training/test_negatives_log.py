"""The negatives written down are those trained on, whoever stopped the run in between."""

import gzip
from pathlib import Path

import pytest
import torch

from dans.config.recipes import override
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.models.batch import Negatives, Positives
from dans.runs.build import build_trainer
from dans.samplers import DANS, Listed, Mixture, Uniform
from dans.samplers.listed import CORE, RECORDED
from dans.samplers.nearest import nearest
from dans.training import negatives_log as module
from dans.training.negatives_log import NegativesLog
from dans.training.run_folder import RunFolder
from dans.training.trainer import Trainer
from tests.suites.states import states_equal

PLAIN = {
    "data": "toy",
    "encoder": {"name": "rgcn", "dim": 6},
    "decoder": {"name": "distmult"},
    "loss": {"name": "logistic"},
    "sampler": [{"name": "dans", "k": 1}, {"name": "uniform", "k": 3, "filter": "mask"}],
    "train": {"steps": 6, "batch": 5, "validate_every": 2, "threads": 1, "log_negatives": True},
}


def trainer(kg: KnowledgeGraph, where: Path, *changes: str) -> Trainer:
    return build_trainer(RunConfig.parse(override(PLAIN, list(changes))), kg, RunFolder(where))


def parts(where: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (where / "negatives").iterdir()}


def lines(where: Path) -> list[list[str]]:
    """All lines of all parts in order, without the headers."""
    found = []
    for _, content in sorted(parts(where).items()):
        header, *rest = gzip.decompress(content).decode().splitlines()
        assert header.split("\t") == [*CORE, *RECORDED]
        found += [line.split("\t") for line in rest]
    return found


def test_every_negative_of_every_step_is_written_down(
    kg: KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINES", 7)
    moving = trainer(kg, tmp_path, "sampler=['kept']", "sampler.0.k=3", "sampler.0.filter=mask")
    seen: list[tuple[Positives, Negatives]] = []
    sampler = moving.objective.sampler  # type: ignore[union-attr]
    sampler.register_forward_hook(
        lambda _, given, drawn: seen.append((given[0], drawn)) if sampler.training else None
    )
    moving.fit(4)
    expected = []
    for step, (positives, negatives) in enumerate(seen, start=1):
        assert negatives.ids is not None
        assert negatives.valid is not None
        for i, (head, relation, tail) in enumerate(positives.triples.tolist()):
            triple = [kg.entities[head], kg.relations[relation], kg.entities[tail]]
            for j, negative in enumerate(negatives.ids[i].tolist()):
                side = "head" if negatives.corrupt_head[i, j] else "tail"
                valid = str(int(negatives.valid[i, j]))
                expected.append([*triple, side, kg.entities[negative], str(step), valid, "0"])
    assert len(seen) == 4
    assert lines(tmp_path) == expected
    assert sorted(parts(tmp_path)) == ["step-000000.tsv.gz", "step-000002.tsv.gz"]


def test_writing_down_does_not_disturb_training(kg: KnowledgeGraph, tmp_path: Path) -> None:
    states = []
    for name in ("true", "false"):
        moving = trainer(kg, tmp_path / name, f"train.log_negatives={name}")
        (tmp_path / name).mkdir()
        moving.fit(6)
        states.append({key: v for key, v in moving.state().items() if key != "seconds"})
    assert states_equal(*states)
    assert (tmp_path / "true" / "negatives").exists()
    assert not (tmp_path / "false" / "negatives").exists()


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_resumed_run_leaves_the_same_files_as_one_never_stopped(
    kg: KnowledgeGraph, tmp_path: Path, stop: int
) -> None:
    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    trainer(kg, tmp_path / "whole").fit(6)

    killed = trainer(kg, tmp_path / "resumed")
    killed.fit(stop - stop % 2)
    for _ in range(stop % 2):
        killed.step()
    part = tmp_path / "resumed" / "negatives" / "step-000004.tsv.gz"
    if stop == 5:
        part.write_bytes(part.read_bytes()[:-9])
    second = trainer(kg, tmp_path / "resumed")
    second.restore(RunFolder(tmp_path / "resumed").checkpoints.load("last"))
    second.fit(6)

    assert len(parts(tmp_path / "whole")) == 3
    assert parts(tmp_path / "resumed") == parts(tmp_path / "whole")


def test_finished_run_that_is_resumed_keeps_its_files(kg: KnowledgeGraph, tmp_path: Path) -> None:
    trainer(kg, tmp_path).fit(6)
    before = parts(tmp_path)
    again = trainer(kg, tmp_path)
    again.restore(RunFolder(tmp_path).checkpoints.load("last"))
    again.fit(6)
    assert parts(tmp_path) == before


def test_what_else_lies_among_the_parts_is_left_alone(kg: KnowledgeGraph, tmp_path: Path) -> None:
    trainer(kg, tmp_path).fit(2)
    others = ["step-000000 copy.tsv.gz", "step-.tsv.gz", "step-000004.tsv.gz.old"]
    for name in others:
        (tmp_path / "negatives" / name).write_text("own")
    NegativesLog(tmp_path / "negatives", kg).begin(0)
    assert sorted(parts(tmp_path)) == sorted(others)


def test_generated_negatives_are_named_after_the_nearest_entity(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    trainer(kg, tmp_path).fit(2)
    generated = [line[-1] for line in lines(tmp_path)]
    # Of five negatives, the first two are generated, one by each pathway.
    assert generated == ["1", "1", "0", "0", "0"] * (len(generated) // 5)
    assert {line[-2] for line in lines(tmp_path)} == {"0", "1"}


def test_no_generated_negative_is_named_after_the_entity_it_replaces(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    side = torch.tensor([[True, True, False, False]]).expand(len(kg.train), 4)
    entities = torch.eye(kg.num_entities) * 9
    true = torch.where(side, kg.train[:, :1], kg.train[:, 2:])
    b, n = len(kg.train), kg.num_entities
    empty = torch.empty(b, 0)
    positives = Positives(
        kg.train, *[empty] * 5, entities, lambda query, entity: (query * entity).sum(-1)
    )
    near = entities[true] + 1e-3 * entities[(true + 1) % n]
    NegativesLog(tmp_path / "negatives", kg)(positives, Negatives(near, side))
    expected = [kg.entities[e] for e in ((true + 1) % n).flatten().tolist()]
    assert [line[4] for line in lines(tmp_path)] == expected
    assert {line[-1] for line in lines(tmp_path)} == {"1"}
    assert len(expected) == 4 * b


def test_real_negatives_of_a_mixture_are_written_down_exactly(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    n = kg.num_entities
    # So far from the origin that distances in single precision name the wrong entity.
    entities = 50 + 0.01 * (2 * torch.rand(n, 8) - 1)
    h, t = entities[kg.train[:, 0]], entities[kg.train[:, 2]]
    positives = Positives(kg.train, h, h, t, h, t, entities, lambda x, y: (x * y).sum(-1))
    sampler = Mixture(Uniform(k=20), DANS(8, k=1))
    negatives = sampler(positives)
    assert negatives.ids is None
    assert negatives.partial_ids is not None
    real = negatives.embeddings[:, :20]
    assert torch.equal(entities[negatives.partial_ids[:, :20]], real)
    assert not torch.equal(
        nearest(real.flatten(0, 1), entities).view(-1, 20), negatives.partial_ids[:, :20]
    )
    NegativesLog(tmp_path / "negatives", kg)(positives, negatives)
    named = [kg.entities.index(line[4]) for line in lines(tmp_path)]
    written = torch.tensor(named).view(len(kg.train), 22)
    assert torch.equal(written[:, :20], negatives.partial_ids[:, :20])
    made = [line[-1] for line in lines(tmp_path)]
    assert made == (["0"] * 20 + ["1"] * 2) * len(kg.train)


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("sampler=['uniform']", "sampler.0.exclude_true=false", "sampler.0.k=50"),
        ("sampler=['dans']", "sampler.0.decode=nearest", "sampler.0.k=3"),
    ],
)
def test_a_log_read_as_a_list_makes_no_triple_its_own_negative(
    kg: KnowledgeGraph, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    trainer(kg, tmp_path, *changes).fit(6)
    sampler = Listed(
        str(tmp_path / "negatives"),
        k=50,
        triples=kg.train,
        entity_names=kg.entities,
        relation_names=kg.relations,
    )
    negatives = sampler(Positives.of_ids(kg.train, kg.num_entities))
    assert negatives.ids is not None
    true = torch.where(negatives.corrupt_head, kg.train[:, :1], kg.train[:, 2:])
    assert not negatives.ids.eq(true).any()


def test_a_log_is_a_list_of_negatives(kg: KnowledgeGraph, tmp_path: Path) -> None:
    trainer(kg, tmp_path).fit(6)
    sampler = Listed(
        str(tmp_path / "negatives"),
        k=50,
        triples=kg.train,
        entity_names=kg.entities,
        relation_names=kg.relations,
    )
    offered: dict[tuple[str, ...], set[str]] = {}
    for *query, negative, _, valid, _ in lines(tmp_path):
        if valid == "1":
            offered.setdefault(tuple(query), set()).add(negative)
    assert len(sampler.negatives) == sum(map(len, offered.values()))
    torch.manual_seed(0)
    negatives = sampler(Positives.of_ids(kg.train, kg.num_entities))
    assert negatives.ids is not None
    for i, triple in enumerate(kg.train.tolist()):
        names = [
            v[x] for v, x in zip((kg.entities, kg.relations, kg.entities), triple, strict=True)
        ]
        for side in ("head", "tail"):
            drawn = negatives.ids[i][negatives.corrupt_head[i] == (side == "head")]
            if query := offered.get((*names, side)):
                assert {kg.entities[e] for e in drawn.tolist()} <= query


def test_full_disk_names_the_file(kg: KnowledgeGraph, tmp_path: Path) -> None:
    positives = Positives.of_ids(kg.train[:2], kg.num_entities)
    negatives = Negatives.of(positives, torch.tensor([[3], [4]]), torch.tensor([[True], [False]]))
    log = NegativesLog(tmp_path, kg)
    # A device of the system that is always full.
    log.part.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        log(positives, negatives)
    assert caught.value.filename == str(log.part)


def test_equal_steps_give_equal_bytes_whatever_the_folder(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    positives = Positives.of_ids(kg.train[:2], kg.num_entities)
    ids = torch.tensor([[3], [4]])
    negatives = Negatives.of(positives, ids, torch.tensor([[True], [False]]))
    for name in ("one", "two"):
        NegativesLog(tmp_path / name / "negatives", kg)(positives, negatives)
    assert parts(tmp_path / "one") == parts(tmp_path / "two")
    assert [line[3:] for line in lines(tmp_path / "one")] == [
        ["head", kg.entities[3], "1", "1", "0"],
        ["tail", kg.entities[4], "1", "1", "0"],
    ]
