import gzip
import itertools
import re
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dans.data.readers import Line, read, split_file, split_files
from dans.errors import InputError

GOOD = b"ada\tknows\tbob\n"


def wrote(folder: Path, data: bytes, name: str = "train.tsv") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def read_all(path: Path) -> list[tuple[str, str, str]]:
    return [line[:3] for line in read(path)]


def refusal(path: Path, *, labelled: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        list(read(path, labelled=labelled))
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"ada\tknows\tbob", [("ada", "knows", "bob")]),
        (b"ada\tknows\tbob\r\n7\t8\t9\r\n", [("ada", "knows", "bob"), ("7", "8", "9")]),
        (b"\xef\xbb\xbfada\tknows\tbob\n", [("ada", "knows", "bob")]),
        (b"NA\tnull\t007\n7\tnan\tNone\n", [("NA", "null", "007"), ("7", "nan", "None")]),
        (b"ada l.\tis fond of\tgreen  tea \n", [("ada l.", "is fond of", "green  tea ")]),
        (b"\"ada\t#knows\t'bob,1\n", [('"ada', "#knows", "'bob,1")]),
        (
            "Åland\tin\u2028\tx\x85y\x1cz\u00a0\n".encode(),
            [("Åland", "in\u2028", "x\x85y\x1cz\u00a0")],
        ),
        (GOOD * 2, [("ada", "knows", "bob")] * 2),
    ],
    ids=["no last line end", "CRLF", "BOM", "missing", "spaces", "quotes", "UTF-8", "twice"],
)
@pytest.mark.parametrize("name", ["train.tsv", "train.txt", "train.tsv.gz", "train.txt.gz"])
def test_names_come_out_as_they_were_written(
    tmp_path: Path, data: bytes, expected: list[tuple[str, str, str]], name: str
) -> None:
    packed = gzip.compress(data) if name.endswith(".gz") else data
    assert read_all(wrote(tmp_path, packed, name)) == expected


NAME = st.text(
    st.characters(codec="utf-8", exclude_characters="\t\n\r\0\ufeff"), min_size=1
).filter(str.strip)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(NAME, NAME, NAME), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"])
)
def test_any_text_without_tab_and_line_end_survives(
    tmp_path_factory: pytest.TempPathFactory, triples: list[tuple[str, str, str]], end: str
) -> None:
    text = "".join("\t".join(triple) + end for triple in triples)
    assert read_all(wrote(tmp_path_factory.mktemp("any"), text.encode())) == triples


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"ada\tknows", "found 2 columns, expected 3: head, relation, tail"),
        (b"ada knows bob", "found 1 column, expected 3"),
        (b"ada\tknows\tbob\t1", "found 4 columns, expected 3"),
        (b"\nada\tknows\tbob", "a blank line, with lines after it"),
        (b"\tknows\tbob", "the head is empty"),
        (b"ada\t\tbob", "the relation is empty"),
        (b"ada\tknows\t", "the tail is empty"),
        (b"ada\tknows\t  ", "the tail is empty"),
        (b"ada\tknows\tb\xf6b", "byte 12 of the line, 0xf6, is not UTF-8"),
        (b"ada\tknows\tb\0b", "a NUL character"),
        (b"\xef\xbb\xbfada\tknows\tbob", "a byte order mark inside the file"),
        (b"ada\tknows\tbob\rbob\tlikes\ttea", "a carriage return inside the line"),
    ],
)
def test_a_bad_line_is_refused_by_file_and_line(tmp_path: Path, line: bytes, why: str) -> None:
    path = wrote(tmp_path, GOOD + line + b"\n" + GOOD)
    assert refusal(path).startswith(f"{path}:2: {why}")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-le", "latin-1"])
def test_other_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    path = wrote(tmp_path, "åda\tknows\tbob\n".encode(encoding))
    assert refusal(path).startswith(f"{path}:1: ")


@pytest.mark.parametrize(
    ("data", "name"),
    [(b"", "train.tsv"), (b"", "train.tsv.gz"), (b"# nothing\n\n", "train.nt")],
)
def test_an_empty_split_is_refused(tmp_path: Path, data: bytes, name: str) -> None:
    path = wrote(tmp_path, data, name)
    assert refusal(path).startswith(f"{path}: the file holds no triple")


def test_a_truncated_gzip_stream_is_refused_where_it_ends(tmp_path: Path) -> None:
    lines = b"".join(b"entity%d\tknows\tentity%d\n" % (i, i * i) for i in range(2000))
    path = wrote(tmp_path, gzip.compress(lines)[:-2000], "train.tsv.gz")
    count = itertools.count(1)
    with pytest.raises(InputError, match="the gzip stream is truncated or corrupt") as caught:
        deque(zip(read(path), count, strict=False), maxlen=0)
    whole = next(count) - 1
    assert 0 < whole < 2000
    assert str(caught.value).startswith(f"{path}:{whole + 1}: ")


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        gzip.compress(GOOD)[:-4],
        gzip.compress(GOOD)[:12] + b"\xff\xff" + gzip.compress(GOOD)[14:],
    ],
    ids=["not gzip", "no trailer", "damaged"],
)
def test_a_corrupt_gzip_stream_is_refused(tmp_path: Path, data: bytes) -> None:
    path = wrote(tmp_path, data, "train.tsv.gz")
    assert re.match(rf"{re.escape(str(path))}:\d: the gzip stream", refusal(path))


