"""Malformed names, files and options of predict.py."""

import gzip

from tests.malformed.case import Case, Content

ASK = "predict.py run"
EXPECTED = "expected head, relation and tail"


def query(name: str, options: str, *words: str) -> Case:
    return Case(name, f"{ASK} {options}", *words)


def line(name: str, content: Content, *words: str, number: int = 2) -> Case:
    """A file of one good query, and then something else."""
    if isinstance(content, str):
        content = content.encode()
    assert content is not None
    return Case(
        name,
        f"{ASK} --file own.tsv",
        f"own.tsv:{number}: ",
        *words,
        files={"own.tsv": b"e0\tr0\n" + content},
    )


def piped(name: str, given: str, *words: str) -> Case:
    """The same on standard input, where other lines are answered: a warning, and the end."""
    sentence = "error: standard input: 1 of its lines could not be answered"
    words = ("standard input:2: ", *words, sentence)
    return Case(name, f"{ASK} --file -", *words, given=f"e0\tr0\n{given}", warned=1)


CASES = [
    query("unknown head", "--head e9 --relation r0", "--head: unknown name 'e9'", "known: e0, "),
    query("empty name", "--head '' --relation r0", "--head"),
    query("name of an escape", "--head '\x1b[2J' --relation r0", "'\\x1b[2J'"),
    query("name of thousands of letters", f"--head {'e' * 9000} --relation r0", "--head: unknown"),
    query(
        "three names, one unknown", "--head e0 --relation r0 --tail x", "--tail: unknown name 'x'"
    ),
    query("one name", "--head e0", "two of --head, --relation and --tail"),
    query("names and a file", "--head e0 --file own.toml", "--head: not together with --file"),
    query("top 0", "--head e0 --relation r0 --top 0", "--top: expected ", "at least 1"),
    query("top of a triple", "--head e0 --relation r0 --tail e4 --top 3", "--top: no effect"),
    query("ranks without a file", "--head e0 --relation r0 --ranks", "--ranks: only for --file"),
    query("two forms", "--head e0 --relation r0 --json --csv", "--csv: not allowed with", "--json"),
    Case("no such file", f"{ASK} --file gone.tsv", "gone.tsv: ", "No such file"),
    Case("a folder for a file", f"{ASK} --file triples", "triples: ", "directory"),
    Case(
        "no query",
        f"{ASK} --file own.tsv",
        "own.tsv: no query in it",
        EXPECTED,
        files={"own.tsv": b""},
    ),
    Case(
        "gzip cut short",
        f"{ASK} --file own.tsv.gz",
        "own.tsv.gz:",
        "gzip",
        files={"own.tsv.gz": gzip.compress(b"e0\tr0\n" * 99)[:-9]},
    ),
    line("an unknown name", "e0\tr9\n", "relation: unknown name 'r9'", "known: r0, r1, r2"),
    line("latin-1", b"e0\t\xe9\n", "UTF-8"),
    line(
        "an object with a key of two lines",
        '{"a\\nb\\u001b[31m": "e0"}\n',
        "a\\nb\\x1b[31m: unknown key",
    ),
    piped("an unknown name, piped", "e9\tr0\n", "head: unknown name 'e9'"),
]
