import gzip
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import dans.data.cards
from dans.data.cards import cards
from dans.data.download import sha256
from dans.data.graph import SPLITS, KnowledgeGraph, Split, Vocabulary
from dans.data.message_graph import Norm
from dans.errors import InputError
from tests.data.conftest import Shipped

Names = tuple[str, str, str]

TRAIN = [
    ("ada", "knows", "bob"),
    ("bob", "likes", "tea"),
    ("ada", "knows", "cat"),
    ("ada", "knows", "bob"),
    ("cat", "likes", "cat"),
]
VALID = [("dan", "likes", "tea")]
TEST = [("tea", "owns", "eve"), ("bob", "knows", "ada")]


@pytest.fixture
def kg() -> KnowledgeGraph:
    return KnowledgeGraph.of(TRAIN, VALID, TEST, name="toy")


def named(kg: KnowledgeGraph, split: Split) -> list[Names]:
    return [
        (kg.entities[h], kg.relations[r], kg.entities[t]) for h, r, t in kg.split(split).tolist()
    ]


def wrote(folder: Path, suffix: str = ".tsv", **splits: list[Names]) -> Path:
    folder.mkdir(exist_ok=True)
    for split, triples in splits.items():
        line = "<x:{}> <x:{}> <x:{}> .\n" if ".nt" in suffix else "{}\t{}\t{}\n"
        data = "".join(line.format(*triple) for triple in triples).encode()
        packed = gzip.compress(data) if suffix.endswith(".gz") else data
        (folder / f"{split}{suffix}").write_bytes(packed)
    return folder


def test_names_and_ids_are_each_others_inverse() -> None:
    names = Vocabulary(("ada", "bob", "cat"))
    assert [names.index(names[i]) for i in range(len(names))] == [0, 1, 2]


def test_an_unknown_name_is_refused_with_near_spellings() -> None:
    names = Vocabulary(("concept:bird", "concept:birds", "fish"))
    with pytest.raises(
        InputError, match="unknown name 'concept:brid'; did you mean 'concept:bird'"
    ):
        names.index("concept:brid")
    with pytest.raises(InputError, match=r"unknown name 'zzz'; known: concept:bird, "):
        names.index("zzz")
    for near in ("x", "zzz"):
        with pytest.raises(InputError) as caught:
            Vocabulary(("x" * 5000,)).index(near)
        assert len(str(caught.value)) < 300


def test_a_name_has_one_id() -> None:
    with pytest.raises(InputError, match="'ada': the name occurs twice"):
        Vocabulary(("ada", "bob", "ada"))


def test_ids_count_first_appearances_through_all_splits(kg: KnowledgeGraph) -> None:
    assert kg.entities.names == ("ada", "bob", "tea", "cat", "dan", "eve")
    assert kg.relations.names == ("knows", "likes", "owns")
    assert (kg.num_entities, kg.num_relations) == (6, 3)


def test_train_has_each_triple_once_and_its_lines_are_kept(kg: KnowledgeGraph) -> None:
    assert [len(kg.lines(split)[0]) for split in SPLITS] == [5, 1, 2]
    assert kg.audit().splits["train"].repeats == 1
    once = KnowledgeGraph.of([*TRAIN[:3], TRAIN[4]], VALID, TEST, name="toy")
    assert torch.equal(kg.train, once.train)
    assert kg.digest != once.digest


def test_triples_come_out_as_they_went_in(kg: KnowledgeGraph) -> None:
    assert [named(kg, split) for split in SPLITS] == [[*TRAIN[:3], TRAIN[4]], VALID, TEST]
    assert {kg.split(split).dtype for split in SPLITS} == {torch.int64}


def test_empty_splits_are_empty_tensors() -> None:
    kg = KnowledgeGraph.of(TRAIN)
    assert kg.valid.shape == kg.test.shape == (0, 3)


@pytest.mark.parametrize("triple", [("ada", "knows"), ("ada", "", "bob"), ("ada", "knows", 7)])
def test_what_is_no_triple_is_refused_by_position(triple: Names) -> None:
    with pytest.raises(InputError, match=r"valid\[1\]: expected three names"):
        KnowledgeGraph.of(TRAIN, [TRAIN[0], triple])


