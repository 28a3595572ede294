"""Cards that cannot be read, or that say of a data set what it is not."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from tests.malformed.case import Case, Content, case

FETCH = "fetch_datasets.py cards/toy.toml"
HERE = "cards/toy.toml: "
SHA = "0" * 64
ASKED = f'url = "https://x.org/toy.txt", sha256 = "{SHA}"'


def swap(old: str, new: str) -> Callable[[Path], None]:
    """Put something else into the card, once."""

    def change(world: Path) -> None:
        path = world / "cards/toy.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def toy(name: str, old: str, new: str, *words: str) -> Case:
    return case(name, FETCH, HERE, *words, change=swap(old, new))


def add(name: str, text: str, *words: str) -> Case:
    """A further line in the section of train."""
    return toy(name, "[train]\n", f"[train]\n{text}\n", *words)


def hidden(world: Path) -> None:
    """No files to be found, so that the card's addresses are asked."""
    for path in (world / "data/toy").iterdir():
        path.unlink()


def named(card: Callable[[Path], None]) -> Callable[[Path], None]:
    def change(world: Path) -> None:
        hidden(world)
        card(world)

    return change


def truth(split: str, text: str) -> Callable[[Path], None]:
    """Another file, which the card names by its digest."""

    def change(world: Path) -> None:
        file, path = world / f"data/toy/{split}.tsv", world / "cards/toy.toml"
        before = hashlib.sha256(file.read_bytes()).hexdigest()
        file.write_text(text)
        after = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(path.read_text().replace(before, after))

    return change


def whole(name: str, content: Content, *words: str) -> Case:
    return case(name, FETCH, "cards/toy.toml", *words, files={"cards/toy.toml": content})


