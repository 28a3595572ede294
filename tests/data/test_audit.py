from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import dans.data.audit
from dans.data.audit import Audit
from dans.data.graph import SPLITS, KnowledgeGraph, Split
from tests.data.conftest import Shipped

TRAIN = "ada knows bob|bob knows ada|ada knows bob|ada likes ada|bob likes tea"
VALID = "bob knows bob 1|bob knows bob 1|bob likes ada -1|bob likes tea -1|eve knows bob 1"
TEST = "tea likes bob|ada knows bob|ada likes bob|eve owns dan|eve knows bob"


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    for split, text in zip(SPLITS, (TRAIN, VALID, TEST), strict=True):
        lines = text.replace(" ", "\t").replace("|", "\n") + "\n"
        (tmp_path / f"{split}.tsv").write_text(lines)
    return KnowledgeGraph.load(tmp_path, labelled=["valid"]).audit()


#: By count: in train, valid and test; counts that are left out are zero in all.
BY_HAND = {
    "lines": (5, 5, 5),
    "negatives": (0, 2, 0),
    "repeats": (1, 1, 0),  # ada knows bob; bob knows bob
    "self_loops": (1, 2, 0),  # ada likes ada; bob knows bob, twice
    "relations": (2, 2, 3),
    "unseen_entities": (0, 1, 2),  # eve; eve, dan
    "lines_unseen": (0, 1, 2),
    "triples_unseen": (0, 1, 2),
    "unseen_relations": (0, 0, 1),  # owns
    "in_train": (5, 0, 1),  # ada knows bob
    "negatives_in_train": (0, 1, 0),  # bob likes tea
    "reversed_in_train": (3, 0, 2),  # ada and bob know each other; tea likes bob, ada knows bob
    "linked_in_train": (5, 0, 2),
    "linked_back_in_train": (4, 0, 3),  # and ada likes ada
}


@pytest.mark.parametrize("split", SPLITS)
def test_counts_of_a_split_equal_those_made_by_hand(audit: Audit, split: Split) -> None:
    counts = {name: by_split[SPLITS.index(split)] for name, by_split in BY_HAND.items()}
    assert asdict(audit.splits[split]) == {"contradictions": 0, **counts}


def test_the_whole_is_counted_too(audit: Audit) -> None:
    assert (audit.entities, audit.relations, audit.entities_in_train) == (5, 3, 3)
    assert audit.in_valid_and_test == 1
    assert audit.triples_in_valid_and_test == 1


def test_sentences_leave_out_counts_of_zero(audit: Audit) -> None:
    whole, train, valid, test, shared, repeated = audit.lines()
    assert whole.endswith(": 5 entities and 3 relations, of which train holds 3 and 2")
    assert train == "train: 5 triples of 2 relations; 1 line repeats an earlier one; 1 self-loop"
    assert valid == (
        "valid: 3 triples of 2 relations, and 2 lines labelled false;"
        " 1 line repeats an earlier one;"
        " 2 self-loops; 1 line labelled false is a triple of train;"
        " 1 entity unseen in train, in 1 line (20.0 %)"
    )
    assert test == (
        "test: 5 triples of 3 relations; 1 triple is in train too;"
        " 2 entities unseen in train, in 2 lines (40.0 %); 1 relation unseen in train;"
        " 2 (40.0 %) are in train with head and tail exchanged;"
        " 2 (40.0 %) have a triple of train from head to tail, of any relation;"
        " 3 (60.0 %) have a triple of train from tail to head, of any relation"
    )
    assert shared == "valid and test share 1 triple"
    assert repeated.startswith("warning: in train too: 1 of 5 test triples;")


def test_a_triple_with_both_labels_is_a_contradiction() -> None:
    triples = torch.tensor([[0, 0, 1], [0, 0, 1], [0, 0, 1], [1, 0, 1]])
    nothing = torch.empty(0, 3, dtype=torch.int64), torch.empty(0, dtype=torch.bool)
    train = torch.tensor([[1, 0, 0]]), torch.tensor([True])
    for labels, contradictions, repeats in (([1, 0, 1, 0], 1, 1), ([0, 0, 0, 1], 0, 2)):
        lines: dict[Split, Any] = {"train": train, "valid": nothing}
        lines["test"] = triples, torch.tensor(labels, dtype=torch.bool)
        test = Audit.of("toy", 2, 1, lines).splits["test"]
        assert (test.contradictions, test.repeats) == (contradictions, repeats)