def test_an_unknown_split_is_refused(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="split: known: train, valid, test; got 'dev'"):
        kg.split("dev")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"split: known: .*; got 'dev'"):
        kg.known(("train", "dev"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("triples", "why"),
    [
        (torch.tensor([[0, 0, 6]]), "holds an id outside of 6 entities and 3 relations"),
        (torch.tensor([[0, 3, 0]]), "holds an id outside"),
        (torch.tensor([[-1, 0, 0]]), "holds an id outside"),
        (torch.tensor([[0, 0]]), r"expected \(·, 3\) int64 ids, got \(1, 2\)"),
        (torch.tensor([[0.0, 0, 0]]), r"expected \(·, 3\) int64 ids, got \(1, 3\) torch.float32"),
    ],
)
def test_ids_without_a_name_are_refused(
    kg: KnowledgeGraph, triples: torch.Tensor, why: str
) -> None:
    with pytest.raises(InputError, match=f"test: {why}"):
        replace(kg, test=triples)


def test_seen_marks_the_entities_of_train(kg: KnowledgeGraph) -> None:
    seen = [name for name, known in zip(kg.entities.names, kg.seen.tolist(), strict=True) if known]
    assert seen == ["ada", "bob", "tea", "cat"]


def test_the_filter_set_holds_the_triples_of_the_chosen_splits(kg: KnowledgeGraph) -> None:
    triples = torch.cat((kg.train, kg.valid, kg.test))
    assert bool(kg.known().is_known(triples).all())
    assert kg.known(("train",)).is_known(triples).tolist() == [True] * 4 + [False] * 3
    assert kg.known(("valid", "test")).is_known(triples).tolist() == [False] * 4 + [True] * 3
    assert kg.known(("test", "valid")) is kg.known(("valid", "test"))


def test_digests_differ_where_graphs_differ(kg: KnowledgeGraph) -> None:
    again = KnowledgeGraph.of(TRAIN, VALID, TEST, name="another name")
    assert kg.digest == again.digest
    assert len(bytes.fromhex(kg.digest)) == 32
    labelled: dict[Split, tuple[torch.Tensor, torch.Tensor]] = {
        "test": (kg.test, torch.tensor([True, True]))
    }
    others = [
        KnowledgeGraph.of(TRAIN[::-1], VALID, TEST),
        KnowledgeGraph.of(TRAIN, TEST, VALID),
        KnowledgeGraph.of(TRAIN + VALID, [], TEST),
        KnowledgeGraph.of([(h.upper(), r, t) for h, r, t in TRAIN], VALID, TEST),
        replace(kg, labelled=labelled),
        replace(kg, labelled={"test": (kg.test, torch.tensor([True, False]))}),
    ]
    assert len({other.digest for other in [kg, *others]}) == len(others) + 1


def test_names_cannot_run_together_in_the_digest() -> None:
    one = KnowledgeGraph.of([("a", "r", "b"), ("a, b", "r", "c")])
    other = KnowledgeGraph.of([("a", "r", "b, a"), ("b", "r", "c")])
    assert one.digest != other.digest


def many(relations: int) -> KnowledgeGraph:
    """A triple and a half for each relation, in an order that sorting by name would change."""
    triples = [(f"e{r % 7}", f"r{r}", f"e{r * r % 11}") for r in range(relations)]
    return KnowledgeGraph.of(triples + triples[::-2], name="many")


def test_edges_of_the_heterograph_are_the_triples_they_name() -> None:
    kg = many(23)
    graph = kg.heterograph()
    assert graph.ntypes == ["entity"]
    assert graph.num_nodes() == kg.num_entities
    assert len(graph.etypes) == kg.num_relations
    seen = []
    for etype in graph.canonical_etypes:
        heads, tails = graph.edges(etype=etype, order="eid")
        rows = graph.edges[etype].data["triple"]
        assert torch.equal(kg.train[rows, 0], heads)
        assert torch.equal(kg.train[rows, 2], tails)
        assert set(kg.train[rows, 1].tolist()) == {int(etype[1])}
        assert rows.tolist() == sorted(rows.tolist())
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(kg.train)))


