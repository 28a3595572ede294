"""Lines of files that a user wrote."""

import gzip
from pathlib import Path

import pytest

from dans.errors import InputError
from dans.samplers.names import lines


def test_lines_are_those_written_whatever_their_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes("\ufeffada\tbob\r\n\ncy \r\r\n\ufefftea".encode())
    expected = [(1, "ada\tbob"), (2, ""), (3, "cy \r"), (4, "\ufefftea")]
    assert list(lines(path)) == expected
    packed = tmp_path / "a.tsv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert list(lines(packed)) == expected


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.tsv: cannot be read: No such file"):
        list(lines(tmp_path / "none.tsv"))
    (tmp_path / "latin.tsv").write_bytes(b"ada\nb\xf6b\n")
    with pytest.raises(InputError, match=r"latin.tsv:2: not UTF-8"):
        list(lines(tmp_path / "latin.tsv"))
    (tmp_path / "cut.tsv.gz").write_bytes(gzip.compress(b"ada\n" * 50)[:-12])
    with pytest.raises(InputError, match=r"cut.tsv.gz:\d+: truncated or corrupt gzip"):
        list(lines(tmp_path / "cut.tsv.gz"))
    (tmp_path / "plain.tsv.gz").write_bytes(b"ada\n")
    with pytest.raises(InputError, match=r"plain.tsv.gz:1: truncated or corrupt gzip"):
        list(lines(tmp_path / "plain.tsv.gz"))