@pytest.mark.parametrize("name", ["train.csv", "train", "train.gz", "train.tsv.bz2"])
def test_an_unknown_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    assert "known: .tsv, .txt, .nt" in refusal(wrote(tmp_path, GOOD, name))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "valid.tsv").mkdir()
    for name in ("train.tsv", "train.tsv.gz", "valid.tsv"):
        assert refusal(tmp_path / name).startswith(f"{tmp_path / name}: cannot be read")


@pytest.mark.parametrize("good", [GOOD, b"<a:a> <a:b> <a:c> .\n"])
def test_a_file_is_read_one_line_at_a_time(tmp_path: Path, good: bytes) -> None:
    path = wrote(tmp_path, good + b"bad\n", "train.nt" if good[:1] == b"<" else "train.tsv")
    lines = read(path)
    next(lines)
    with pytest.raises(InputError):
        next(lines)


def test_labels_are_read_only_where_labelled(tmp_path: Path) -> None:
    path = wrote(tmp_path, b"ada\tknows\tbob\t1\nada\tknows\ttea\t-1\n")
    expected: list[Line] = [("ada", "knows", "bob", True), ("ada", "knows", "tea", False)]
    assert list(read(path, labelled=True)) == expected
    assert "name the labelled splits of the folder: by --labelled valid,test of" in refusal(path)
    assert "found 3 columns, expected 4" in refusal(wrote(tmp_path, GOOD), labelled=True)


@pytest.mark.parametrize("label", ["0", "true", "+1", "", " 1", "1.0"])
def test_other_labels_are_refused(tmp_path: Path, label: str) -> None:
    path = wrote(tmp_path, f"ada\tknows\tbob\t1\nada\tknows\tbob\t{label}\n".encode())
    assert refusal(path, labelled=True) == f"{path}:2: label {label!r}; expected 1 or -1"


def test_n_triples_carry_no_labels(tmp_path: Path) -> None:
    path = wrote(tmp_path, b"<a:a> <a:b> <a:c> .\n", "train.nt")
    assert "N-Triples carry no labels" in refusal(path, labelled=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "<http://x/ada> <http://x/knows> <http://x/bob> .",
            ("http://x/ada", "http://x/knows", "http://x/bob"),
        ),
        ("<x:a><x:r><x:b>.", ("x:a", "x:r", "x:b")),
        ("\t<x:a>  <x:r>\t<x:b>  .  # a comment . ", ("x:a", "x:r", "x:b")),
        ("_:b1 <x:r> _:b.2.", ("_:b1", "x:r", "_:b.2")),
        (r"<x:\u00e5\U0001F600> <x:r> <x:å> .", ("x:å😀", "x:r", "x:å")),
        ('<x:a> <x:r> "tea" .', ("x:a", "x:r", '"tea"')),
        ('<x:a> <x:r> "" .', ("x:a", "x:r", '""')),
        ('<x:a> <x:r> "tea > . # <x:b>" .', ("x:a", "x:r", '"tea > . # <x:b>"')),
        ('<x:a> <x:r> "th\u00e9"@FR-ca .', ("x:a", "x:r", '"thé"@fr-ca')),
        (r'<x:a> <x:r> "th\u00E9" .', ("x:a", "x:r", '"thé"')),
        ('<x:a> <x:r> "7"^^<x:int> .', ("x:a", "x:r", '"7"^^<x:int>')),
        (r'<x:a> <x:r> "7"^^<x:\u0069nt> .', ("x:a", "x:r", '"7"^^<x:int>')),
        ('<x:a> <x:r> "7"^^<http://www.w3.org/2001/XMLSchema#string> .', ("x:a", "x:r", '"7"')),
        (r'<x:a> <x:r> "a\tb\nc\"d\\e\'f" .', ("x:a", "x:r", r'''"a\tb\nc\"d\\e'f"''')),
        ('<x:a> <x:r> "a\tb\'" .', ("x:a", "x:r", r'''"a\tb'"''')),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_terms_of_n_triples_become_names(
    tmp_path: Path, line: str, expected: tuple[str, str, str], end: str
) -> None:
    assert read_all(wrote(tmp_path, (line + end).encode(), "train.nt")) == [expected]