def test_edge_types_are_in_the_order_of_relation_ids() -> None:
    graph = many(1201).heterograph()
    assert graph.etypes == [f"{r:06d}" for r in range(1201)]


def test_relations_of_other_splits_are_empty_edge_types(kg: KnowledgeGraph) -> None:
    sizes = {
        split: [kg.heterograph(split).num_edges(f"{r:06d}") for r in range(3)] for split in SPLITS
    }
    assert sizes == {"train": [2, 2, 0], "valid": [0, 1, 0], "test": [1, 0, 1]}


@pytest.mark.parametrize("norm", ["relation", "node", "code"])
def test_messages_are_the_training_triples_in_both_directions(norm: Norm) -> None:
    kg = many(23)
    messages, m = kg.messages(norm), kg.num_relations
    assert messages.norm == norm
    heads, relations, tails = kg.train[messages.triple_ids].unbind(1)
    back = messages.etype >= m
    assert torch.equal(messages.sources, torch.where(back, tails, heads))
    assert torch.equal(messages.targets, torch.where(back, heads, tails))
    assert torch.equal(messages.etype, torch.where(back, relations + m, relations))
    assert Counter(messages.triple_ids.tolist()) == dict.fromkeys(range(len(kg.train)), 2)


def test_messages_are_the_edges_of_the_dgl_graph() -> None:
    kg = many(23)
    messages, graph = kg.messages(), kg.heterograph()
    for r in range(kg.num_relations):
        heads, tails = graph.edges(etype=f"{r:06d}", order="eid")
        there = messages.etype == r
        found = zip(messages.sources[there].tolist(), messages.targets[there].tolist(), strict=True)
        assert sorted(found) == sorted(zip(heads.tolist(), tails.tolist(), strict=True))


def test_an_encoder_without_use_for_messages_gets_none() -> None:
    kg = many(23)
    assert len(kg.messages(used=False)) == 0
    assert kg.messages(used=False).num_entities == kg.num_entities
    assert not kg._messages


def test_messages_are_kept_by_norm(kg: KnowledgeGraph) -> None:
    assert kg.messages() is kg.messages("relation") is not kg.messages("node")
    with pytest.raises(InputError, match="known: relation, node, code"):
        kg.messages("none")  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".tsv", ".txt.gz"])
def test_a_folder_is_read_as_it_is(tmp_path: Path, kg: KnowledgeGraph, suffix: str) -> None:
    folder = wrote(tmp_path / "mine", suffix, train=TRAIN, valid=VALID, test=TEST)
    for where in (folder, str(folder)):
        loaded = KnowledgeGraph.load(where)
        assert (loaded.name, loaded.digest) == ("mine", kg.digest)


def test_a_folder_may_mix_kinds_of_files(tmp_path: Path) -> None:
    wrote(tmp_path, ".nt.gz", train=TRAIN)
    wrote(tmp_path, ".tsv", valid=[("x:dan", "x:likes", "x:tea")], test=[("x:ada", "r", "x:bob")])
    kg = KnowledgeGraph.load(tmp_path)
    assert kg.entities.names == ("x:ada", "x:bob", "x:tea", "x:cat", "x:dan")


def test_labelled_lines_are_kept_and_those_that_hold_are_triples(tmp_path: Path) -> None:
    wrote(tmp_path, train=TRAIN, valid=VALID)
    (tmp_path / "test.tsv").write_text("ada\tknows\teve\t-1\nbob\tlikes\tcat\t1\n")
    kg = KnowledgeGraph.load(tmp_path, labelled=["test"])
    assert named(kg, "test") == [("bob", "likes", "cat")]
    lines, holds = kg.labelled["test"]
    assert holds.tolist() == [False, True]
    assert lines[:, 2].tolist() == [kg.entities.index("eve"), kg.entities.index("cat")]
    assert list(kg.labelled) == ["test"]
    with pytest.raises(InputError, match=r"test\.tsv:1: found 4 columns"):
        KnowledgeGraph.load(tmp_path)


