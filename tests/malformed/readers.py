"""Splits that cannot be read."""

import gzip
from pathlib import Path

from tests.malformed.case import Case, Content

READ = "inspect_sampler.py --dataset triples --sampler uniform"
CARD = "inspect_sampler.py --dataset labelled.toml --sampler uniform"
GOOD = "ada\tknows\tbob\n"
IRI = "<http://x.org/a> <http://x.org/r> <http://x.org/b> .\n"


def line(name: str, content: Content, *words: str, number: int = 2, suffix: str = "tsv") -> Case:
    """A train split of one good line, and then something else."""
    path = f"triples/train.{suffix}"
    start = IRI if suffix.startswith("nt") else GOOD
    if isinstance(content, str):
        content = content.encode()
    assert content is not None
    data = start.encode() + content
    files: dict[str, Content] = {"triples/train.tsv": None, path: data}
    if suffix.endswith("gz"):
        files[path] = gzip.compress(data)
    return Case(name, READ, f"{path}:{number}: ", *words, files=files)


def triples(name: str, content: str, *words: str) -> Case:
    """The same in N-Triples."""
    return line(name, content, *(words or ("not an N-Triples statement", "3 terms")), suffix="nt")


def spot(name: str, *words: str, files: dict[str, Content], **more: object) -> Case:
    return Case(name, READ, *words, files=files, **more)  # type: ignore[arg-type]


def relabel(name: str, content: bytes, *words: str) -> Case:
    """A labelled valid split that says something else; its card names what it has now."""

    def change(world: Path) -> None:
        import hashlib

        path, card = world / "data/labelled/valid.tsv", world / "labelled.toml"
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        path.write_bytes(content)
        after = hashlib.sha256(content).hexdigest()
        card.write_text(card.read_text().replace(before, after))

    return Case(name, CARD, *words, change=change)


PACKED = gzip.compress((GOOD * 400).encode(), mtime=0)
WRONG_SUM = PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:]

COLUMNS = "expected 3: head, relation, tail"

CASES = [
    line("one column", "ada\n", "found 1 column,", COLUMNS),
    line("blank line inside", "\nada\tknows\tbob\n", "a blank line, with lines after it"),
    line("empty head", "\tknows\tbob\n", "the head is empty"),
    line("NUL in a name", "ada\tkn\0ws\tbob\n", "a NUL character", "UTF-8"),
    line("latin-1", "ada\tkennt\tJosé\n".encode("latin-1"), "0xe9, is not UTF-8"),
    line("byte order mark inside", "\ufeffada\tknows\tbob\n", "byte order mark", "joined"),
    line("carriage return inside", "ada\rb\tknows\tbob\n", "carriage return", "LF or CRLF"),
    line("a line of ten million", "x" * 10_000_000, "found 1 column,", COLUMNS),
    line("wrong line in .gz", "ada\tknows\n", "found 2 columns", COLUMNS, suffix="tsv.gz"),
    spot(
        "UTF-16",
        "train.tsv:1: ",
        "0xff, is not UTF-8",
        files={"triples/train.tsv": GOOD.encode("utf-16")},
    ),
    spot("empty split", "triples/valid.tsv: ", "no triple", files={"triples/valid.tsv": b""}),
    spot(
        "packed nothing",
        "triples/valid.tsv.gz: ",
        "no triple",
        files={"triples/valid.tsv": None, "triples/valid.tsv.gz": gzip.compress(b"")},
    ),
    spot(
        "plain text called .gz",
        "valid.tsv.gz:1: ",
        "gzip",
        files={"triples/valid.tsv": None, "triples/valid.tsv.gz": GOOD},
    ),
    spot(
        "gzip cut short",
        "valid.tsv.gz:",
        "truncated or corrupt",
        files={"triples/valid.tsv": None, "triples/valid.tsv.gz": PACKED[:-9]},
    ),
    spot(
        "gzip with a wrong sum",
        "valid.tsv.gz:",
        "truncated or corrupt",
        files={"triples/valid.tsv": None, "triples/valid.tsv.gz": WRONG_SUM},
    ),
    spot(
        "no training triples",
        "triples: no file for train: there is none",
        "train.tsv",
        files={"triples/train.tsv": None},
    ),
    spot(
        "unknown suffix",
        "triples: no file for test: test.csv",
        "test.tsv",
        files={"triples/test.tsv": None, "triples/test.csv": GOOD},
    ),
    spot(
        "a split twice",
        "triples: train.tsv and train.tsv.gz both",
        "keep one",
        files={"triples/train.tsv.gz": PACKED},
    ),
    spot(
        "a folder for a split",
        "triples/train.tsv: ",
        "a folder",
        files={"triples/train.tsv": None, "triples/train.tsv/part": GOOD},
    ),
    spot(
        "a link to itself",
        "triples",
        "train",
        files={"triples/train.tsv": None},
        change=lambda world: (world / "triples/train.tsv").symlink_to("train.tsv"),
    ),
    Case(
        "no such folder",
        "inspect_sampler.py --dataset nowhere --sampler uniform",
        "'nowhere': neither a data set nor a folder",
        "known: ",
    ),
    triples("no full stop", "<a:a> <a:r> <a:b>\n"),
    triples("relative IRI", "<ada> <a:r> <a:b> .\n", "<ada> is not an absolute IRI"),
    triples("escaped surrogate", '<a:a> <a:r> "\\uD800" .\n', "\\uD800 is not a character"),
    spot(
        "N-Triples of comments alone",
        "triples/train.nt: ",
        "no triple",
        files={"triples/train.tsv": None, "triples/train.nt": "# nothing\n\n"},
    ),
    relabel("label 0", b"e0\tr0\te0\t1\ne1\tr0\te1\t0\n", "valid.tsv:2: label '0'", "1 or -1"),
    relabel(
        "label left out", b"e0\tr0\te0\n", "valid.tsv:1: found 3 columns", "expected 4", "label"
    ),
]
