"""Splits that cannot be read."""

import gzip
from pathlib import Path

from tests.malformed.case import Case, Content, case

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
    return case(name, READ, f"{path}:{number}: ", *words, files=files)


def triples(name: str, content: str, *words: str) -> Case:
    """The same in N-Triples."""
    return line(name, content, *(words or ("not an N-Triples statement", "3 terms")), suffix="nt")


def spot(name: str, *words: str, files: dict[str, Content], **more: object) -> Case:
    return case(name, READ, *words, files=files, **more)  # type: ignore[arg-type]


def relabel(name: str, content: bytes, *words: str) -> Case:
    """A labelled valid split that says something else; its card names what it has now."""

    def change(world: Path) -> None:
        import hashlib

        path, card = world / "data/labelled/valid.tsv", world / "labelled.toml"
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        path.write_bytes(content)
        after = hashlib.sha256(content).hexdigest()
        card.write_text(card.read_text().replace(before, after))

    return case(name, CARD, *words, change=change)


PACKED = gzip.compress((GOOD * 400).encode(), mtime=0)
CORRUPT = PACKED[:-12] + bytes(b ^ 0xFF for b in PACKED[-12:-8]) + PACKED[-8:]
WRONG_SUM = PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:]

COLUMNS = "expected 3: head, relation, tail"

