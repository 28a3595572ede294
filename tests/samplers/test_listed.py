"""Negatives from files, and errors that name the line."""

import gzip
from pathlib import Path
from typing import Any

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers import Listed
from dans.samplers import listed as module
from tests.samplers.test_uniform import p_value


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def line(triple: str, side: str, negative: str, *more: str) -> str:
    return "\t".join((*triple.split(), side, negative, *more))


def listed(kg: KnowledgeGraph, file: Path, **given: Any) -> Listed:
    return Listed(
        str(file),
        **given,
        triples=kg.train,
        entity_names=kg.entities,
        relation_names=kg.relations,
        known=kg.known(),
    )


def triples_of(kg: KnowledgeGraph, *triples: str) -> Positives:
    """Triples without embeddings."""
    ids = [
        (kg.entities.index(h), kg.relations.index(r), kg.entities.index(t))
        for h, r, t in (triple.split() for triple in triples)
    ]
    return Positives.of_ids(torch.tensor(ids), kg.num_entities)


def drawn(kg: KnowledgeGraph, sampler: Listed, *triples: str) -> list[set[str]]:
    """Names of the negatives of each triple."""
    ids = sampler(triples_of(kg, *triples)).ids
    return [{kg.entities[i] for i in row} for row in ids.tolist()]


