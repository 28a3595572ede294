"""A server of downloads on this machine."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Mirror:
    """A server on this machine: answers by path, or with 500 a given number of times."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        #: writers of a body by path, which may never end
        self.streams: dict[str, Callable[[Callable[[bytes], object]], object]] = {}
        self.failures = 0
        self.requested: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.requested.append(self.path)
                if stream := mirror.streams.get(self.path):
                    self.send_response(200)
                    self.end_headers()
                    with suppress(OSError):
                        stream(self.wfile.write)
                    return
                known = self.path in mirror.answers and not mirror.failures
                mirror.failures = max(0, mirror.failures - 1)
                self.send_response(200 if known else 500)
                self.end_headers()
                self.wfile.write(mirror.answers.get(self.path, b"") if known else b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def offer(self, path: str, data: bytes, options: str = "", claimed: bytes | None = None) -> str:
        """Answer with some bytes; the section of a card that names them, or claims others."""
        self.answers[path] = data
        sha = digest(data if claimed is None else claimed)
        return f'{{ url = "{self.url}{path}", sha256 = "{sha}"{options} }}'


@contextmanager
def serving() -> Iterator[Mirror]:
    """A server at work, until the end of the block."""
    mirror = Mirror()
    thread = threading.Thread(target=mirror.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mirror
    finally:
        mirror.server.shutdown()
        thread.join()
        mirror.server.server_close()
