import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

import dans.data.cards
from dans.cli.command import run_main
from dans.cli.main import run_command

TRIPLES = {"train": "ada\tknows\tbob\n", "valid": "bob\tknows\tcat\n", "test": "bob\tknows\tada\n"}


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The command, given arguments, over two cards: a toy that is here and one that is not."""
    (tmp_path / "data" / "toy").mkdir(parents=True)
    for name in ("toy", "gone"):
        text = f'name = "{name}"\ntitle = "t"\nsource = "s"\npaper = "p"\nlicence = "l"\n'
        text += "entities = 3\nrelations = 1\n"
        for split, lines in TRIPLES.items():
            digest = hashlib.sha256(lines.encode()).hexdigest()
            text += f'[{split}]\nlines = 1\nsha256 = "{digest}"\n'
            (tmp_path / "data" / "toy" / f"{split}.tsv").write_bytes(lines.encode())
        (tmp_path / f"{name}.toml").write_text(text)
    monkeypatch.setattr(dans.data.cards, "card_folder", lambda: tmp_path)
    monkeypatch.setenv("DANS_DATASETS", str(tmp_path / "data"))
    monkeypatch.setenv("DANS_CACHE", str(tmp_path / "cache"))

    def call(*arguments: str) -> None:
        run_main(lambda: run_command("fetch", arguments))

    return call


def test_the_list_says_what_there_is_and_where(
    fetch: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch("--list")
    head, gone, toy = capsys.readouterr().out.splitlines()
    assert head.split() == [
        *("name", "entities", "relations", "train", "valid", "test", "found", "in")
    ]
    assert gone.split() == ["gone", "3", "1", "1", "1", "1", "download"]
    assert toy.split() == ["toy", "3", "1", "1", "1", "1", str(tmp_path / "data")]


def test_the_list_can_be_of_some(
    fetch: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fetch("--list", "toy")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["name", "toy"]


def test_fetched_sets_are_checked_and_described(
    fetch: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fetch("toy")
    out = capsys.readouterr().out
    assert out.startswith("toy: 3 entities and 1 relation")
    assert (
        "test: 1 triple of 1 relation; 1 (100.0 %) is in train with head and tail exchanged" in out
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("gone",), "gone: the train split is not on this machine"),
        (
            ("toi",),
            "'toi': neither a data set, a file nor a folder; known: gone, toy; did you mean toy?",
        ),
        ((".",), "'.': a folder of your own needs no fetching"),
        ((), "'umls': neither a data set, a file nor a folder"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_two(
    fetch: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    with pytest.raises(SystemExit) as exit_:
        fetch(*arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {sentence}")
    assert error.count("\n") == 1


def test_help_names_the_options(
    fetch: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        fetch("--help")
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert "--list" in out
    assert "DANS_DATASETS" in out
