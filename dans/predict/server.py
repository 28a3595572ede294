"""A trained run over HTTP, read-only: JSON for programs, and one page for a person."""

import ipaddress
import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, islice
from socket import AddressFamily, socket
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from dans.errors import InputError, shown
from dans.predict.explain import Explainer
from dans.predict.predictor import Predictor
from dans.predict.queries import PARTS, Query

log = logging.getLogger(__name__)

#: Answers to a request at most, and where it does not say how many.
MOST, USUAL = 1000, 10
#: Characters of the path and query of a request.
LONGEST = 8192
#: Connections at a time; more are refused.
AT_ONCE = 32
#: Seconds that a connection may be silent, and that a request may wait for those before it.
SILENT, WAIT = 10, 20
#: Relations that the page lists.
LISTED = 500

#: What a path takes. ``/`` is the page.
PATHS: dict[str, tuple[str, ...]] = {
    "/": (*PARTS, "top", "new"),
    "/predict": (*PARTS, "top", "new"),
    "/score": PARTS,
    "/explain": (*PARTS, "top"),
    "/entities": ("prefix", "top"),
    "/health": (),
}

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>dans</title>
<style>body{{font-family:sans-serif;max-width:48em;margin:2em auto;padding:0 1em}}
label{{display:block;margin:.5em 0}}td,th{{padding:.2em .8em;text-align:left}}</style></head><body>
<h1>Link prediction</h1><p>{about}</p>
<p>Give two of head, relation and tail: the third is predicted. Give all three to score the
triple.</p>
<form action="/" method="get">
<label>Head <input name="head" value="{head}"></label>
<label>Relation <input name="relation" value="{relation}" list="relations"></label>
<label>Tail <input name="tail" value="{tail}"></label>
<label>Answers <input name="top" type="number" min="1" max="1000" value="{top}"></label>
<label><input name="new" type="checkbox" value="1"{new}> leave out what is known</label>
<datalist id="relations">{relations}</datalist>
<button>Predict</button></form>
{result}
<form action="/entities" method="get"><label>Entities whose names hold
<input name="prefix"></label><button>Search</button></form>
</body></html>
"""


class RequestError(Exception):
    """A request that is refused, with the status of HTTP."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Server(ThreadingHTTPServer):
    """Answers about one predictor; requests are computed one at a time.

    Args:
        address: host and port; port 0: any that is free.
        explainer: makes what explains triples, when it is first needed; None: nothing does.
    """

    daemon_threads = True

    def __init__(
        self,
        predictor: Predictor,
        address: tuple[str, int] = ("127.0.0.1", 0),
        *,
        explainer: Callable[[], Explainer] | None = None,
    ) -> None:
        self.predictor, self.host = predictor, address[0]
        self._make = explainer
        self._explainer: Explainer | None = None
        self._computing = threading.Lock()
        self._free = threading.BoundedSemaphore(AT_ONCE)
        if ":" in self.host:
            self.address_family = AddressFamily.AF_INET6
        try:
            super().__init__(address, Handler)
        except (OSError, OverflowError) as error:
            said = getattr(error, "strerror", None) or error
            raise InputError(f"--host, --port: {address[0]}:{address[1]}: {said}") from error

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_port}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, unless there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        self._refuse(request)

    def _refuse(self, request: socket) -> None:
        body = b'{"error": "too many connections; try again later"}\n'
        head = f"HTTP/1.0 503 Service Unavailable\r\nContent-Length: {len(body)}\r\n"
        try:
            request.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        except OSError as error:
            log.debug("%s", error)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then let the next connection in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error."""
        log.debug("a connection ended early", exc_info=True)

    def allows(self, host: str | None) -> bool:
        """Whether a request was meant for this server: its Host is an address, or the one given.

        A page of another site can have its own name resolve to this machine (DNS rebinding); that
        name is then in the header.
        """
        name = ""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            ipaddress.ip_address(name)
        except ValueError:
            return name in ("localhost", self.host.lower())
        return True

    def answer(self, path: str, given: Mapping[str, str]) -> dict[str, Any]:
        """What a path answers to its parameters.

        Raises:
            InputError: a parameter cannot be used.
            RequestError: there is no such path, or no time for it.
        """
        if path == "/health":
            kg = self.predictor.kg
            sizes = {"entities": kg.num_entities, "relations": kg.num_relations}
            return {"status": "ok", "about": self.predictor.about, **sizes}
        if path == "/entities":
            return {"entities": self.search(given.get("prefix", ""), _top(given, 20))}
        if not self._computing.acquire(timeout=WAIT):
            raise RequestError(503, "busy; try again later")
        try:
            return self._computed(path, given)
        finally:
            self._computing.release()

    def search(self, text: str, top: int) -> list[str]:
        """Names of entities that begin with a text, then those that hold it; case is ignored."""
        wanted, names = text.casefold(), self.predictor.kg.entities.names
        first = (name for name in names if name.casefold().startswith(wanted))
        rest = (name for name in names if wanted in name.casefold()[1:])
        there = chain(first, (name for name in rest if not name.casefold().startswith(wanted)))
        return list(islice(there, top))

    def _computed(self, path: str, given: Mapping[str, str]) -> dict[str, Any]:
        query = Query(*(given.get(part) or None for part in PARTS))
        if path == "/explain" or path == "/score":
            if query.target is not None:
                raise InputError(f"{query.target}: missing; a triple has head, relation and tail")
            triple = (query.head or "", query.relation or "", query.tail or "")
            if path == "/score":
                # An unknown name is said by the parameter that has it.
                self.predictor.ids(query)
                return asdict(self.predictor.rank([triple])[0])
            return self._explained(triple, _top(given, 5))
        if query.target is None:
            raise InputError("a whole triple leaves nothing to predict; /score scores it")
        found = self.predictor.predict([query], top=_top(given, USUAL), new_only=_new(given))
        answers = found[0]
        return {**asdict(query), "answers": [asdict(answer) for answer in answers]}

    def _explained(self, triple: tuple[str, str, str], top: int) -> dict[str, Any]:
        if self._explainer is None:
            if self._make is None:
                raise RequestError(404, "/explain: several runs are not explained as one")
            self._explainer = self._make()
        found: dict[str, Any] = json.loads(self._explainer.explain(*triple, top=top).to_json())
        return found

    def page(self, given: Mapping[str, str]) -> str:
        """The page, with the answers to its form."""
        result = ""
        if any(given.get(part) for part in PARTS):
            try:
                query = Query(*(given.get(part) or None for part in PARTS))
                whole = query.target is None
                found = self.answer("/score" if whole else "/predict", given)
                rows = [found] if whole else found["answers"]
                titles = {"score": self.predictor.score_title(query.target)}
                result = _table(rows, titles) if rows else "<p>No answer that is not known.</p>"
            except InputError as error:
                result = f"<p><strong>{escape(str(error))}</strong></p>"
        names = self.predictor.kg.relations.names[:LISTED]
        return PAGE.format(
            about=escape(self.predictor.about),
            top=escape(given.get("top") or str(USUAL)),
            new=" checked" if given.get("new") == "1" else "",
            relations="".join(f'<option value="{escape(name)}">' for name in names),
            result=result,
            **{part: escape(given.get(part, "")) for part in PARTS},
        )


class Handler(BaseHTTPRequestHandler):
    """One request of a client."""

    server: Server
    raw_requestline: bytes
    timeout = SILENT
    server_version, sys_version = "dans", ""

    def do_GET(self) -> None:
        """Answer, or say what is wrong."""
        try:
            path, given = self._parsed()
            if path == "/":
                self._send(200, self.server.page(given).encode(), "text/html; charset=utf-8")
                return
            status, content = 200, self.server.answer(path, given)
        except InputError as error:
            status, content = 400, {"error": str(error)}
        except RequestError as error:
            status, content = error.status, {"error": str(error)}
        except FloatingPointError as error:
            status, content = 500, {"error": str(error)}
        except OSError:
            raise
        except Exception:
            log.exception("%s", self.path)
            status, content = 500, {"error": "the server failed; its log says how"}
        self._send(status, f"{json.dumps(content)}\n".encode())

    def parse_request(self) -> bool:
        """Bytes above 127 are of names without percents; two of them are white space in latin-1."""
        self.raw_requestline = re.sub(
            rb"[\x80-\xff]", lambda byte: b"%%%02X" % byte[0][0], self.raw_requestline
        )
        return super().parse_request()

    def _parsed(self) -> tuple[str, dict[str, str]]:
        if len(self.path) > LONGEST or self.headers.get("Content-Length", "0") != "0":
            raise RequestError(413, f"expected at most {LONGEST:,} characters, and no body")
        if not self.server.allows(self.headers.get("Host")):
            raise RequestError(400, "Host: expected an address of this server, or localhost")
        try:
            url = urlsplit(self.path)
        except ValueError:
            raise RequestError(400, "expected a path and parameters") from None
        if url.path not in PATHS:
            raise RequestError(404, f"{shown(url.path)}: no such path; known: {', '.join(PATHS)}")
        given: dict[str, str] = {}
        try:
            pairs = parse_qsl(url.query, True, errors="strict", max_num_fields=10)
        except ValueError:
            raise RequestError(400, "expected at most 10 parameters, in UTF-8") from None
        for name, value in pairs:
            if name not in PATHS[url.path] or name in given:
                known = ", ".join(PATHS[url.path]) or "none"
                raise RequestError(400, f"{shown(name)}: expected, once each: {known}")
            given[name] = value
        return url.path, given

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """The refusal of what is no request that is answered here, as JSON."""
        status = {501: 405, 414: 413, 431: 413}.get(int(code), int(code))
        sentence = "expected GET" if status == 405 else message or "no request of HTTP"
        self._send(status, f"{json.dumps({'error': sentence})}\n".encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
            "form-action 'self'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            **({"Allow": "GET"} if status == 405 else {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are logged for those who debug."""
        log.debug(format, *args)


def _top(given: Mapping[str, str], usual: int) -> int:
    text = given.get("top") or str(usual)
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and 1 <= int(text) <= MOST):
        raise InputError(f"top: expected a whole number from 1 to {MOST:,}, got {shown(text)}")
    return int(text)


def _new(given: Mapping[str, str]) -> bool:
    text = given.get("new") or "0"
    if text not in ("0", "1"):
        raise InputError(f"new: expected 1, to leave out what is known, or 0; got {shown(text)}")
    return text == "1"


def _table(rows: list[dict[str, Any]], titles: Mapping[str, str]) -> str:
    """Rows as a table of HTML, without columns that are empty throughout.

    ``titles``: of columns that are not called by their names.
    """
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    shown = [titles.get(name, name.replace("_", " ")) for name in names]
    lines = ["".join(f"<th>{escape(title)}</th>" for title in shown)]
    for row in rows:
        lines.append("".join(f"<td>{escape(_cell(row[name]))}</td>" for name in names))
    return "<table>" + "".join(f"<tr>{line}</tr>\n" for line in lines) + "</table>"


def _cell(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
