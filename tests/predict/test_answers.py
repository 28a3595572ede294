"""Queries and answers as text, and the command."""

import csv
import gzip
import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dans.cli.command import set_encoding
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.evaluation.calibration import Platt
from dans.evaluation.text_table import width
from dans.models.decoders import DistMult
from dans.predict import Predictor, Query, answers
from dans.predict.output_formats import FORMATS, Csv, JsonLines, QueryOptions, Table
from dans.predict.queries import parse
from dans.runs.train import configure, train
from tests.processes import Running, run, succeed
from tests.suites.toy import RECIPE, lay


def predictor_of(kg: KnowledgeGraph, *, calibrated: bool = False) -> Predictor:
    torch.manual_seed(0)
    decoder = DistMult(num_relations=kg.num_relations, dim=4)
    calibration = Platt(1.0, 0.0) if calibrated else None
    entities = torch.randn(kg.num_entities, 4)
    return Predictor(kg, decoder, entities, calibration=calibration, about="a toy")


def whole(texts: Iterator[str]) -> str:
    return "".join(texts)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("ada\tknows", ("ada", "knows", None)),
        ("ada\tknows\t", ("ada", "knows", None)),
        ("ada\tknows\t?", ("ada", "knows", None)),
        ("\tknows\tbob", (None, "knows", "bob")),
        ("?\tknows\tbob", (None, "knows", "bob")),
        ("ada\t?\tbob", ("ada", None, "bob")),
        ("ada\tknows\tbob", ("ada", "knows", "bob")),
        ("{a\tknows", ("{a", "knows", None)),
        (" ada \tknows", (" ada ", "knows", None)),
        ('{"head": "ada", "relation": "knows"}', ("ada", "knows", None)),
        ('{"head": null, "relation": "?", "tail": "a\\tb"}', (None, "?", "a\tb")),
    ],
)
def test_lines_are_queries(line: str, parts: tuple[str | None, ...]) -> None:
    assert parse(line).parts == parts


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("ada knows bob", "separated by tabs, the one asked for empty or '?'"),
        ("ada", "got 1 column"),
        ("ada\tknows\tbob\t1", "got 4 columns"),
        ("\t\t", "head and relation and tail are left open"),
        ("?\tknows", "head and tail are left open"),
        ("{}", "are left open"),
        ('{"haed": "ada", "relation": "knows"}', "haed: unknown key; known: head, relation, tail"),
        ('{"head": 3, "relation": "knows"}', "head: expected a name, got 3"),
        ('{"head": ["ada"], "relation": "knows"}', "head: expected a name"),
        ('{"head": "ada"', "not a JSON object"),
        ('{"head":' * 100_000, "not a JSON object"),
        ('{"head": "ada", "head": "bob", "relation": "knows"}', "'head' stands twice"),
    ],
)
def test_lines_that_are_no_queries_are_refused(line: str, sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse(line)
    assert sentence in str(refusal.value)


def test_a_file_is_refused_by_file_and_line_before_anything_is_answered(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    predictor, path = predictor_of(kg), tmp_path / "queries.tsv"
    path.write_bytes(b"\xef\xbb\xbfada\tknows\r\n\r\nada\tknws\r\n")
    with pytest.raises(InputError, match=r"queries.tsv:3: relation: .* did you mean 'knows'"):
        answers.read_queries(path, predictor)
    path.write_bytes(b"ada\tknows\n\xff\tknows\n")
    with pytest.raises(InputError, match=r"queries.tsv:2: byte 1 of the line, 0xff, is not UTF-8"):
        answers.read_queries(path, predictor)
    path.write_bytes(b"\n\n")
    with pytest.raises(InputError, match=r"queries.tsv: no query in it; expected head"):
        answers.read_queries(path, predictor)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        answers.read_queries(tmp_path / "none", predictor)


def test_a_gzipped_file_is_read(kg: KnowledgeGraph, tmp_path: Path) -> None:
    path = tmp_path / "queries.tsv.gz"
    path.write_bytes(gzip.compress(b"ada\tknows\n?\tknows\tbob\n"))
    queries = answers.read_queries(path, predictor_of(kg))
    assert queries == [Query("ada", "knows"), Query(relation="knows", tail="bob")]


def test_a_query_mark_that_is_a_name_is_not_guessed_at(tmp_path: Path) -> None:
    predictor = predictor_of(KnowledgeGraph.of([("?", "r", "b")]))
    path = tmp_path / "queries.tsv"
    path.write_text("?\tr\tb\n")
    with pytest.raises(
        InputError, match="'\\?' is a name here; ask by an empty column, or as JSON"
    ):
        answers.read_queries(path, predictor)
    path.write_text('\tr\tb\n{"head": "?", "relation": "r"}\n')
    parts = [query.parts for query in answers.read_queries(path, predictor)]
    assert parts == [(None, "r", "b"), ("?", "r", None)]


def test_replies_keep_the_order_of_queries(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "AT_ONCE", 4)
    queries = [
        Query("ada", "owns"),
        Query("ada", "owns", "map"),
        Query(head="ada", tail="bob"),
        Query("bob", "owns"),
        Query("bob", "owns", "cup"),
    ]
    form = JsonLines(predictor_of(kg), QueryOptions(top=2))
    lines = [json.loads(line) for line in whole(answers.write(form, queries)).splitlines()]
    assert [(line["head"], line["relation"], line["tail"]) for line in lines] == [
        query.parts for query in queries
    ]
    assert [len(line.get("answers", ())) for line in lines] == [2, 0, 2, 2, 0]


def test_json_is_what_python_answers(kg: KnowledgeGraph) -> None:
    predictor = predictor_of(kg, calibrated=True)
    query, whole_triple = Query("ada", "owns"), Query("ada", "owns", "map")
    form = JsonLines(predictor, QueryOptions(top=3, ranks=True))
    listed, triple = map(json.loads, whole(answers.write(form, [query, whole_triple])).splitlines())
    for line, answer in zip(listed["answers"], predictor.tails("ada", "owns", top=3), strict=True):
        assert line == {**vars(answer), "known": list(answer.known)}
    expected = vars(predictor.rank([("ada", "owns", "map")])[0])
    assert triple == {**expected, "known": ["test"]}


def test_csv_quotes_what_needs_quotes_and_gives_triples() -> None:
    odd = 'say "x, y"\n'
    predictor = predictor_of(KnowledgeGraph.of([("a", "r", odd)]))
    queries = [Query("a", "r"), Query("a", "r", odd), Query(head="a", tail=odd)]
    text = whole(answers.write(Csv(predictor, QueryOptions(ranks=True)), queries))
    assert text.startswith("target,head,relation,tail,rank,score,probability,known,")
    assert text.count("\r\n") == 1 + 2 + 1 + 1
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["target"] for row in rows] == ["tail", "tail", "", "relation"]
    assert {row["tail"] for row in rows[:2]} == {"a", odd}
    assert (rows[2]["tail"], rows[2]["known"], rows[2]["rank"]) == (odd, "train", "")
    assert {rows[2]["head_rank"], rows[2]["tail_rank"]} <= {"1.0", "1.5", "2.0"}
    assert float(rows[2]["score"]) == predictor.score([("a", "r", odd)])[0].score
    assert rows[3]["relation"] == "r"


def test_a_table_is_aligned_and_steers_no_terminal() -> None:
    predictor = predictor_of(KnowledgeGraph.of([("a", "r", "\x1b[2Jred"), ("語語", "r", "plain")]))
    text = whole(answers.write(Table(predictor, QueryOptions()), [Query("a", "r")]))
    assert "\x1b" not in text
    head, rule, blank, title, columns, *rows = text.splitlines()
    assert (head, blank, title) == ("a toy", "", "(a, r, ?)")
    assert "the splits that hold the triple" in rule
    assert columns.split() == ["rank", "tail", "score", "known"]
    assert len(rows) == 4
    ends = {width(row[: row.index(".")]) for row in rows}
    assert len(ends) == 1, "decimal points stand below each other"


def test_a_table_shows_probabilities_where_there_are_some(kg: KnowledgeGraph) -> None:
    for calibrated in (False, True):
        predictor = predictor_of(kg, calibrated=calibrated)
        queries = [Query("ada", "owns"), Query("ada", "owns", "map")]
        text = whole(answers.write(Table(predictor, QueryOptions(ranks=True)), queries))
        assert ("probability" in text) is calibrated
        assert "rank as tail" in text


def test_a_table_says_that_nothing_new_is_left() -> None:
    predictor = predictor_of(KnowledgeGraph.of([("a", "r", "a"), ("a", "r", "b")]))
    text = whole(answers.write(Table(predictor, QueryOptions(new_only=True)), [Query("a", "r")]))
    assert "no answer that is not known" in text
    assert "left out" in text


def test_a_table_cuts_long_names_and_data_never() -> None:
    long = "語x" * 200
    predictor = predictor_of(KnowledgeGraph.of([(long, "r", "a")]))
    for query in (Query(long, "r"), Query(relation="r", tail="a")):
        text = whole(answers.write(Table(predictor, QueryOptions()), [query]))
        assert f"{long[:160]}…" in text
        assert long[:161] not in text
        for form in (JsonLines(predictor, QueryOptions()), Csv(predictor, QueryOptions())):
            said = whole(answers.write(form, [query]))
            assert long in (said if isinstance(form, Csv) else str(json.loads(said)))


def test_a_name_that_is_a_query_mark_is_shown_as_one() -> None:
    predictor = predictor_of(KnowledgeGraph.of([("?", "r", "b")]))
    text = whole(answers.write(Table(predictor, QueryOptions()), [Query("?", "r")]))
    assert text.splitlines()[3] == "('?', r, ?)"


def test_options_without_effect_on_lines_are_reported(
    kg: KnowledgeGraph, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed, triple = b"ada\towns\n", b"ada\towns\tmap\n"
    default = {"top": None, "new_only": False, "ranks": False}
    for content, options, option in (
        (listed, {"ranks": True}, "--ranks"),
        (triple, {"top": 3}, "--top"),
        (triple, {"new_only": True}, "--new"),
    ):
        chosen = QueryOptions.of(None, **(default | options))
        path = tmp_path / "queries.tsv"
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"queries.tsv: {option}: no effect"):
            answers.answer(JsonLines(predictor_of(kg), chosen), None, str(path))
        path.write_bytes(listed + triple)
        assert whole(answers.answer(JsonLines(predictor_of(kg), chosen), None, str(path)))
        with caplog.at_level(logging.WARNING, "dans"):
            whole(answers.answer_stream(JsonLines(predictor_of(kg), chosen), [content]))
        assert f"standard input: {option}: no effect" in caplog.messages[-1]


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_stream_continues_after_a_wrong_line(
    kg: KnowledgeGraph, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    form = FORMATS[name](predictor_of(kg), QueryOptions(top=1))
    given = [b"ada\towns\n", b"\n", b"adda\towns\n", b"\xff\n", b"bob\towns"]
    said = []
    refusal = pytest.raises(InputError, match="standard input: 2 of its lines")
    with caplog.at_level(logging.WARNING, "dans"), refusal:
        said.extend(answers.answer_stream(form, given))
    assert "standard input:3: head: unknown name 'adda'; did you mean 'ada'?" in caplog.text
    assert "standard input:4: byte 1 of the line, 0xff, is not UTF-8" in caplog.text
    assert len(said) == 5, "a head and a reply to each line that is not empty"
    assert "ada" in said[1]
    assert "bob" in said[4]
    if name == "json":
        assert json.loads(said[2]).keys() == {"error"}


def test_standard_input_that_is_closed_or_endless_is_refused(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Table(predictor_of(kg), QueryOptions(top=1))
    endless = io.TextIOWrapper(io.BytesIO(b"a" * (2**24 + 1)))
    for stream, sentence in (
        (None, "input is closed"),
        (endless, ":1: a line of more than 16 MiB"),
    ):
        monkeypatch.setattr(sys, "stdin", stream)
        with pytest.raises(InputError, match=sentence):
            whole(answers.answer(output, None, "-"))


def test_each_line_is_answered_before_the_next_is_read(kg: KnowledgeGraph) -> None:
    read = []

    def lines() -> Iterator[bytes]:
        for line in (b"ada\towns\n", b"bob\towns\n"):
            read.append(line)
            yield line

    texts = answers.answer_stream(JsonLines(predictor_of(kg), QueryOptions()), lines())
    next(texts)
    assert json.loads(next(texts))["head"] == "ada"
    assert len(read) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run on a user's own triples, and files of queries."""
    folder = tmp_path_factory.mktemp("predict")
    lay(folder / "triples")
    (folder / "own.toml").write_text(RECIPE.format(data=folder / "triples"))
    train(configure(folder / "own.toml", []), folder / "run")
    (folder / "good.tsv").write_text("e1\tr0\n?\tr1\te2\ne1\tr0\te5\n")
    return folder


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--head", "e1", "--relation", "r0"], ["(e1, r0, ?)", "rank  tail", "   1  e"]),
        (["--relation", "r0", "--tail", "e1", "--new"], ["(?, r0, e1)", "left out"]),
        (["--head", "e1", "--tail", "e2", "--top", "2"], ["(e1, ?, e2)", "rank  relation"]),
        (["--head", "e1", "--relation", "r0", "--tail", "e2"], ["score", "known", "rank as tail"]),
        (["--file", "good.tsv", "--model", "last"], ["(?, r1, e2)", "(e1, r0, e5)", "last"]),
        (["--file", "good.tsv", "--ranks", "--csv"], ["target,head,relation,tail,rank"]),
        (["--file", "good.tsv", "--json"], ['"answers": [{"rank": 1']),
    ],
)
def test_the_script_answers(folder: Path, options: list[str], expected: list[str]) -> None:
    done = succeed("predict.py", "run", *options, cwd=folder)
    assert done.stderr == ""
    for text in expected:
        assert text in done.stdout


def test_standard_input_is_answered_line_by_line(folder: Path) -> None:
    given = 'e1\tr0\ne1\tr7\n{"relation": "r1", "tail": "e2"}\n'
    with Running("predict.py", "run", "--file", "-", "--json", cwd=folder, given=given) as running:
        done = running.wait()
    assert done.returncode == 2
    first, error, last = map(json.loads, done.stdout.splitlines())
    assert first["answers"][0]["rank"] == 1
    assert "standard input:2" in error["error"]
    assert last["tail"] == "e2"
    refused, counted = done.stderr.splitlines()
    assert refused == error["error"]
    assert counted == "error: standard input: 1 of its lines could not be answered"


def test_files_and_pipes_are_utf8_and_a_terminal_shows_escapes() -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    for encoding in ("ascii", "latin-1", "utf-8", "utf-16"):
        for kind in (io.BytesIO, Terminal):
            stream = io.TextIOWrapper(kind(), encoding=encoding)
            set_encoding(stream)
            stream.write("語 é \udcff")
            stream.flush()
            shown = stream.buffer.getvalue()  # type: ignore[attr-defined]
            if kind is io.BytesIO:
                assert shown.decode("utf-8") == "語 é \\udcff"
            elif encoding == "ascii":
                assert shown == rb"\u8a9e \xe9 \udcff"
            else:
                assert "é" in shown.decode(encoding)
    set_encoding(io.StringIO())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_output_in_a_file_is_utf8_whatever_the_locale(
    folder: Path, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "triples").mkdir()
    for path in (folder / "triples").iterdir():
        text = path.read_text().replace("e1", "語1")
        (tmp_path / "triples" / path.name).write_text(text, "utf-8")
    (tmp_path / "own.toml").write_text(RECIPE.format(data="triples"))
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    succeed("pretrain_rgcn.py", "--recipe", "own.toml", "--out", "run", cwd=tmp_path, env=env)
    done = succeed("predict.py", "run", "--head", "語1", "--relation", "r0", cwd=tmp_path, env=env)
    assert "語1" in done.stdout
    for form in ("--csv", "--json"):
        query = ["--tail", "語1", "--relation", "r0", form]
        done = succeed("predict.py", "run", *query, cwd=tmp_path, env=env)
        assert "語1" in (done.stdout if form == "--csv" else json.loads(done.stdout).values())
    done = run("predict.py", "run", "--head", "語x", "--relation", "r0", cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --head: unknown name '語x'")


def spoil() -> None:
    """Let no score be a number."""

    def predict(*_: object, **__: object) -> None:
        raise FloatingPointError("the score of 'e1' is nan; the model has no answer")

    Predictor.predict = predict  # type: ignore[method-assign]


def test_scores_that_are_no_numbers_are_not_called_training(folder: Path) -> None:
    options = ["--head", "e1", "--relation", "r0"]
    done = run("predict.py", "run", *options, cwd=folder, before=spoil)
    assert done.returncode == 2
    assert done.stderr == "error: the score of 'e1' is nan; the model has no answer\n"