CASES = [
    case("no such card", "fetch_datasets.py umsl", "'umsl'", "did you mean umls?", "known: "),
    case("a name that climbs", "fetch_datasets.py ../umls", "'../umls'", "known: "),
    case("an absolute name", "fetch_datasets.py /etc/passwd", "'/etc/passwd'", "known: "),
    case("no name", "fetch_datasets.py ''", "''", "known: "),
    case("a name of ten thousand letters", f"fetch_datasets.py {'x' * 300}", "xxx", "known: "),
    case("a folder", "fetch_datasets.py triples", "'triples'", "needs no fetching"),
    case("no such file", "fetch_datasets.py cards/tiy.toml", "cards/tiy.toml: cannot be read"),
    case(
        "a folder called .toml",
        "fetch_datasets.py cards/x.toml",
        "cards/x.toml: cannot be read",
        files={"cards/x.toml/y": ""},
    ),
    whole("empty card", b"", "name: missing"),
    whole("no TOML", "{}", "not a TOML file", "line 1"),
    whole("JSON", '{"name": "toy"}', "not a TOML file"),
    whole("latin-1", "name = 'José'".encode("latin-1"), "toml:1: byte 12", "is not UTF-8"),
    whole("NUL", b'name = "t\0y"', "not a TOML file", "line 1"),
    whole("a card of brackets", "name = " + "[" * 9999, "not a TOML file"),
    whole("a number of ten thousand digits", "entities = " + "9" * 9999, "not a TOML file"),
    toy("a large number", "= 7", f"= 0x{'f' * 6000}", "entities: expected a whole number below"),
    toy(
        "a title of a large number",
        '= "toy"\nsource',
        f"= 0x{'f' * 6000}\nsource",
        "title: expected",
    ),
    toy("a digest without end", 'sha256 = "', f'sha256 = "{"a" * 5000}"#', "expected 64 hex", "…"),
    toy("a key of two lines", "= 7", '= 7\n"a\\nb\\u001b[31m" = 5', "a\\nb\\x1b[31m: unknown key"),
    case(
        "an address of escapes",
        FETCH,
        "https://x.invalid/\\x00\\x1b[31m failed",
        change=named(
            swap(
                "[train]\n",
                '[train]\ndownload = [{ url = "https://x.invalid/\\u0000\\u001b[31m", '
                f'sha256 = "{SHA}" }}]\n',
            )
        ),
    ),
    toy("key twice", 'title = "toy"', 'title = "toy"\ntitle = "toy"', "not a TOML file", "line"),
    toy("section twice", "[valid]", "[train]\n[valid]", "not a TOML file", "line"),
    toy("name missing", 'name = "toy"\n', "", "name: missing"),
    toy("title missing", 'title = "toy"\n', "", "title: missing"),
    toy("licence missing", 'licence = "none"\n', "", "licence: missing"),
    toy("entities missing", "entities = 7\n", "", "entities: missing"),
    toy("lines missing", "lines = 30\n", "", "train.lines: missing"),
    toy("digest missing", "sha256", "#", "train.sha256: missing"),
    toy("split missing", "[valid]", "[other]", "other: unknown key", "known: name, title"),
    toy(
        "unknown key",
        "relations = 3",
        "relations = 3\nentitles = 7",
        "entitles: unknown key",
        "known: name, title",
    ),
    add("unknown key of a split", "rows = 5", "train.rows: unknown key", "known: lines, sha256"),
    toy("name of a number", 'name = "toy"', "name = 7", "name: expected a name of a-z"),
    toy("name of another file", 'name = "toy"', 'name = "tea"', "name: expected 'toy'", "'tea'"),
    toy("name that climbs", 'name = "toy"', 'name = "../toy"', "name: expected a name of a-z"),
    toy("absolute name", 'name = "toy"', 'name = "/tmp/toy"', "name: expected a name of a-z"),
    toy("name with a line end", 'name = "toy"', 'name = "toy\\n"', "name: expected a name of a-z"),
    toy("empty title", 'title = "toy"', 'title = "  "', "title: expected a text"),
    toy("title of a list", 'title = "toy"', 'title = ["toy"]', "title: expected a text"),
    toy("no entities", "entities = 7", "entities = 0", "entities: expected a whole number above 0"),
    toy("negative relations", "relations = 3", "relations = -3", "relations: expected a whole"),
    toy("count of text", "entities = 7", 'entities = "7"', "entities: expected a whole", "'7'"),
    toy("count of a float", "entities = 7", "entities = 7.0", "entities: expected a whole", "7.0"),
    toy("count of true", "entities = 7", "entities = true", "entities: expected a whole", "True"),
    toy("negative lines", "lines = 30", "lines = -30", "train.lines: expected a whole number"),
    toy(
        "split of text", "[train]\nlines = 30\n", 'train = "here"\n[valid.x]\n', "train: expected a"
    ),
    toy("digest too short", 'sha256 = "', 'sha256 = "ab"#', "train.sha256: expected 64 hex"),
    toy("digest in capitals", 'sha256 = "', f'sha256 = "{"A" * 64}"#', "train.sha256: expected 64"),
    toy(
        "digest with its kind", 'sha256 = "', f'sha256 = "sha256:{SHA}"#', "train.sha256: expected"
    ),
    toy("digest of a number", 'sha256 = "', "sha256 = 12#", "train.sha256: expected 64 hex", "12"),
    toy(
        "labels of an unknown split",
        "relations = 3",
        'relations = 3\nlabelled = ["dev"]',
        "labelled: unknown name 'dev'",
        "known: train, valid, test",
    ),
    toy(
        "labels of text",
        "relations = 3",
        'relations = 3\nlabelled = "valid"',
        "labelled: expected a list",
    ),
    toy(
        "labels of lists",
        "relations = 3",
        'relations = 3\nlabelled = [["valid"]]',
        "labelled: unknown name ['valid']",
    ),
    case(
        "labelled, but has no labels",
        FETCH,
        "valid.tsv:1: found 3 columns, expected 4",
        "label",
        change=swap("relations = 3", 'relations = 3\nlabelled = ["valid"]'),
    ),
    add("download of text", 'download = "https://x.org"', "train.download: expected a list"),
    add("download of texts", 'download = ["https://x.org"]', "train.download[0]: expected a table"),
    add(
        "download without a digest",
        'download = [{ url = "https://x.org/a" }]',
        "train.download[0].sha256: missing",
    ),
    add(
        "download without an address",
        f'download = [{{ sha256 = "{SHA}" }}]',
        "train.download[0].url: missing",
    ),
    add(
        "address of a file",
        f"download = [{{ {ASKED.replace('https', 'file')} }}]",
        "train.download[0].url: expected an address that starts with https://",
    ),
    add(
        "address of FTP",
        f"download = [{{ {ASKED.replace('https', 'ftp')} }}]",
        "train.download[0].url: expected an address",
    ),
    add(
        "address without a scheme",
        f"download = [{{ {ASKED.replace('https://', '')} }}]",
        "train.download[0].url: expected an address",
    ),
    add(
        "address with a space",
        f"download = [{{ {ASKED.replace('toy', 't oy')} }}]",
        "train.download[0].url: expected an address",
    ),
    add(
        "unknown transform",
        f'download = [{{ {ASKED}, transform = "rot13" }}]',
        "train.download[0].transform: unknown name 'rot13'",
        "known: crlf-to-lf",
    ),
    add(
        "unknown key of a download",
        f"download = [{{ {ASKED}, md5 = 5 }}]",
        "train.download[0].md5: unknown key",
        "known: url, sha256, member, transform",
    ),
    add(
        "empty member",
        f'download = [{{ {ASKED}, member = "" }}]',
        "train.download[0].member: expected a",
    ),
    add(
        "absolute member",
        f'download = [{{ {ASKED}, member = "/etc/passwd" }}]',
        "train.download[0].member: expected a",
    ),
    add(
        "member that climbs",
        f'download = [{{ {ASKED}, member = "../train.txt" }}]',
        "train.download[0].member: expected a",
    ),
    add("distribution of text", 'installed = "pykeen"', "train.installed: expected a table"),
    add(
        "distribution without a file",
        'installed = { distribution = "pykeen" }',
        "train.installed.file: missing",
    ),
    add(
        "absolute file of a distribution",
        'installed = { distribution = "pykeen", file = "/etc/passwd" }',
        "train.installed.file: expected a",
    ),
    add(
        "file of a distribution that climbs",
        'installed = { distribution = "pykeen", file = "../../etc/passwd" }',
        "train.installed.file: expected a",
    ),
    add(
        "distribution with a NUL",
        'installed = { distribution = "py\\u0000keen", file = "a" }',
        "train.installed.distribution: expected the name of",
    ),
    toy(
        "derived from nothing",
        "relations = 3",
        'relations = 3\nderived = { rule = "drop-unseen" }',
        "derived.from: missing",
    ),
    toy(
        "derived by nothing",
        "relations = 3",
        'relations = 3\nderived = { from = "umls" }',
        "derived.rule: missing",
    ),
    toy(
        "derived by an unknown rule",
        "relations = 3",
        'relations = 3\nderived = { from = "umls", rule = "magic" }',
        "derived.rule: unknown name 'magic'",
        "known: drop-unseen",
    ),
    toy(
        "derived of text",
        "relations = 3",
        'relations = 3\nderived = "umls"',
        "derived: expected a table",
    ),
    toy(
        "derived from a path",
        "relations = 3",
        'relations = 3\nderived = { from = "../umls", rule = "drop-unseen" }',
        "derived.from: expected a name of a-z",
    ),
    case(
        "derived from no data set",
        FETCH,
        "derived.from: no such data set",
        "known: ",
        change=named(
            swap(
                "relations = 3", 'relations = 3\nderived = { from = "umsl", rule = "drop-unseen" }'
            )
        ),
    ),
    toy("more entities than there are", "entities = 7", "entities = 8", "entities = 8", "hold 7"),
    toy(
        "fewer relations than there are",
        "relations = 3",
        "relations = 2",
        "relations = 2",
        "hold 3",
    ),
    toy("other lines than there are", "lines = 30", "lines = 31", "train.lines = 31", "holds 30"),
    case(
        "a file of another digest",
        FETCH,
        "data/toy/test.tsv: not the file",
        "expected",
        files={"data/toy/test.tsv": "e2\tr0\te6\n"},
    ),
    case(
        "a file that the card names, and is none",
        FETCH,
        "data/toy/test.tsv:1: found 2 columns",
        change=truth("test", "e2\tr0\n"),
    ),
    case(
        "a file in no folder, and no address",
        FETCH,
        "toy: the train split is not on this machine",
        "DANS_DATASETS",
        change=hidden,
    ),
    case(
        "all lines of train denied",
        "inspect_sampler.py --dataset labelled.toml --sampler uniform",
        "train",
        "holds",
        change=lambda world: deny(world),
    ),
    case(
        "listed, a card that is none",
        "fetch_datasets.py --list cards/toy.toml",
        HERE,
        "not a TOML file",
        files={"cards/toy.toml": "{}"},
    ),
]


def deny(world: Path) -> None:
    """Label train too, and every line of it false."""
    card, path = world / "labelled.toml", world / "data/labelled/train.tsv"
    before = path.read_bytes()
    after = before.replace(b"\n", b"\t-1\n")
    path.write_bytes(after)
    text = card.read_text().replace('labelled = ["valid"', 'labelled = ["train", "valid"')
    old, new = (hashlib.sha256(data).hexdigest() for data in (before, after))
    card.write_text(text.replace(old, new))
