import gzip
import os
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from dans.config import reading
from dans.config.reading import (
    lines,
    parse_json,
    parse_toml,
    read_object,
    read_text,
    read_toml,
)
from dans.config.recipes import override, read_recipe
from dans.config.writing import append
from dans.data.cards import DatasetCard
from dans.data.download import sha256
from dans.data.readers import read
from dans.errors import InputError
from dans.training.checkpoint import carries_pickle, load_state
from dans.training.loggers import MetricsLog
from dans.training.run_folder import RunFolder


def test_good_files_are_plain_data(tmp_path: Path) -> None:
    toml, json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('name = "José"\n[train]\nlr = 0.1\n', "utf-8")
    json.write_text('{"name": "José", "train": {"lr": 0.1}}', "utf-8")
    expected = {"name": "José", "train": {"lr": 0.1}}
    assert read_toml(toml) == read_object(json) == expected


def test_bytes_that_are_not_utf8_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"a = 1\nb = '\xe9'\n")
    with pytest.raises(InputError, match=r"a\.toml:2: byte 6 of the line, 0xe9, is not UTF-8"):
        read_toml(path)


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        ("TOML", "a = 1\nb = ]", "line 2"),
        ("TOML", "a = " + "[" * 99_999, "nested too deeply"),
        ("TOML", "a = " + "9" * 9_999, "4300"),
        ("TOML", "a = 2020-99-99", "line 1"),
        ("JSON", "", "line 1"),
        ("JSON", '{"a": 1,\n}', "line 2"),
        ("JSON", "[" * 99_999, "nested too deeply"),
        ("JSON", "9" * 9_999, "4300"),
    ],
)
def test_invalid_text_is_one_sentence(kind: str, text: str, why: str) -> None:
    with pytest.raises(InputError, match=rf"^own: not a {kind} file: .*{why}") as caught:
        (parse_toml if kind == "TOML" else parse_json)(text, "own")
    assert "\n" not in str(caught.value)


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file can have such a name"):
        reading.read_text(tmp_path / "a\0b")


def test_a_missing_file_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reading.read_text(tmp_path / "gone")


HUGE = "0x" + "f" * 6000


@pytest.mark.parametrize(
    "number", [HUGE, "9223372036854775808", "-9223372036854775809", "0o7" + "7" * 30]
)
def test_whole_numbers_have_64_bits(number: str) -> None:
    with pytest.raises(
        InputError, match=r"x: a\.1\.b: expected a whole number below 2\^63"
    ) as caught:
        parse_toml(f"a = [1, {{ b = {number} }}]", "x")
    assert len(str(caught.value)) < 200
    if number.lstrip("-").isdecimal():
        with pytest.raises(InputError, match=r"x: a: expected a whole number below 2\^63"):
            parse_json(f'{{"a": {number}}}', "x")
    ends = parse_toml(f"a = [{2**63 - 1}, {-(2**63)}]", "x")
    assert parse_json(f'{{"a": [{2**63 - 1}, {-(2**63)}]}}', "x") == ends


def test_a_repeated_key_is_refused() -> None:
    with pytest.raises(InputError, match="x: 'k' stands twice in one object"):
        parse_json('[{"j": {"k": 1, "l": 2, "k": 1}}]', "x")


def test_an_object_is_not_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[5]")
    with pytest.raises(InputError, match=r"a\.json: expected an object, got list"):
        read_object(tmp_path / "a.json")