def test_an_entity_of_false_training_lines_alone_is_unseen() -> None:
    nothing = torch.empty(0, 3, dtype=torch.int64), torch.empty(0, dtype=torch.bool)
    train = torch.tensor([[0, 0, 1], [0, 0, 2], [1, 0, 2]]), torch.tensor([True, False, False])
    lines: dict[Split, Any] = {"train": train, "valid": nothing, "test": nothing}
    found = Audit.of("toy", 3, 1, lines)
    assert found.entities_in_train == 2
    audit = found.splits["train"]
    assert (audit.unseen_entities, audit.lines_unseen, audit.triples_unseen) == (1, 2, 0)


def test_parts_give_the_counts_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)

    def split(rows: int) -> tuple[Tensor, Tensor]:
        lines = torch.randint(5, (rows, 3), generator=generator) % torch.tensor([5, 2, 5])
        return lines, torch.rand(rows, generator=generator) < 0.7

    lines: dict[Split, Any] = {"train": split(40), "valid": split(15), "test": split(15)}
    whole = Audit.of("toy", 5, 2, lines)
    monkeypatch.setattr(dans.data.audit, "PART", 7)
    assert Audit.of("toy", 5, 2, lines) == whole
    triples, holds = (part.tolist() for part in lines["test"])
    train = {
        tuple(t) for t, hold in zip(*(x.tolist() for x in lines["train"]), strict=True) if hold
    }
    true = [tuple(t) for t, hold in zip(triples, holds, strict=True) if hold]
    links = {(h, t) for h, _, t in train}
    audit = whole.splits["test"]
    assert audit.in_train == sum(t in train for t in true)
    assert audit.reversed_in_train == sum((t, r, h) in train and h != t for h, r, t in true)
    assert audit.linked_in_train == sum((h, t) in links for h, _, t in true)
    assert audit.linked_back_in_train == sum((t, h) in links for h, _, t in true)


def test_empty_splits_are_reported() -> None:
    lines = KnowledgeGraph.of([("ada", "knows", "bob")]).audit().lines()
    assert lines[1:4] == ["train: 1 triple of 1 relation", "valid: empty", "test: empty"]


NONE = dict.fromkeys(
    [
        *("repeats", "contradictions", "self_loops", "unseen_entities", "lines_unseen"),
        *("triples_unseen", "unseen_relations", "negatives", "negatives_in_train"),
    ],
    0,
)
#: What is known of the published files. Where nothing is said the counts of NONE hold; no triple of
#: valid or test is in train.
PUBLISHED: dict[tuple[str, Split], dict[str, int]] = {
    ("umls", "valid"): {"relations": 36},
    ("umls", "test"): {"relations": 36},
    ("wn18rr", "train"): {"self_loops": 7},
    ("wn18rr", "valid"): {
        **{"unseen_entities": 198, "lines_unseen": 210, "triples_unseen": 210},
        **{"self_loops": 2},
    },
    ("wn18rr", "test"): {
        **{"unseen_entities": 209, "lines_unseen": 210, "triples_unseen": 210},
        **{"reversed_in_train": 1086},
    },
    ("wn18am", "train"): {"self_loops": 7},
    ("wn18am", "valid"): {"self_loops": 2},
    ("wn18am", "test"): {"reversed_in_train": 1086},
    ("fb15k-237", "train"): {"self_loops": 1625},
    ("fb15k-237", "valid"): {
        **{"unseen_entities": 8, "lines_unseen": 9, "triples_unseen": 9, "self_loops": 90},
        **{"relations": 223, "linked_in_train": 0, "linked_back_in_train": 0},
    },
    ("fb15k-237", "test"): {
        **{"unseen_entities": 29, "lines_unseen": 28, "triples_unseen": 28, "self_loops": 91},
        **{"relations": 224, "linked_in_train": 0, "linked_back_in_train": 0},
    },
    ("fb15k-237am", "train"): {"self_loops": 1625},
    ("fb15k-237am", "valid"): {"self_loops": 90, "linked_in_train": 0},
    ("fb15k-237am", "test"): {"self_loops": 91, "linked_in_train": 0},
    ("nell-995", "train"): {"self_loops": 40},
    ("nell-995", "valid"): {
        **{"unseen_entities": 1137, "lines_unseen": 1093, "triples_unseen": 1093},
        **{"self_loops": 2},
    },
    ("nell-995", "test"): {"unseen_entities": 1080, "lines_unseen": 1036, "triples_unseen": 1036},
    ("nell-995-deeppath", "train"): {"self_loops": 42},
    ("nell-995-deeppath", "valid"): {
        **{"unseen_entities": 104, "lines_unseen": 102, "triples_unseen": 102, "relations": 12},
    },
    ("nell-995-deeppath", "test"): {
        **{"unseen_entities": 964, "lines_unseen": 1159, "triples_unseen": 1159, "relations": 12},
    },
    ("wn11", "train"): {"repeats": 2220, "self_loops": 153},
    ("wn11", "valid"): {
        **{"negatives": 2609, "repeats": 3, "negatives_in_train": 1, "self_loops": 3},
        **{"unseen_entities": 187, "lines_unseen": 338, "triples_unseen": 197},
    },
    ("wn11", "test"): {
        **{"negatives": 10544, "repeats": 53, "negatives_in_train": 7, "self_loops": 40},
        **{"unseen_entities": 383, "lines_unseen": 1342, "triples_unseen": 800},
        **{"contradictions": 1},
    },
    ("fb13", "train"): {"self_loops": 4},
    ("fb13", "valid"): {
        **{"negatives": 5908, "negatives_in_train": 10, "contradictions": 1, "relations": 7},
    },
    ("fb13", "test"): {
        **{"negatives": 23733, "negatives_in_train": 40, "contradictions": 12, "relations": 7},
        **{"repeats": 2},
    },
    ("kinship", "valid"): {"relations": 22, "linked_in_train": 0},
    ("kinship", "test"): {"relations": 23, "linked_in_train": 0, "linked_back_in_train": 875},
    ("nations", "valid"): {"relations": 45, "linked_in_train": 199, "linked_back_in_train": 199},
    ("nations", "test"): {"relations": 41, "linked_in_train": 201, "linked_back_in_train": 201},
    ("countries_s1", "train"): {"repeats": 1, "self_loops": 1},
    ("countries_s1", "valid"): {"relations": 1},
    ("countries_s1", "test"): {"relations": 1},
}
#: entities in train; triples, and triples, in both valid and test
WHOLE = {
    "umls": (135, 0, 0),
    "wn18rr": (40559, 0, 0),
    "wn18am": (40559, 0, 0),
    "fb15k-237": (14505, 0, 0),
    "fb15k-237am": (14505, 0, 0),
    "nell-995": (61731, 0, 0),
    "nell-995-deeppath": (74432, 0, 0),
    "wn11": (38194, 32, 31),
    "fb13": (75043, 5, 0),
    "kinship": (104, 0, 0),
    "nations": (14, 0, 0),
    "countries_s1": (271, 0, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WHOLE))
