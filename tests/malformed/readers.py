"""Splits that cannot be read."""

import gzip
from pathlib import Path

from tests.malformed.case import Case, Content

READ = "inspect_sampler.py --dataset triples --sampler uniform"
CARD = "inspect_sampler.py --dataset labelled.toml --sampler uniform"
GOOD = "ada\tknows\tbob\n"


def line(name: str, content: bytes, *words: str) -> Case:
    """A train split of one good line, and then something else."""
    files: dict[str, Content] = {"triples/train.tsv": GOOD.encode() + content}
    return Case(name, READ, "triples/train.tsv:2: ", *words, files=files)


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

CASES = [
    line("latin-1", "ada\tkennt\tJosé\n".encode("latin-1"), "0xe9, is not UTF-8"),
    line("a line of ten million", b"x" * 10_000_000, "found 1 column, expected 3: head, relation"),
    spot(
        "wrong line in .gz",
        "triples/train.tsv.gz:2: found 2 columns",
        files={
            "triples/train.tsv": None,
            "triples/train.tsv.gz": gzip.compress(f"{GOOD}ada\tknows\n".encode()),
        },
    ),
    spot(
        "gzip with a wrong sum",
        "valid.tsv.gz:",
        "truncated or corrupt",
        files={"triples/valid.tsv": None, "triples/valid.tsv.gz": WRONG_SUM},
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
        "'nowhere': neither a data set, a file nor a folder",
        "known: ",
    ),
    spot(
        "relative IRI",
        "triples/train.nt:1: <ada> is not an absolute IRI",
        files={"triples/train.tsv": None, "triples/train.nt": "<ada> <a:r> <a:b> .\n"},
    ),
    relabel("label 0", b"e0\tr0\te0\t1\ne1\tr0\te1\t0\n", "valid.tsv:2: label '0'", "1 or -1"),
]