def test_training_lines_labelled_false_are_no_triples(tmp_path: Path) -> None:
    lines = "ada\tknows\tbob\t1\nbob\tknows\teve\t-1\nada\tlikes\ttea\t1\n"
    (tmp_path / "train.tsv").write_text(lines)
    kg = KnowledgeGraph.load(tmp_path, labelled=["train"])
    assert named(kg, "train") == [("ada", "knows", "bob"), ("ada", "likes", "tea")]
    lines_read, holds = kg.lines("train")
    assert holds.tolist() == [True, False, True]
    assert kg.known().is_known(lines_read).tolist() == holds.tolist()
    assert not kg.seen[kg.entities.index("eve")]
    ends = torch.stack((kg.messages().sources, kg.messages().targets))
    assert not ends.eq(kg.entities.index("eve")).any()


def test_labelled_is_only_for_a_folder(tmp_path: Path) -> None:
    wrote(tmp_path, train=TRAIN, valid=VALID, test=TEST)
    with pytest.raises(InputError, match="labelled: known: train, valid, test; got 'dev'"):
        KnowledgeGraph.load(tmp_path, labelled=["dev"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="labelled: only for a folder; the card of umls"):
        KnowledgeGraph.load("umls", labelled=["test"])


@pytest.fixture
def carded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a card named toy, with its files in a folder of DANS_DATASETS."""
    folder = wrote(tmp_path / "toy", train=TRAIN, valid=VALID, test=TEST)
    text = 'name = "toy"\ntitle = "t"\nsource = "s"\npaper = "p"\nlicence = "l"\n'
    text += "entities = 6\nrelations = 3\n"
    for split, triples in zip(SPLITS, (TRAIN, VALID, TEST), strict=True):
        digest = sha256(folder / f"{split}.tsv")
        text += f'[{split}]\nlines = {len(triples)}\nsha256 = "{digest}"\n'
    (tmp_path / "toy.toml").write_text(text)
    monkeypatch.setenv("DANS_DATASETS", str(tmp_path))
    monkeypatch.setattr(dans.data.cards, "card_folder", lambda: tmp_path)
    return tmp_path / "toy.toml"


def test_a_card_is_loaded_by_name_and_by_path(carded: Path, kg: KnowledgeGraph) -> None:
    for where in ("toy", carded, str(carded)):
        loaded = KnowledgeGraph.load(where)
        assert (loaded.name, loaded.digest) == ("toy", kg.digest)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("entities = 6", "entities = 7", "entities = 7, but its files hold 6"),
        ("relations = 3", "relations = 2", "relations = 2, but its files hold 3"),
        ("lines = 5", "lines = 4", r"train\.lines = 4, but its files hold 5"),
    ],
)
def test_a_card_that_miscounts_is_refused(carded: Path, old: str, new: str, why: str) -> None:
    carded.write_text(carded.read_text().replace(old, new))
    with pytest.raises(InputError, match=rf"toy\.toml: {why}"):
        KnowledgeGraph.load("toy")


def test_sizes_are_shown_and_triples_are_not(kg: KnowledgeGraph) -> None:
    assert repr(kg) == "KnowledgeGraph(entities=6, relations=3, train=4, valid=1, test=2)"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(cards()))
def test_published_sets_load_with_the_counts_of_their_cards(name: str, shipped: Shipped) -> None:
    kg = shipped(name)
    assert kg.name == name
    assert len(kg.messages()) == 2 * len(kg.train)
    assert kg.heterograph().num_edges() == len(kg.train)


def test_walks_follow_triples_and_a_seed_decides_them(kg: KnowledgeGraph) -> None:
    pairs = {frozenset(pair) for pair in kg.train[:, ::2].tolist()}
    starts = kg.seen.nonzero().squeeze(1).repeat(10)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(kg.walks(starts, 4))
    walks = drawn[0]
    assert walks.shape == (len(starts), 5)
    assert torch.equal(walks[:, 0], starts)
    for walk in walks.tolist():
        assert all(frozenset(step) in pairs for step in pairwise(walk))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_walk_from_nowhere_ends_at_once(kg: KnowledgeGraph) -> None:
    eve = kg.entities.index("eve")
    assert not kg.seen[eve]
    assert kg.walks(torch.tensor([eve]), 2).tolist() == [[eve, -1, -1]]