def test_published_sets_are_audited_to_the_known_numbers(name: str, shipped: Shipped) -> None:
    kg = shipped(name)
    audit = kg.audit()
    counted = audit.entities_in_train, audit.in_valid_and_test, audit.triples_in_valid_and_test
    assert counted == WHOLE[name]
    for split in SPLITS:
        expected = {**NONE, **PUBLISHED.get((name, split), {})}
        expected["in_train"] = len(kg.lines("train")[0]) if split == "train" else 0
        found = asdict(audit.splits[split])
        assert {key: found[key] for key in expected} == expected, split


def test_kinship_links_a_pair_at_most_once(shipped: Shipped) -> None:
    kg = shipped("kinship")
    pairs = torch.cat([kg.split(split)[:, [0, 2]] for split in SPLITS])
    assert len(pairs) == len(pairs.unique(dim=0)) == 10686


def test_names_of_countries_stay_as_they_are(shipped: Shipped) -> None:
    kg = shipped("countries_s1")
    odd = {name for name in kg.entities.names if not name.isascii()}
    assert odd == {
        *("são_tomé_and_príncipe", "saint_barthélemy", "réunion", "curaçao", "Åland_islands")
    }
    (loop,) = kg.train[kg.train[:, 0] == kg.train[:, 2]].tolist()
    assert kg.entities[loop[0]] == "micronesia"
    assert {kg.relations[r] for r in kg.test[:, 1].tolist()} == {"locatedin"}


@pytest.mark.slow
def test_names_that_look_like_numbers_stay_text(shipped: Shipped) -> None:
    names = shipped("wn18rr").entities.names
    assert {len(name) for name in names} == {8}
    assert all(name.isdecimal() for name in names)
    kg = shipped("wn18rr")
    seen = [kg.entities[i] for i in kg.seen.nonzero().flatten().tolist()]
    assert sum(name.startswith("0") for name in seen) == 30207
    deeppath = shipped("nell-995-deeppath").entities.names
    odd = [name for name in deeppath if not name.startswith("concept_")]
    assert (len(odd), sum("," in name for name in odd)) == (5317, 5274)


@pytest.mark.slow
def test_derived_sets_are_their_parents_without_the_unseen(shipped: Shipped) -> None:
    for parent, child in (("wn18rr", "wn18am"), ("fb15k-237", "fb15k-237am")):
        whole, part = shipped(parent), shipped(child)
        assert part.entities.names == whole.entities.names[: len(part.entities)]
        assert torch.equal(part.train, whole.train)
        for split in ("valid", "test"):
            triples = whole.split(split)
            kept = triples[whole.seen[triples[:, [0, 2]]].all(dim=1)]
            assert torch.equal(part.split(split), kept)