CASES = [
    line("one column", "ada\n", "found 1 column,", COLUMNS),
    line("two columns", "ada\tknows\n", "found 2 columns", COLUMNS),
    line("four columns", "ada\tknows\tbob\t1\n", "found 4 columns", COLUMNS),
    line("tab at the end", "ada\tknows\tbob\t\n", "found 4 columns", COLUMNS),
    line("tab at the start", "\tada\tknows\tbob\n", "found 4 columns", COLUMNS),
    line("spaces for tabs", "ada knows bob\n", "found 1 column,", COLUMNS),
    line("commas for tabs", "ada,knows,bob\n", "found 1 column,", COLUMNS),
    line("blank line inside", "\nada\tknows\tbob\n", "a blank line", COLUMNS),
    line("blank line at the end", "\n", "a blank line", COLUMNS),
    line("line of one space", " \n", "found 1 column,", COLUMNS),
    line("empty head", "\tknows\tbob\n", "the head is empty"),
    line("empty relation", "ada\t\tbob\n", "the relation is empty"),
    line("empty tail", "ada\tknows\t\n", "the tail is empty"),
    line("tail of spaces", "ada\tknows\t  \n", "the tail is empty"),
    line("only tabs", "\t\t\n", "the head is empty"),
    line("tail of a no-break space", "ada\tknows\t\u00a0\n", "the tail is empty"),
    line("NUL in a name", "ada\tkn\0ws\tbob\n", "a NUL character", "UTF-8"),
    line("latin-1", "ada\tkennt\tJosé\n".encode("latin-1"), "0xe9, is not UTF-8"),
    line("lone continuation byte", b"ada\tknows\t\x80\n", "byte 11", "0x80, is not UTF-8"),
    line("overlong slash", b"ada\tknows\t\xc0\xaf\n", "0xc0, is not UTF-8"),
    line("surrogate in UTF-8", b"ada\tknows\t\xed\xa0\x80\n", "0xed, is not UTF-8"),
    line("cut inside a character", b"ada\tknows\t\xe2\x82", "0xe2, is not UTF-8"),
    line("byte order mark inside", "\ufeffada\tknows\tbob\n", "byte order mark", "joined"),
    line("carriage return inside", "ada\rb\tknows\tbob\n", "carriage return", "LF or CRLF"),
    line("two carriage returns", "ada\tknows\tbob\r\r\n", "carriage return"),
    line("CRLF and a blank line", "ada\tknows\tbob\r\n\r\n", "a blank line", number=3),
    line("a page of HTML", "<html><body>404</body></html>\n", "found 1 column,", COLUMNS),
    line("a Python dictionary", "{'head': 'ada'}\n", "found 1 column,", COLUMNS),
    line("a line of ten million", "x" * 10_000_000, "found 1 column,", COLUMNS),
    line("wrong line in .gz", "ada\tknows\n", "found 2 columns", COLUMNS, suffix="tsv.gz"),
    line("wrong line in .txt", "ada\tknows\n", "found 2 columns", COLUMNS, suffix="txt"),
    spot(
        "UTF-16",
        "train.tsv:1: ",
        "0xff, is not UTF-8",
        files={
            "triples/train.tsv": GOOD.encode("utf-16"),
        },
    ),
    spot(
        "two byte order marks",
        "train.tsv:1: ",
        "byte order mark",
        files={
            "triples/train.tsv": "\ufeff\ufeff" + GOOD,
        },
    ),
    spot("empty split", "triples/valid.tsv: ", "no triple", files={"triples/valid.tsv": b""}),
    spot(
        "byte order mark alone",
        "triples/valid.tsv:1: ",
        "blank line",
        files={
            "triples/valid.tsv": "\ufeff",
        },
    ),
    spot(
        "packed nothing",
        "triples/valid.tsv.gz: ",
        "no triple",
        files={
            "triples/valid.tsv": None,
            "triples/valid.tsv.gz": gzip.compress(b""),
        },
    ),
    spot(
        "no bytes called .gz",
        "triples/valid.tsv.gz",
        "",
        files={
            "triples/valid.tsv": None,
            "triples/valid.tsv.gz": b"",
        },
    ),
    spot(
        "plain text called .gz",
        "valid.tsv.gz:1: ",
        "gzip",
        files={
            "triples/valid.tsv": None,
            "triples/valid.tsv.gz": GOOD,
        },
    ),
    spot("gzip called .tsv", "valid.tsv:1: ", "", files={"triples/valid.tsv": PACKED}),
    spot(
        "gzip cut short",
        "valid.tsv.gz:",
        "truncated or corrupt",
        files={
            "triples/valid.tsv": None,
            "triples/valid.tsv.gz": PACKED[:-9],
        },
    ),
    spot(
        "gzip header alone",
        "valid.tsv.gz:1: ",
        "truncated or corrupt",
        files={
            "triples/valid.tsv": None,
            "triples/valid.tsv.gz": PACKED[:10],
        },
    ),
    spot(
        "gzip with flipped bits",
        "valid.tsv.gz:",
        "truncated or corrupt",
        files={
            "triples/valid.tsv": None,
            "triples/valid.tsv.gz": CORRUPT,
        },
    ),
    spot(
        "gzip with a wrong sum",
        "valid.tsv.gz:",
        "truncated or corrupt",
        files={
            "triples/valid.tsv": None,
            "triples/valid.tsv.gz": WRONG_SUM,
        },
    ),
    spot(
        "gzip with a tail",
        "valid.tsv.gz:",
        "truncated or corrupt",
        files={
            "triples/valid.tsv": None,
            "triples/valid.tsv.gz": PACKED + b"tail",
        },
    ),
    spot(
        "zip called .gz",
        "valid.tsv.gz:1: ",
        "gzip",
        files={
            "triples/valid.tsv": None,
            "triples/valid.tsv.gz": b"PK\x03\x04" + bytes(60),
        },
    ),
    spot(
        "no test split",
        "triples: no file for test",
        "test.tsv, test.txt or test.nt",
        files={
            "triples/test.tsv": None,
        },
    ),
    spot(
        "two splits missing",
        "triples: no file for valid and test",
        "valid.tsv",
        files={
            "triples/test.tsv": None,
            "triples/valid.tsv": None,
        },
    ),
    spot(
        "unknown suffix",
        "triples: no file for test",
        "test.tsv",
        files={
            "triples/test.tsv": None,
            "triples/test.csv": GOOD,
        },
    ),
    spot(
        "a split twice",
        "triples: train.tsv and train.tsv.gz both",
        "keep one",
        files={
            "triples/train.tsv.gz": PACKED,
        },
    ),
    spot(
        "a split in two formats",
        "triples: train.tsv and train.nt both",
        "keep one",
        files={
            "triples/train.nt": IRI,
        },
    ),
    spot(
        "a folder for a split",
        "triples/train.tsv: ",
        "a folder",
        files={
            "triples/train.tsv": None,
            "triples/train.tsv/part": GOOD,
        },
    ),
    spot(
        "a link to nowhere",
        "triples: no file for train",
        files={"triples/train.tsv": None},
        change=lambda world: (world / "triples/train.tsv").symlink_to("gone.tsv"),
    ),
    spot(
        "a link to itself",
        "triples",
        "train",
        files={"triples/train.tsv": None},
        change=lambda world: (world / "triples/train.tsv").symlink_to("train.tsv"),
    ),
    case(
        "no such folder",
        "inspect_sampler.py --dataset nowhere --sampler uniform",
        "'nowhere': neither a data set nor a folder",
        "known: ",
    ),
    case(
        "a file for a folder",
        "inspect_sampler.py --dataset own.tsv --sampler uniform",
        "'own.tsv': neither a data set nor a folder",
        "known: ",
        files={"own.tsv": GOOD},
    ),
    case("no name", "inspect_sampler.py --dataset '' --sampler uniform", "'': neither a data"),
    triples("four terms without a graph", "<a:a> <a:r> <a:b> <a:g> .\n"),
    triples("no full stop", "<a:a> <a:r> <a:b>\n"),
    triples("two terms", "<a:a> <a:r> .\n"),
    triples("literal as subject", '"ada" <a:r> <a:b> .\n'),
    triples("literal as predicate", '<a:a> "r" <a:b> .\n'),
    triples("blank node as predicate", "<a:a> _:r <a:b> .\n"),
    triples("prefixed name", "ex:ada ex:knows ex:bob .\n"),
    triples("a prefix of Turtle", "@prefix ex: <http://x.org/> .\n"),
    triples("literal without an end", '<a:a> <a:r> "bob .\n'),
    triples("unknown escape", '<a:a> <a:r> "b\\ob" .\n'),
    triples("escape cut short", '<a:a> <a:r> "\\u12" .\n'),
    triples("space in an IRI", "<a:a b> <a:r> <a:b> .\n"),
    triples("language and datatype", '<a:a> <a:r> "x"@en^^<a:t> .\n'),
    triples("words after the full stop", "<a:a> <a:r> <a:b> . more\n"),
    triples("tab-separated names", GOOD),
    triples("relative IRI", "<ada> <a:r> <a:b> .\n", "<ada> is not an absolute IRI"),
    triples("empty IRI", "<> <a:r> <a:b> .\n", "<> is not an absolute IRI"),
    triples("relative datatype", '<a:a> <a:r> "1"^^<int> .\n', "<int> is not an absolute IRI"),
    triples("escaped surrogate", '<a:a> <a:r> "\\uD800" .\n', "\\uD800 stands for no character"),
    triples("escaped NUL", '<a:a> <a:r> "\\u0000" .\n', "\\u0000 stands for no character"),
    triples("beyond Unicode", '<a:a> <a:r> "\\U00110000" .\n', "\\U00110000 stands for no"),
    spot(
        "N-Triples of comments alone",
        "triples/train.nt: ",
        "no triple",
        files={
            "triples/train.tsv": None,
            "triples/train.nt": "# nothing\n\n",
        },
    ),
    relabel("label 0", b"e0\tr0\te0\t1\ne1\tr0\te1\t0\n", "valid.tsv:2: label '0'", "1 or -1"),
    relabel("label true", b"e0\tr0\te0\ttrue\n", "valid.tsv:1: label 'true'", "1 or -1"),
    relabel("label +1", b"e0\tr0\te0\t+1\n", "valid.tsv:1: label '+1'", "1 or -1"),
    relabel("label with a space", b"e0\tr0\te0\t1 \n", "valid.tsv:1: label '1 '", "1 or -1"),
    relabel("label 1.0", b"e0\tr0\te0\t1.0\n", "valid.tsv:1: label '1.0'", "1 or -1"),
    relabel("empty label", b"e0\tr0\te0\t\n", "valid.tsv:1: label ''", "1 or -1"),
    relabel(
        "label left out", b"e0\tr0\te0\n", "valid.tsv:1: found 3 columns", "expected 4", "label"
    ),
    relabel("five columns", b"e0\tr0\te0\t1\t1\n", "valid.tsv:1: found 5 columns", "expected 4"),
]