def test_comments_and_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    text = b"# people\n\n  \t\n<x:a> <x:r> <x:b> .\n#<x:a> <x:r> <x:c> .\nbad\n"
    path = wrote(tmp_path, gzip.compress(text), "train.nt.gz")
    lines = read(path)
    assert next(lines)[:3] == ("x:a", "x:r", "x:b")
    with pytest.raises(InputError, match=re.escape(f"{path}:6: not an N-Triples statement")):
        next(lines)


@pytest.mark.parametrize(
    "line",
    [
        "<x:a> <x:r> <x:b>",
        "<x:a> <x:r> .",
        "<x:a> <x:r> <x:b> <x:g> .",
        '"ada" <x:r> <x:b> .',
        "<x:a> _:r <x:b> .",
        "<x:a> <x:r> ada .",
        "<x:a> <x:r> <x:b c> .",
        '<x:a> <x:r> "tea .',
        r'<x:a> <x:r> "te\xa" .',
        r'<x:a> <x:r> "te\u12" .',
        '<x:a> <x:r> "tea"@ .',
        "<x:a> <x:r> <x:b> . <x:a> <x:r> <x:c> .",
        "ada\tknows\tbob",
    ],
)
def test_what_is_no_statement_is_refused(tmp_path: Path, line: str) -> None:
    path = wrote(tmp_path, f"<x:a> <x:r> <x:b> .\n{line}\n".encode(), "train.nt")
    assert refusal(path).startswith(f"{path}:2: not an N-Triples statement")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("<knows> <x:r> <x:b> .", "not an absolute IRI"),
        ("<x:a> <x:r> <> .", "not an absolute IRI"),
        (r"<x:a\u0020b> <x:r> <x:b> .", "not an absolute IRI"),
        (r'<x:a> <x:r> "7"^^<int> .', "not an absolute IRI"),
        (r'<x:a> <x:r> "\u0000" .', "is not a character"),
        (r'<x:a> <x:r> "\uD800" .', "is not a character"),
        (r'<x:a> <x:r> "\U00110000" .', "is not a character"),
    ],
)
def test_terms_without_a_name_are_refused(tmp_path: Path, line: str, why: str) -> None:
    path = wrote(tmp_path, f"{line}\n".encode(), "train.nt")
    assert refusal(path).startswith(f"{path}:1: ")
    assert why in refusal(path)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=8)


def spelled(text: str, *, by_number: bool) -> str:
    if by_number:
        return "".join(f"\\U{ord(c):08x}" for c in text)
    named = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"}
    return "".join(named.get(c, c) for c in text)


@settings(max_examples=40, deadline=None)
@given(TEXT, TEXT)
def test_literals_have_one_name_for_every_spelling_and_one_only(
    tmp_path_factory: pytest.TempPathFactory, one: str, other: str
) -> None:
    named = spelled(one, by_number=False)
    values = named, spelled(one, by_number=True), spelled(other, by_number=True)
    text = "".join(f'<x:a> <x:r> "{value}" .\n' for value in values)
    path = wrote(tmp_path_factory.mktemp("any"), text.encode(), "train.nt")
    first, again, second = (tail for _, _, tail in read_all(path))
    assert first == again
    assert (first == second) is (one == other)
    assert not set("\t\n\r") & set(first)


def test_a_folder_gives_one_file_for_each_split(tmp_path: Path) -> None:
    for name in ("train.nt.gz", "valid.tsv", "test.txt.gz", "README.md", "train.xlsx"):
        wrote(tmp_path, GOOD, name)
    names = {split: path.name for split, path in split_files(tmp_path).items()}
    assert names == {"train": "train.nt.gz", "valid": "valid.tsv", "test": "test.txt.gz"}


def test_two_files_for_one_split_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("train.tsv", "train.txt.gz"):
        wrote(tmp_path, GOOD, name)
    with pytest.raises(
        InputError, match=r"train\.tsv and train\.txt\.gz both claim to be the train"
    ):
        split_file(tmp_path, "train")


def test_missing_splits_are_named(tmp_path: Path) -> None:
    wrote(tmp_path, GOOD, "train.tsv")
    assert split_files(tmp_path).keys() == {"train"}
    wrote(tmp_path, GOOD, "valid.xlsx")
    with pytest.raises(InputError, match=r"no file for valid: valid.xlsx is none that can be read"):
        split_files(tmp_path)
    (tmp_path / "valid.xlsx").unlink()
    (tmp_path / "valid.tsv").symlink_to("gone.tsv")
    with pytest.raises(InputError, match=r"valid: valid.tsv is a link to gone.tsv, which is not"):
        split_files(tmp_path)
    (tmp_path / "train.tsv").unlink()
    with pytest.raises(InputError, match=r"no file for train: there is none; expected train.tsv"):
        split_files(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        split_files(tmp_path / "nowhere")


def test_blank_lines_at_the_end_are_none(tmp_path: Path) -> None:
    plain = wrote(tmp_path, GOOD, "train.tsv")
    ended = wrote(tmp_path, GOOD + b"\n\r\n\n", "train.txt")
    assert list(read(plain)) == list(read(ended))