def test_negatives_are_those_listed_for_the_triple_and_the_side(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    file = write(
        tmp_path / "negatives.tsv",
        line("ada knows bob", "tail", "tea"),
        line("ada knows bob", "head", "pot"),
        line("ada knows cy", "tail", "cup"),
    )
    assert drawn(kg, listed(kg, file, k=9, side="tail"), "ada knows bob", "ada knows cy") == [
        {"tea"},
        {"cup"},
    ]
    assert drawn(kg, listed(kg, file, k=9, side="head"), "ada knows bob") == [{"pot"}]
    negatives = listed(kg, file, k=200)(triples_of(kg, "ada knows bob"))
    expected = torch.where(
        negatives.corrupt_head, kg.entities.index("pot"), kg.entities.index("tea")
    )
    assert torch.equal(negatives.ids, expected)


def test_enough_are_drawn_without_repeats_and_all_equally_often(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    names = ["map", "cy", "tea", "pot", "cup"]
    file = write(tmp_path / "a.tsv", *(line("ada knows bob", "tail", name) for name in names))
    sampler = listed(kg, file, k=3, side="tail")
    ids = sampler(triples_of(kg, *["ada knows bob"] * 20_000)).ids
    assert all(len(row.unique()) == 3 for row in ids[:500])
    possible = torch.zeros(kg.num_entities)
    possible[[kg.entities.index(name) for name in names]] = 1
    # Without repeats the counts vary less than χ² expects: too high a p is no fault, too low is.
    assert p_value(ids, possible) > 1e-4
    sets = {tuple(row) for row in ids.sort().values.tolist()}
    assert len(sets) == 10, "5 choose 3"


def test_where_fewer_are_listed_all_are_drawn_and_then_repeat(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    names = {"tea", "pot", "cup", "cy"}
    file = write(tmp_path / "a.tsv", *(line("ada knows bob", "tail", x) for x in sorted(names)))
    sampler = listed(kg, file, k=5, side="tail")
    assert drawn(kg, sampler, *["ada knows bob"] * 200) == [names] * 200
    torch.manual_seed(0)
    ids = listed(kg, file, k=1000, side="tail")(triples_of(kg, "ada knows bob")).ids
    assert 0.2 < float((ids == kg.entities.index("tea")).double().mean()) < 0.3


def test_a_triple_recorded_as_its_own_negative_is_left_out(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    file = write(
        tmp_path / "a.tsv",
        line("ada knows bob", "tail", "tea", "1", "1", "0"),
        line("ada knows bob", "tail", "bob", "1", "1", "0"),
        line("ada knows bob", "head", "ada", "1", "1", "1"),
    )
    sampler = listed(kg, file, k=50, side="tail")
    assert len(sampler.negatives) == 1
    assert drawn(kg, sampler, "ada knows bob") == [{"tea"}]


def test_where_nothing_is_listed_any_other_entity_is_drawn(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.tsv", line("ada knows bob", "tail", "tea"))
    torch.manual_seed(0)
    sampler = listed(kg, file, k=300, side="tail")
    first, second = drawn(kg, sampler, "ada knows bob", "cy owns map")
    assert first == {"tea"}
    assert second == set(kg.entities.names) - {"map"}


def test_where_nothing_is_listed_it_can_be_refused(kg: KnowledgeGraph, tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", line("ada knows bob", "tail", "tea"))
    message = (
        r"a.tsv: lists no negative of the tail for 13 of 14 training triples, "
        r"the first being: bob knows ada; missing = uniform"
    )
    with pytest.raises(InputError, match=message):
        listed(kg, file, side="tail", missing="refuse")
    names = [
        (kg.entities[head], kg.relations[relation], kg.entities[tail])
        for head, relation, tail in kg.train.tolist()
    ]
    whole = write(tmp_path / "b.tsv", *(line(" ".join(triple), "tail", "gus") for triple in names))
    sampler = listed(kg, whole, side="tail", missing="refuse")
    assert drawn(kg, sampler, "cy owns map") == [{"gus"}]
    with pytest.raises(InputError, match="lists no negative for some triple"):
        sampler(triples_of(kg, "gus knows bob"))


def test_list_of_no_training_triple_is_refused(kg: KnowledgeGraph, tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", line("gus knows bob", "tail", "tea"))
    with pytest.raises(InputError, match="no negative of a tail or head of any training triple"):
        listed(kg, file)
    file = write(tmp_path / "b.tsv", line("ada knows bob", "tail", "tea"))
    with pytest.raises(InputError, match="no negative of a head of any training triple"):
        listed(kg, file, side="head")


def test_known_triples_are_masked(kg: KnowledgeGraph, tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", *(line("ada knows bob", "tail", x) for x in ("cy", "tea")))
    negatives = listed(kg, file, k=2, side="tail", filter="mask")(triples_of(kg, "ada knows bob"))
    assert torch.equal(negatives.valid, negatives.ids == kg.entities.index("tea"))


def test_header_and_gzip_and_folder_and_further_columns_are_read(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    header = "\t".join((*module.CORE, *module.RECORDED))
    folder = tmp_path / "negatives"
    folder.mkdir()
    write(
        folder / "step-000000.tsv",
        header,
        line("ada knows bob", "tail", "tea", "1", "1", "0"),
        line("ada knows bob", "tail", "cup", "1", "0", "0"),
    )
    with gzip.open(folder / "step-000003.tsv.gz", "wt") as file:
        file.write(f"{header}\n{line('ada knows bob', 'tail', 'pot', '4', '1', '1')}\r\n")
    assert drawn(kg, listed(kg, folder, k=50, side="tail"), "ada knows bob") == [{"tea", "pot"}]


def test_repeats_count_once_however_the_file_is_cut(
    kg: KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name in kg.entities.names if name not in ("ada", "bob")]
    lines = [line("ada knows bob", s, x) for x in names for s in ("tail", "head")]
    whole = listed(kg, write(tmp_path / "a.tsv", *lines))
    monkeypatch.setattr(module, "PENDING", 3)
    parts = listed(kg, write(tmp_path / "b.tsv", *lines, *reversed(lines)))
    assert len(whole.negatives) == 12
    for name in ("queries", "first", "negatives"):
        assert torch.equal(getattr(parts, name), getattr(whole, name))


def test_another_list_is_refused_on_resuming(kg: KnowledgeGraph, tmp_path: Path) -> None:
    one = listed(kg, write(tmp_path / "a.tsv", line("ada knows bob", "tail", "tea")))
    state = one.state_dict()
    assert sum(value.numel() for value in state.values()) == 32
    one.load_state_dict(state)
    other = listed(kg, write(tmp_path / "b.tsv", line("ada knows bob", "tail", "pot")))
    with pytest.raises(InputError, match="lists other negatives than it did"):
        other.load_state_dict(state)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            "ada\tknows\tbob\ttail",
            r"a.tsv:2: found 4 columns, expected 5: head, relation, tail",
        ),
        ("", r"a.tsv:2: found 0 columns \(a blank line\)"),
        ("ada\tknows\tbob\tobject\ttea", r"a.tsv:2: side: known: head, tail; got 'object'"),
        (
            "ada\tknows\tbob\ttail\tteaa",
            r"a.tsv:2: negative: unknown name 'teaa'; did you mean 'tea",
        ),
        ("ada\tknow\tbob\ttail\ttea", r"a.tsv:2: relation: unknown name 'know'; did you mean 'kn"),
        ("ava\tknows\tbob\ttail\ttea", r"a.tsv:2: head: unknown name 'ava'; did you mean 'ada'"),
        ("ada\tknows\tboob\ttail\ttea", r"a.tsv:2: tail: unknown name 'boob'; did you mean 'bob'"),
        ("ada\tknows\tbob\ttail\tbob", r"a.tsv:2: negative: 'bob' is the entity it replaces"),
        ("ada\tknows\tbob\thead\tada", r"a.tsv:2: negative: 'ada' is the entity it replaces"),
        ("ada\tknows\tbob\ttail\ttea\t1\tyes\t0", r"a.tsv:2: valid: known: 0, 1; got 'yes'"),
    ],
)
def test_wrong_line_is_named(kg: KnowledgeGraph, tmp_path: Path, wrong: str, message: str) -> None:
    file = write(tmp_path / "a.tsv", line("ada knows bob", "tail", "tea"), wrong)
    with pytest.raises(InputError, match=message):
        listed(kg, file)


def test_unreadable_files_are_named(kg: KnowledgeGraph, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"file: .*none.tsv: cannot be read: No such file"):
        listed(kg, tmp_path / "none.tsv")
    with pytest.raises(InputError, match=r"the folder holds no \.tsv"):
        listed(kg, tmp_path)
    (tmp_path / "latin.tsv").write_bytes(b"ada\tknows\tb\xf6b\ttail\ttea\n")
    with pytest.raises(InputError, match=r"latin.tsv:1: byte .* is not UTF-8"):
        listed(kg, tmp_path / "latin.tsv")
    packed = gzip.compress(line("ada knows bob", "tail", "tea").encode() * 50)
    (tmp_path / "cut.tsv.gz").write_bytes(packed[:-12])
    with pytest.raises(InputError, match="gzip stream is truncated or corrupt"):
        listed(kg, tmp_path / "cut.tsv.gz")
    (tmp_path / "empty.tsv").write_text("")
    with pytest.raises(InputError, match="no negative of a tail or head of any training triple"):
        listed(kg, tmp_path / "empty.tsv")


def test_wrong_options_are_named(kg: KnowledgeGraph, tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", line("ada knows bob", "tail", "tea"))
    for given, message in (
        ({"k": 0}, "k: expected at least 1"),
        ({"side": "both"}, "side: known: coin, head, tail; got 'both'"),
        ({"missing": "skip"}, "missing: known: uniform, refuse; got 'skip'"),
        ({"filter": "resample"}, "filter: known: none, mask; got 'resample'"),
    ):
        with pytest.raises(InputError, match=message):
            listed(kg, file, **given)
