"""The page of a recording on loopback, as the file grows.

The server is that of the standard library: it answers two addresses, the page and its state, to one reader on the same
machine, from texts that lie in memory, and takes nothing in. No file is read for a request, so that a request can name
none; only GET and HEAD are answered; a request that names another host is refused, so that no page of another site can
reach the server by a name that the site points here (DNS rebinding). Not here: what the page shows (`pages/recording`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from spectail.errors import SettingError, first_line
from spectail.report.pages.recording import page_of
from spectail.report.pages.template import waiting_page
from spectail.report.watching import WatchedRecording

_HOST = "127.0.0.1"
_PATIENCE = 10  # seconds that a connection may be silent


class PageServer:
    """Serves the page of a recording inside a `with` statement.

    Args:
        watched: the recording.
        port: to listen at; 0 is any that is free.

    Raises:
        SettingError: the port is taken, or not allowed.

    Attributes:
        address: of the page.
    """

    def __init__(self, watched: WatchedRecording, port: int = 0) -> None:
        self._watched = watched
        self._page, self._state = b"", b""
        self.refresh()
        try:
            self._server = ThreadingHTTPServer((_HOST, port), _handler(lambda: (self._page, self._state)))
        except OSError as error:
            raise SettingError(f"port {port} cannot be served at: {first_line(error)}") from None
        self._server.daemon_threads = True
        self.address = f"http://{_HOST}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> PageServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def refresh(self) -> None:
        """Make the page anew, if the recording was read anew."""
        watched, version = self._watched, str(self._watched.version)
        if watched.recording is None:
            self._page = waiting_page(watched.sentence).encode()
        elif not self._state or json.loads(self._state)["version"] != version:
            self._page = page_of(watched.recording, version=version).encode()
        self._state = json.dumps({"version": version, "sentence": watched.sentence}).encode()


def _handler(texts: Callable[[], tuple[bytes, bytes]]) -> type[BaseHTTPRequestHandler]:
    """What answers one request."""

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE
        server_version, sys_version = "spectail", ""

        def do_GET(self) -> None:
            page, state = texts()
            known = {"/": (page, "text/html; charset=utf-8"), "/state": (state, "application/json")}
            if not self._is_asked_here():
                self._answer(403, b"this server answers its own page only", "text/plain")
            elif self.path in known:
                self._answer(200, *known[self.path])
            else:
                self._answer(404, b"there is nothing at this address", "text/plain")

        do_HEAD = do_GET  # noqa: N815

        def _is_asked_here(self) -> bool:
            port = self.connection.getsockname()[1]
            hosts = {f"{_HOST}:{port}", f"localhost:{port}"}
            origin = self.headers.get("Origin")
            return self.headers.get_all("Host", []) in [[host] for host in hosts] and (
                origin is None or origin in {f"http://{host}" for host in hosts}
            )

        def _answer(self, code: int, content: bytes, kind: str) -> None:
            self.send_response(code)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(content)),
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
                "Referrer-Policy": "no-referrer",
                "Cross-Origin-Resource-Policy": "same-origin",
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing: the terminal tells of the recording."""

        def version_string(self) -> str:
            return "spectail"

    return Handler
