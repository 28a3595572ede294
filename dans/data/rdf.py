"""Triples of RDF: files by rdflib, graphs of it, and what becomes of literals and blank nodes."""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from dans.config.reading import kind_of, unpacked
from dans.data.readers import Line, literal_name
from dans.errors import InputError, shown

log = logging.getLogger(__name__)

#: What to do with triples that have a literal, or a blank node.
Choice = Literal["keep", "drop"]

#: rdflib's parsers by suffix. JSON-LD is none of them: its contexts are fetched from the web.
PARSERS = {
    **{".ttl": "turtle", ".turtle": "turtle", ".n3": "n3", ".nq": "nquads", ".trig": "trig"},
    **{".rdf": "xml", ".owl": "xml"},
}

#: What IRIs are relative to that are not absolute: no name depends on where a file stands.
BASE = "file:///"


def read_rdf(path: Path) -> Iterator[Line]:
    """The triples of an RDF file by rdflib, in memory; graph names of quads are left out.

    Names are those of N-Triples. A blank node is named by the file and its first appearance:
    ``_:train-0``.
    """
    try:
        import rdflib
        from rdflib.store import TripleAddedEvent
    except ImportError:
        raise InputError(
            f"{path}: {path.suffix} needs rdflib: pip install rdflib, or convert it to N-Triples"
        ) from None
    parser = PARSERS[kind_of(path).lower()]
    quads = parser in ("nquads", "trig")
    graph = rdflib.Dataset(default_union=True) if quads else rdflib.Graph()
    triples: list[tuple[Any, Any, Any]] = []
    # A graph is a set: in the order of its own a name would have another id each time.
    graph.store.dispatcher.subscribe(TripleAddedEvent, lambda added: triples.append(added.triple))
    # Otherwise rdflib writes "007"^^xsd:integer as "7".
    normalize, rdflib.NORMALIZE_LITERALS = rdflib.NORMALIZE_LITERALS, False
    try:
        with unpacked(path) as file:
            content = file.read()
        with warnings.catch_warnings():
            # rdflib's own use of what it deprecates.
            warnings.simplefilter("ignore", DeprecationWarning)
            graph.parse(data=content, format=parser, publicID=BASE)
    except InputError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    except Exception as error:
        # Each parser has its own errors, without a common class.
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not {parser} that rdflib can read: {reason}") from None
    finally:
        rdflib.NORMALIZE_LITERALS = normalize
    yield from term_lines(triples, path.name.split(".")[0])


def triples_of_graph(graph: Any) -> list[tuple[Any, Any, Any]]:
    """The sorted triples of a graph of rdflib, or of all graphs of a data set of quads."""
    if hasattr(graph, "quads"):
        return sorted({quad[:3] for quad in graph.quads((None, None, None, None))})
    return sorted(graph.triples((None, None, None)))


def term_lines(triples: Iterable[tuple[Any, Any, Any]], stem: str) -> Iterator[Line]:
    """Triples of rdflib's terms, by the names that N-Triples files give."""
    blank: dict[object, str] = {}

    def name(term: Any) -> str:
        kind = type(term).__name__
        if kind == "BNode":
            return blank.setdefault(term, f"_:{stem}-{len(blank)}")
        if kind == "Literal":
            suffix = f"^^<{term.datatype}>" if term.datatype else ""
            return literal_name(str(term), f"@{term.language}" if term.language else suffix)
        return str(term)

    for subject, predicate, value in triples:
        yield name(subject), name(predicate), name(value), True


def choose_terms(
    lines: Iterable[Line], where: object, *, literals: Choice, blank_nodes: Choice
) -> Iterator[Line]:
    """Keep or drop triples with literals and with blank nodes; how many there are is logged."""
    counts = {"literals": 0, "blank_nodes": 0}
    example: dict[str, str] = {}
    chosen = {"literals": literals, "blank_nodes": blank_nodes}
    for line in lines:
        kinds = []
        if line[2].startswith('"'):
            kinds.append("literals")
        if line[0].startswith("_:") or line[2].startswith("_:"):
            kinds.append("blank_nodes")
        for kind in kinds:
            counts[kind] += 1
            example.setdefault(kind, line[2] if kind == "literals" else "")
        if not any(chosen[kind] == "drop" for kind in kinds):
            yield line
    for kind, count in counts.items():
        if count:
            such = f", such as {shown(example[kind])}" if example[kind] else ""
            option = f"{kind}='drop' (--{kind.replace('_', '-')} drop)"
            done = "dropped" if chosen[kind] == "drop" else f"kept; {option} leaves them out"
            some = "triple has" if count == 1 else "triples have"
            words = f"{count:,} {some} {kind.replace('_', ' ')}{such}"
            log.warning("%s: %s: %s", where, words, done)
