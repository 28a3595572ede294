"""Sets of candidates are what a list, a type, or domain and range say."""

from pathlib import Path

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.evaluation.candidate_sets import CandidateSets, Restriction, candidate_sets

TYPES = "ada\tperson\nbob\tperson\ncy\tperson\ngus\tperson\ntea\tthing\npot\tthing\ncup\tthing\n"

#: Domain and range of two of the three relations; anything is near something.
DOMAINS = "knows\tperson\tperson\nowns\tperson\tthing\nnear\t\tthing\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "types.tsv").write_text(TYPES)
    (tmp_path / "domains.tsv").write_text(DOMAINS)
    return tmp_path


def members(sets: CandidateSets, kg: KnowledgeGraph, relation: str, side: int) -> set[str]:
    """The candidates of a slot, by all three ways to look at them."""
    slot = torch.tensor([2 * kg.relations.index(relation) + side])
    inside = ~sets.excluded(slot)[0]
    every = torch.arange(kg.num_entities)
    assert torch.equal(sets.holds(slot.expand(len(every)), every), inside)
    size = int(sets.sizes(slot))
    assert torch.equal(sets.at(slot, torch.arange(size).unsqueeze(0))[0], inside.nonzero()[:, 0])
    return {kg.entities[i] for i in inside.nonzero()[:, 0].tolist()}


def test_learned_domains_and_ranges_are_the_ends_of_training_triples(kg: KnowledgeGraph) -> None:
    sets = Restriction("domain-range").sets(kg)
    for relation in kg.relations.names:
        own = kg.train[kg.train[:, 1] == kg.relations.index(relation)]
        for side in (0, 1):
            expected = {kg.entities[i] for i in own[:, 2 * side].tolist()}
            assert members(sets, kg, relation, side) == expected


def test_a_relation_without_training_triples_restricts_nothing() -> None:
    kg = KnowledgeGraph.of([("a", "r", "b")], test=[("b", "s", "c")])
    sets = CandidateSets.seen(kg)
    assert members(sets, kg, "s", 0) == {"a", "b", "c"}
    assert members(sets, kg, "r", 0) == {"a"}


def test_types_widen_what_is_seen(kg: KnowledgeGraph, folder: Path) -> None:
    given = Restriction("domain-range", entity_types=folder / "types.tsv").sets(kg)
    # Gus is a person in no training triple; maps are owned, and have no type.
    assert members(given, kg, "knows", 0) == {"ada", "bob", "cy", "gus"}
    assert members(given, kg, "owns", 1) == {"tea", "pot", "cup"}


def test_given_domains_and_ranges_count(kg: KnowledgeGraph, folder: Path) -> None:
    domains = folder / "domains.tsv"
    restriction = Restriction("domain-range", folder / "types.tsv", domains)
    sets = restriction.sets(kg)
    assert members(sets, kg, "owns", 0) == {"ada", "bob", "cy", "gus"}
    assert members(sets, kg, "near", 0) == set(kg.entities.names)
    assert members(sets, kg, "near", 1) == {"tea", "pot", "cup"}
    domains.write_text("owns\tperson\tthing\nowns\tthing\t\n")
    sets = restriction.sets(kg)
    assert members(sets, kg, "owns", 0) == set(kg.entities.names) - {"map"}
    assert members(sets, kg, "owns", 1) == set(kg.entities.names)
    assert members(sets, kg, "knows", 0) == set(kg.entities.names)


def test_a_list_a_file_and_a_type_are_one_set(kg: KnowledgeGraph, folder: Path) -> None:
    (folder / "list.txt").write_text("cup\ntea\n\npot\ntea\n")
    typed = Restriction("type:thing", entity_types=folder / "types.tsv").sets(kg)
    listed = [
        candidate_sets(among, kg)
        for among in (["tea", "pot", "cup"], folder / "list.txt", str(folder / "list.txt"), typed)
    ]
    for sets in listed:
        assert sets is not None
        for relation, side in (("knows", 0), ("owns", 1)):
            assert members(sets, kg, relation, side) == {"tea", "pot", "cup"}
    assert len({sets.label for sets in listed if sets is not None}) == 2, "a list, and a type"
    assert Restriction(["tea"]).sets(kg).label != Restriction(["cup"]).sets(kg).label
    assert candidate_sets(None, kg) is None


def test_fewer_columns_are_the_same_sets(kg: KnowledgeGraph) -> None:
    sets = CandidateSets.seen(kg)
    slots = torch.tensor([1, 0])
    narrow = sets.narrowed(slots, torch.tensor([kg.entities.index("gus")]))
    assert narrow.columns is not None
    assert {kg.entities[i] for i in narrow.columns.tolist()} == {"ada", "bob", "cy", "gus"}
    assert torch.equal(narrow.excluded(slots), sets.excluded(slots)[:, narrow.columns])
    places, there = narrow.positions(torch.arange(kg.num_entities))
    assert torch.equal(there.nonzero()[:, 0], narrow.columns)
    assert torch.equal(narrow.ids(places[there]), narrow.columns)


def test_what_cannot_be_used_is_refused(kg: KnowledgeGraph, folder: Path) -> None:
    def refused(match: str, *given: object) -> None:
        with pytest.raises(InputError, match=match):
            Restriction(*given).sets(kg)  # type: ignore[arg-type]

    types, domains, names = (folder / name for name in ("types.tsv", "domains.tsv", "names.txt"))
    names.write_text("ada\nbop\n")
    refused(r"names\.txt:2: unknown name 'bop'; did you mean 'bob'", names)
    refused(r"among\[1\]: unknown name 'bop'; did you mean 'bob'", ["ada", "bop"])
    refused(r"expected domain-range, type:NAME, or a file .* did you mean domain-range", "domain")
    refused("unknown name 'persom'; did you mean 'person'", "type:persom", types)
    refused("types of entities are missing", "type:person")
    refused("types of entities are missing", "domain-range", None, domains)
    refused("have an effect on domain-range or type:NAME alone", ["ada"], types)
    refused("relations have an effect on domain-range alone", "type:person", types, domains)
    refused("no name in it", [])
    names.write_text("\n")
    refused(r"names\.txt: no name in it", names)
    for line, match in (
        ("owns\tperson", r"domains\.tsv:1: found 2 columns, expected 3"),
        ("own\tperson\tthing", r"domains\.tsv:1: relation: unknown name 'own'.* 'owns'"),
        ("owns\tperson\tthin", r"domains\.tsv:1: type: unknown name 'thin'.* 'thing'"),
        ("", r"domains\.tsv: no line in it"),
    ):
        domains.write_text(f"{line}\n")
        refused(match, "domain-range", types, domains)
    other = CandidateSets.seen(KnowledgeGraph.of([("a", "r", "b")]))
    with pytest.raises(InputError, match="of a graph of 2 entities and 1 relations, toy has 8"):
        candidate_sets(other, kg)
