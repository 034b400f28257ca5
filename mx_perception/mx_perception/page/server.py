"""The server of the live page: on this machine alone, or with a token for others."""

from __future__ import annotations

import hmac
import json
import time
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from mx_capture.errors import MxError

from mx_perception.page.state import PageState

LOCAL_HOSTS = ("127.0.0.1", "localhost")
_PAGE = Path(__file__).parents[1] / "data" / "view.html"
_COOKIE = "mx_view"
_WAIT_S, _STEP_S = 1.0, 0.01
"""A request for a picture waits this long for a new one, looking this often."""
_SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class PageServer(ThreadingHTTPServer):
    """Serves one `PageState`.

    Without a token, only browsers on this machine are answered. Raises MxError for an address
    that cannot be used, and for one that others reach without a token.
    """

    daemon_threads = True

    def __init__(self, state: PageState, host: str, port: int, token: str = "") -> None:
        if host not in LOCAL_HOSTS and not token:
            raise MxError(f"--host {host} is open to others, and there is no token; give one")
        self.state, self.token = state, token
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MxError(
                f"{host}:{port} cannot be used: {reason}; give another --host or --port"
            ) from error

    def handle_error(self, request: object, client_address: object) -> None:
        """Browsers leave in the middle of an answer; that is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30.0
    server: PageServer

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        if not self._allowed(query.get("token", "")):
            text = b"open the address with the token that ./mx view printed"
            self._answer(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", text)
        elif address.path == "/" and "token" in query:
            # The token leaves the address line, where people would see and copy it.
            cookie = f"{_COOKIE}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            self._answer(HTTPStatus.SEE_OTHER, "", b"", {"Location": "/", "Set-Cookie": cookie})
        else:
            self._get(address.path, query)

    def log_message(self, *_: object) -> None:
        """The terminal stays quiet."""

    def _get(self, path: str, query: dict[str, str]) -> None:
        self.server.state.asked_s = time.monotonic()
        after = query.get("after", "0")
        after_us = int(after) if after.isdigit() else 0
        if path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", _PAGE.read_bytes())
        elif path == "/state.json":
            state = self.server.state.state(query.get("face", ""), after_us)
            self._answer(HTTPStatus.OK, "application/json", json.dumps(state).encode())
        elif path in ("/rgb", "/events"):
            self._picture(path[1:], after_us)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there is no such page")

    def _picture(self, kind: str, after_us: int) -> None:
        until = time.monotonic() + _WAIT_S
        while (picture := self.server.state.picture(kind, after_us)) is None:
            if time.monotonic() > until:
                self._answer(HTTPStatus.NO_CONTENT, "", b"")
                return
            time.sleep(_STEP_S)
        stamp_us, data = picture
        kind = "image/jpeg" if kind == "rgb" else "image/png"
        self._answer(HTTPStatus.OK, kind, data, {"X-Stamp-Us": str(stamp_us)})

    def _allowed(self, given: str) -> bool:
        token = self.server.token
        if not token:
            # A page of another site whose name resolves to this machine has another Host.
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            return host in LOCAL_HOSTS
        try:
            morsel = SimpleCookie(self.headers.get("Cookie") or "").get(_COOKIE)
        except CookieError:
            morsel = None
        known = given or (morsel.value if morsel else "")
        return hmac.compare_digest(known.encode(), token.encode())

    def _answer(
        self, status: HTTPStatus, kind: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**_SAFE, **(headers or {})}.items():
            self.send_header(name, value)
        if kind:
            self.send_header("Content-Type", kind)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
