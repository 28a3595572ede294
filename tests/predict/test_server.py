"""A run over HTTP answers what the predictor does, and refuses the rest in JSON."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.evaluation.relation_ranking import RelationPosterior
from dans.models.decoders import DistMult
from dans.models.encoders import Lookup
from dans.models.model import Model
from dans.predict import Predictor
from dans.predict import server as module
from dans.predict.explain import Explainer
from dans.predict.server import Server
from dans.runs.train import configure, train
from tests.suites.toy import RECIPE, lay


@pytest.fixture
def server(kg: KnowledgeGraph) -> Iterator[Server]:
    torch.manual_seed(0)
    model = Model(Lookup(kg.num_entities, 4), DistMult(kg.num_relations, 4)).double().eval()
    entities = model.embeddings(kg.messages()).clone()
    predictor = Predictor(kg, model.decoder, entities, about="<toy>")
    with Server(predictor, explainer=lambda: Explainer(kg, model, entities)) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server: Server, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def raw(server: Server, request: str) -> tuple[str, str]:
    """The head and the body of the answer to a request as it is, unlike those of http.client."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as asking:
        asking.sendall(f"{request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = asking.makefile().read().partition("\n\n")
    return head, body


def content(server: Server, path: str, **given: object) -> Any:
    status, text = ask(server, f"{path}?{urlencode(given)}")
    assert status == 200, text
    return json.loads(text)


def test_answers_are_those_of_the_predictor(server: Server) -> None:
    predictor = server.predictor
    found = content(server, "/predict", head="ada", relation="owns", top=3)
    assert found["answers"] == json.loads(
        json.dumps([asdict(answer) for answer in predictor.tails("ada", "owns", top=3)])
    )
    found = content(server, "/predict", relation="owns", tail="cup", new=1, top=1000)
    assert not any(answer["known"] for answer in found["answers"])
    triple = {"head": "ada", "relation": "owns", "tail": "map"}
    (expected,) = predictor.rank([("ada", "owns", "map")])
    assert content(server, "/score", **triple) == json.loads(json.dumps(asdict(expected)))
    assert content(server, "/explain", **triple, top=2)["paths"]
    assert content(server, "/health")["entities"] == 8


def test_the_page_says_what_orders_relations(server: Server) -> None:
    path = f"/?{urlencode({'head': 'ada', 'tail': 'bob'})}"
    assert "<th>score</th>" in ask(server, path)[1]
    own = server.predictor
    own.posterior = RelationPosterior(own.kg, own.decoder, own.entities)
    assert "<th>log p(r | h, t)</th>" in ask(server, path)[1]


def test_names_are_found_by_their_beginning_first(server: Server) -> None:
    assert set(content(server, "/entities", prefix="C")["entities"][:2]) == {"cy", "cup"}
    assert content(server, "/entities", prefix="us")["entities"] == ["gus"]
    assert len(content(server, "/entities", top=3)["entities"]) == 3


def test_the_page_shows_answers_and_escapes_names(server: Server) -> None:
    status, text = ask(server, "/?head=ada&relation=owns&top=2")
    best = server.predictor.tails("ada", "owns", top=2)
    assert status == 200
    assert re.findall(r"<td>(\w+)</td><td>-?[\d.]+</td>", text) == [one.name for one in best]
    assert "&lt;toy&gt;" in text
    status, text = ask(server, f"/?{urlencode({'head': '<b>x', 'relation': 'owns'})}")
    assert "unknown name" in text
    assert "<b>x" not in text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/predict?head=ada&relation=ows", 400, "unknown name 'ows'"),
        ("/predict?head=ada", 400, "left open"),
        ("/predict?head=ada&relation=owns&tail=map", 400, "/score"),
        ("/predict?head=ada&relation=owns&top=1001", 400, "from 1 to 1,000"),
        ("/predict?head=ada&relation=owns&file=x", 400, "file"),
        ("/predict?head=ada&relation=owns&new=false", 400, "new: expected 1, "),
        ("/predict?head=%ff&relation=owns", 400, "UTF-8"),
        ("/score?head=ada&relation=owns", 400, "tail: missing"),
        ("/score?head=ad&relation=owns&tail=map", 400, "head: unknown name 'ad'"),
        ("/../../etc/passwd", 404, "no such path"),
        ("/entities?prefix=" + "x" * 9000, 413, "at most"),
    ],
)
def test_wrong_requests_are_refused_in_json(
    server: Server, path: str, status: int, said: str
) -> None:
    found, text = ask(server, path)
    assert (found, said in json.loads(text)["error"]) == (status, True), text


def test_other_methods_hosts_and_bodies_are_refused(server: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/health", method=method)[0] == 405
    head, body = raw(server, "HEAD /health")
    assert (" 405 " in head, body) == (True, "")
    assert ask(server, "/health", **{"Content-Length": "5"})[0] == 413
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        assert ask(server, "/health", Host=host)[0] == 400
    for host in ("localhost:8000", "127.0.0.1", "[::1]:99"):
        assert ask(server, "/health", Host=host)[0] == 200


@pytest.mark.parametrize("name", ["Zürich", "Città", "Ångström"])
def test_names_without_percents_are_read_as_utf_8(server: Server, name: str) -> None:
    _, body = raw(server, f"GET /predict?relation=owns&head={name}")
    assert f"unknown name {name!r}" in json.loads(body)["error"]


def test_too_many_at_a_time_are_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT", 0.01)
    with server._computing:
        assert ask(server, "/predict?head=ada&relation=owns")[0] == 503
        assert ask(server, "/health")[0] == 200
    for _ in range(module.AT_ONCE):
        server._free.acquire()
    assert ask(server, "/health")[0] == 503
    server._free.release(module.AT_ONCE)
    assert ask(server, "/health")[0] == 200


@pytest.mark.slow
def test_the_command_ends_cleanly_by_a_signal(tmp_path: Path) -> None:
    lay(tmp_path / "toy")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(data=tmp_path / "toy"), "utf-8")
    train(configure(recipe, []), tmp_path / "run")
    call = [sys.executable, "-m", "dans", "serve", str(tmp_path / "run"), "--port", "0"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        assert done.stdout is not None
        assert done.stdout.readline().startswith(str(tmp_path))
        assert done.stdout.readline().startswith("http://127.0.0.1:")
        # SIGINT is ignored by what a shell starts in the background; both end it alike.
        os.kill(done.pid, signal.SIGTERM)
        try:
            out, err = done.communicate(timeout=60)
        finally:
            done.kill()
    assert (done.returncode, out, err) == (0, "stopped\n", "")