def test_lines_end_with_lf_or_crlf(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes("\ufeffada\tbob\r\n\ncy \r\r\n\ufefftea".encode())
    expected = [(1, "ada\tbob"), (2, ""), (3, "cy \r"), (4, "\ufefftea")]
    assert list(lines(path)) == expected
    packed = tmp_path / "a.tsv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert list(lines(packed)) == expected


def every_reader(path: Path) -> list[Callable[[], object]]:
    """Each way in which a file that a user names is read."""
    run = path.parent / "run"
    return [
        lambda: read_text(path),
        lambda: list(lines(path)),
        lambda: read_toml(path),
        lambda: read_object(path),
        lambda: load_state(path),
        lambda: carries_pickle(path),
        lambda: sha256(path),
        lambda: list(read(path.with_suffix(".tsv"))),
        lambda: DatasetCard.read(path),
        lambda: MetricsLog(run).read(),
        lambda: RunFolder(run).config(),
    ]


def as_every_file(folder: Path, make: Callable[[Path], object]) -> Path:
    (folder / "run").mkdir()
    for name in ("file", "file.tsv", "run/metrics.jsonl", "run/config.json"):
        make(folder / name)
    return folder / "file"


def test_pipes_and_devices_are_refused_and_nothing_waits(tmp_path: Path) -> None:
    kinds = {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero")}
    for kind, make in kinds.items():
        (tmp_path / kind).mkdir()
        for reads in every_reader(as_every_file(tmp_path / kind, make)):
            with pytest.raises(InputError, match=f"a {kind}; expected a regular file"):
                reads()


def test_sockets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        # By a short name: the path of a socket has a limit.
        server.bind("s")
        with pytest.raises(InputError, match="s: a socket or device; expected a regular file"):
            read_text(Path("s"))


def test_pipes_are_not_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"):
        append(tmp_path / "pipe", b"{}")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="a pipe, not a regular file"):
        append(tmp_path / "pipe", b"{}")
    os.close(reader)
    (tmp_path / "there").write_bytes(b"a")
    (tmp_path / "link").symlink_to("there")
    append(tmp_path / "link", b"b")
    assert (tmp_path / "there").read_bytes() == b"ab"


def test_links_to_regular_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x = 1\n")
    (tmp_path / "link").symlink_to("there")
    assert read_toml(tmp_path / "link") == {"x": 1}


def test_files_and_lines_have_a_stated_limit(tmp_path: Path) -> None:
    with (tmp_path / "own.toml").open("wb") as file:
        file.truncate(2**22 + 1)
    with pytest.raises(InputError, match="larger than 4 MiB; expected a file of settings"):
        read_toml(tmp_path / "own.toml")
    with (tmp_path / "long.tsv").open("wb") as file:
        file.truncate(2**24 + 1)
    with gzip.open(tmp_path / "long.tsv.gz", "wb", compresslevel=1) as packed:
        for _ in range(17):
            packed.write(b"a" * 2**20)
    for name in ("long.tsv", "long.tsv.gz"):
        tracemalloc.start()
        with pytest.raises(InputError, match=r"long.tsv.*:1: a line of more than 16 MiB"):
            list(lines(tmp_path / name))
        assert tracemalloc.get_traced_memory()[1] < 2**26
        tracemalloc.stop()


def test_depth_has_a_stated_limit(tmp_path: Path) -> None:
    deep = {
        "keys": ".".join(["a"] * 5000) + " = 1",
        "tables": "[" + ".".join(["a"] * 5000) + "]",
        "lists": "a = " + "[" * 5000 + "]" * 5000,
        "inline": "a = " + "{ b = " * 5000 + "1" + " }" * 5000,
    }
    for name, text in deep.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=r"nested (too deeply|more than 100 deep)"):
            read_toml(tmp_path / name)
    (tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(InputError, match=r"nested (too deeply|more than 100 deep)"):
        read_object(tmp_path / "deep.json")
    with pytest.raises(InputError, match="more than 100 sections within each other"):
        override({}, [".".join(["a"] * 3000) + "=1"])


def test_a_chain_of_recipes_has_a_stated_limit(tmp_path: Path) -> None:
    for i in range(1500):
        (tmp_path / f"r{i}.toml").write_text(f'extends = "r{i + 1}"\n')
    with pytest.raises(InputError, match=r"r0.toml: extends: more than 100 recipes in a chain"):
        read_recipe(tmp_path / "r0.toml")


def test_half_a_surrogate_pair_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(r'{"name": "\ud83d", "step": 1}')
    with pytest.raises(InputError, match=r"one.json: name: .* holds half of a surrogate pair"):
        read_object(tmp_path / "one.json")
    (tmp_path / "key.json").write_text(r'{"\ud83d": 1}')
    with pytest.raises(InputError, match=r"key.json: .* holds half of a surrogate pair"):
        read_object(tmp_path / "key.json")
    (tmp_path / "whole.json").write_text(r'{"name": "\ud83d\ude00"}')
    assert read_object(tmp_path / "whole.json") == {"name": "\U0001f600"}
