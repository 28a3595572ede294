"""Names and files that prediction is asked by, and cannot answer."""

import gzip

from tests.malformed.case import Case, Content, case

ASK = "predict.py run"
EXPECTED = "expected head, relation and tail"


def asked(name: str, options: str, *words: str) -> Case:
    return case(name, f"{ASK} {options}", *words)


def line(name: str, content: Content, *words: str, number: int = 2) -> Case:
    """A file of one good query, and then something else."""
    if isinstance(content, str):
        content = content.encode()
    assert content is not None
    return case(
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
    return case(name, f"{ASK} --file -", *words, given=f"e0\tr0\n{given}", warned=1)


CASES = [
    asked("unknown head", "--head e9 --relation r0", "--head: unknown name 'e9'", "known: e0, "),
    asked("unknown tail", "--tail e99 --relation r0", "--tail: unknown name 'e99'"),
    asked(
        "unknown relation",
        "--head e0 --relation r9",
        "--relation: unknown name 'r9'",
        "known: r0, r1, r2",
    ),
    asked("name in capitals", "--head E0 --relation r0", "--head: unknown name 'E0'", "'e0'"),
    asked("name with a space", "--head 'e0 ' --relation r0", "--head: unknown name 'e0 '", "'e0'"),
    asked("name of a relation", "--head r0 --relation r0", "--head: unknown name 'r0'"),
    asked("name of an id", "--head 0 --relation r0", "--head: unknown name '0'"),
    asked("empty name", "--head '' --relation r0", "--head"),
    asked("name of a tab", "--head '\t' --relation r0", "--head: unknown name '\\t'"),
    asked("name of a line end", "--head 'e\n0' --relation r0", "--head: unknown name 'e\\n0'"),
    asked("name that climbs", "--head ../../etc/passwd --relation r0", "'../../etc/passwd'"),
    asked("name that is a path", "--head /etc/passwd --relation r0", "--head: unknown name '/etc"),
    asked("name of a percent sign", "--head %s%n --relation r0", "--head: unknown name '%s%n'"),
    asked("name of braces", "--head {0.__class__} --relation r0", "'{0.__class__}'"),
    asked("name of an escape", "--head '\x1b[2J' --relation r0", "'\\x1b[2J'"),
    asked("name of a wildcard", "--head 'e*' --relation r0", "--head: unknown name 'e*'"),
    asked("name of a query mark", "--head '?' --relation r0", "--head: unknown name '?'"),
    asked("name of thousands of letters", f"--head {'e' * 9000} --relation r0", "--head: unknown"),
    asked("name of ten emoji", f"--head {'🙂' * 10} --relation r0", "--head: unknown name '🙂"),
    asked(
        "three names, one unknown", "--head e0 --relation r0 --tail x", "--tail: unknown name 'x'"
    ),
    asked("nothing asked", "", "two of --head, --relation and --tail", "--file"),
    asked("one name", "--head e0", "two of --head, --relation and --tail"),
    asked("names and a file", "--head e0 --file own.toml", "--head: not together with --file"),
    asked("top 0", "--head e0 --relation r0 --top 0", "--top: expected ", "at least 1"),
    asked("top -3", "--head e0 --relation r0 --top -3", "--top: expected ", "at least 1"),
    asked(
        "top of text", "--head e0 --relation r0 --top all", "--top: expected a whole number", "all"
    ),
    asked("top of a triple", "--head e0 --relation r0 --tail e4 --top 3", "--top: no effect"),
    asked("new of a triple", "--head e0 --relation r0 --tail e4 --new", "--new: no effect"),
    asked("ranks without a file", "--head e0 --relation r0 --ranks", "--ranks: only for --file"),
    asked("two forms", "--head e0 --relation r0 --json --csv", "--csv: not allowed with", "--json"),
    asked("unknown model", "--head e0 --relation r0 --model first", "--model: ", "best", "last"),
    asked(
        "budget of nonsense", "--head e0 --relation r0 --budget lots", "unrecognized", "--budget"
    ),
    case("no run", "predict.py nowhere --head e0 --relation r0", "nowhere/config.json: not there"),
    case("no such file", f"{ASK} --file gone.tsv", "gone.tsv: ", "No such file"),
    case("a folder for a file", f"{ASK} --file triples", "triples: ", "directory"),
    case(
        "no query",
        f"{ASK} --file own.tsv",
        "own.tsv: no query in it",
        EXPECTED,
        files={"own.tsv": b""},
    ),
    case(
        "blank lines alone",
        f"{ASK} --file own.tsv",
        "own.tsv: no query in it",
        files={"own.tsv": "\n \n\n"},
    ),
    case(
        "gzip cut short",
        f"{ASK} --file own.tsv.gz",
        "own.tsv.gz:",
        "gzip",
        files={"own.tsv.gz": gzip.compress(b"e0\tr0\n" * 99)[:-9]},
    ),
    case(
        "no gzip",
        f"{ASK} --file own.tsv.gz",
        "own.tsv.gz:",
        "gzip",
        files={"own.tsv.gz": b"e0\tr0\n"},
    ),
    line("one column", "e0\n", EXPECTED, "got 1 column"),
    line("four columns", "e0\tr0\te1\t1\n", EXPECTED, "got 4 columns"),
    line("spaces for tabs", "e0 r0\n", EXPECTED, "got 1 column"),
    line("commas for tabs", "e0,r0\n", EXPECTED, "got 1 column"),
    line("two parts left open", "?\tr0\t?\n", "or two of them"),
    line("an unknown name", "e0\tr9\n", "relation: unknown name 'r9'", "known: r0, r1, r2"),
    line("latin-1", b"e0\t\xe9\n", "UTF-8"),
    line("NUL", "e0\tr\0\n", ""),
    line("half an object", '{"head": "e0", \n', "not a JSON object"),
    line("an object of braces", '{"a":' * 9999 + "\n", "not a JSON object"),
    line(
        "an object with an unknown key",
        '{"head": "e0", "rel": "r0"}\n',
        "rel: unknown key",
        "known: head, relation, tail",
    ),
    line("an object of numbers", '{"head": 0, "relation": "r0"}\n', "head", "0"),
    line("an object of lists", '{"head": ["e0"], "relation": "r0"}\n', "head", "['e0']"),
    line("an object with a key twice", '{"head": "e0", "head": "e1"}\n', "'head' stands twice"),
    line(
        "an object with a key of two lines",
        '{"a\\nb\\u001b[31m": "e0"}\n',
        "a\\nb\\x1b[31m: unknown key",
    ),
    case("a file of a line end", f"{ASK} --file 'a\nb'", "a\\nb: cannot be read"),
    case(
        "ranks of no triple",
        f"{ASK} --file own.tsv --ranks",
        "own.tsv: --ranks: no effect",
        files={"own.tsv": "e0\tr0\n"},
    ),
    case(
        "top of triples alone",
        f"{ASK} --file own.tsv --top 3",
        "own.tsv: --top: no effect",
        files={"own.tsv": "e0\tr0\te4\n"},
    ),
    case(
        "new of triples alone",
        f"{ASK} --file own.tsv --new",
        "own.tsv: --new: no effect",
        files={"own.tsv": "e0\tr0\te4\n"},
    ),
    line("an empty object", "{}\n", "or two of them"),
    line(
        "an object with an unknown name", '{"head": "e9", "relation": "r0"}\n', "unknown name 'e9'"
    ),
    piped("one column, piped", "e0\n", EXPECTED, "got 1 column"),
    piped("an unknown name, piped", "e9\tr0\n", "head: unknown name 'e9'"),
    piped("half an object, piped", '{"head":\n', "not a JSON object"),
]
