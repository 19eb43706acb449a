"""A file on a web server, read by ranges: the bytes that are asked for, and no others.

Servers are not trusted: what they answer is checked against what was asked, and nothing that they did not say they
would send is waited for. Addresses are shown without what may be secret in them.

Here: HTTP. Not here: which files there are (`remote`), and what is in them (`formats`).

Source: RFC 9110, section 14, and RFC 9111 for what tells that a file has changed.
"""

from __future__ import annotations

import re
import ssl
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import HTTPErrorProcessor, HTTPSHandler, OpenerDirector, Request, build_opener

from spectail.errors import SourceError, first_line
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import printable

TIMEOUT = 30.0
"""Seconds to wait for an answer, and for each part of it."""

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try, where the connection was cut, nobody answered, or the server was busy."""

PROXY = "the proxy wants a login, as in http://name:password@host:port"
"""What is said where the answer is 407."""

LARGEST_JSON = 100_000_000
"""Bytes of a file of JSON that is taken whole where a server gives no ranges of it."""

_FIRST = 512  # bytes that tell the format, and how long the header is
_SMALL = 2**17  # bytes of a piece that is kept, since formats look at their beginnings several times
_MOST_REDIRECTS = 8
_BUSY = {408, 425, 429, 500, 502, 503, 504}
_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})", re.ASCII)


@dataclass(frozen=True)
class WebAddress:
    """Where a file lies on the web, and how it is asked for.

    Attributes:
        name: as messages show it.
        url: of it.
        headers: sent to the server of this address, and to no other: they may hold a token.
        refused: what is said of a file that the server does not let be read, and what to do, by its answer: the status,
            and what it calls the error and says of it, as the hub does; "" where it says nothing.
        download: what to do where it cannot be read by ranges.
    """

    name: str
    url: str
    headers: Mapping[str, str]
    refused: Callable[[int, str, str], str]
    download: str


def web_file(address: WebAddress) -> StoredFile:
    """A file on a web server.

    Args:
        address: of it.

    Returns:
        the file, of which the first bytes were read; a read fails once it is another than now.

    Raises:
        SourceError: it is not there, may not be read, or not by ranges; or there is no connection.
    """
    ranges = _Ranges(address)
    start = bytes(ranges.read(0, _FIRST))
    read = Remembered(ranges.read, start)
    return StoredFile(address.name, ranges.size, read, (ranges.size, ranges.version))


def web_address(url: str) -> WebAddress:
    """The address of a file that anybody names; a name and password in it are sent as these, and not shown.

    >>> web_address("https://me:secret@example.org/a b.pt?signature=1").name
    'https://example.org/a%20b.pt'
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - looked at when it is asked for
    except ValueError as error:
        raise SourceError(f"{without_secrets(printable(url)):.200} is no address: {error}") from None
    headers = {}
    host = parts.netloc.rpartition("@")[2]
    if "@" in parts.netloc:
        who = unquote(parts.netloc.rpartition("@")[0])
        headers = {"Authorization": f"Basic {b64encode(who.encode()).decode()}"}
    clean = parts._replace(netloc=host, path=quote(parts.path, "/%:@!$&'()*+,;=~"), fragment="")
    return WebAddress(
        without_secrets(clean.geturl()),
        clean.geturl(),
        headers,
        _why_refused,
        "download it (curl -L -O), and name the file",
    )


def _why_refused(status: int, code: str, message: str) -> str:
    return f"may not be read ({status}): {message or 'the server wants a login, or the address has expired'}"


def without_secrets(text: str) -> str:
    """A text in which no address has a password or a query, which may be a signature, and no token stands.

    >>> without_secrets("GET https://me:secret@host/x.pt?sig=1 failed: Bearer hf_abcdefgh")
    'GET https://host/x.pt failed: Bearer …'
    """
    text = re.sub(r"(\w://)[^/\s@]*@", r"\1", text)
    text = re.sub(r"(\w://[^\s?#'\"]*)[?#][^\s'\"]*", r"\1", text)
    return re.sub(r"\b(hf_\w{8,}|Basic \S{8,})", "…", text)


class Remembered:
    """Reads, and keeps the small pieces that were read last, so that none is fetched twice.

    Args:
        fetch: from a byte on, so many bytes.
        start: the first bytes, where they were fetched already.
    """

    def __init__(self, fetch: Callable[[int, int], bytearray], start: bytes = b"") -> None:
        self._fetch, self._start, self._pieces = fetch, start, deque[tuple[int, bytes]](maxlen=16)

    def __call__(self, start: int, count: int) -> bytearray:
        """From a byte on, so many bytes."""
        before = b""
        for first, piece in ((0, self._start), *self._pieces):
            if first <= start < first + len(piece):
                before = max(before, piece[start - first :][:count], key=len)
        if len(before) == count:
            return bytearray(before)
        rest = self._fetch(start + len(before), count - len(before))
        if len(rest) <= _SMALL:
            self._pieces.append((start + len(before), bytes(rest)))
        return bytearray(before) + rest if before else rest


class _AsItComes(HTTPErrorProcessor):
    """Redirects and refusals are looked at here, not by the library."""

    def http_response(self, request: Request, response: Any) -> Any:
        return response

    https_response = http_response


def _opener() -> OpenerDirector:
    context = ssl.create_default_context()
    try:
        import certifi
    except ImportError:
        pass
    else:
        context.load_verify_locations(certifi.where())
    return build_opener(_AsItComes, HTTPSHandler(context=context))


class _BusyError(OSError):
    """A server that may answer later."""

    def __init__(self, status: int, pause: str | None) -> None:
        super().__init__(f"the server answers {status}")
        self.pause = min(float(pause), 30.0) if pause and re.fullmatch(r"\d{1,6}", pause) else 0.0


class _Ranges:
    """Reads ranges of one file, and notices when it is another one."""

    def __init__(self, address: WebAddress) -> None:
        self._address, self._place, self._opener = address, address.url, _opener()
        self._versions: dict[str, str] = {}
        self._whole: bytes | None = None
        self._at = 0  # bytes of the present read that have come
        self.size = -1

    @property
    def version(self) -> str:
        """What the server calls the file's content; "" where it does not."""
        return next(iter(self._versions.values()), "")

    def read(self, start: int, count: int) -> bytearray:
        """From a byte on, so many bytes; fewer only in the first read, which finds out how many there are."""
        unknown = self.size < 0
        if not unknown and start + count > self.size:
            raise SourceError(f"{self._address.name} ends at byte {self.size}; more were asked for")
        if self._whole is not None:
            return bytearray(self._whole[start : start + count])
        values, tries, since = bytearray(count), 0, 0
        self._at = 0
        while self._at < count:
            try:
                count = self._read_on(values, start, count)
                continue
            except SourceError:
                raise
            except (OSError, HTTPException, ValueError) as error:  # a ValueError where the address is none
                reason: Exception = error
            if self._at - since >= 2**20:  # it comes, if in pieces
                tries, since = 0, self._at
            if tries == len(PAUSES) or isinstance(getattr(reason, "reason", None), ssl.SSLCertVerificationError):
                raise SourceError(f"{self._address.name} cannot be read: {_why(reason)}")
            time.sleep(max(PAUSES[tries], getattr(reason, "pause", 0.0)))
            tries += 1
        return values if len(values) == count else values[:count]

    def _read_on(self, values: bytearray, start: int, count: int) -> int:
        """Fill in what one answer holds; how many bytes are wanted, once it is known how many there are."""
        with self._ask(start + self._at, start + count) as response:
            count = min(count, self.size - start)
            if self._whole is not None:
                values[:count] = self._whole[start : start + count]
                self._at = count
            if self._at == count:
                return count
            first, last, _ = self._promised(response)
            end = self._at + last + 1 - first
            with memoryview(values) as view:
                while self._at < end:
                    part = response.readinto(view[self._at : end])
                    if not part:
                        raise ConnectionError("the connection was cut")
                    self._at += part
        return count

    def _ask(self, start: int, stop: int) -> Any:
        """The answer to a range, checked but for its bytes; the size is known afterwards."""
        response = self._open(self._place, start, stop)
        if response.status in (400, 401, 403, 404, 410) and self._place != self._address.url:
            response.close()  # a signed address holds for some time
            response = self._open(self._address.url, start, stop)
        try:
            self._check(response, start, stop)
        except BaseException:
            response.close()
            raise
        return response

    def _open(self, url: str, start: int, stop: int) -> Any:
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        for _ in range(_MOST_REDIRECTS):
            ours = urlsplit(url)[:2] == urlsplit(self._address.url)[:2]
            own = {name: value for name, value in self._address.headers.items() if ours or name.lower() == "user-agent"}
            response = self._opener.open(Request(url, headers={**own, **headers}), timeout=TIMEOUT)
            if response.status not in (301, 302, 303, 307, 308) or "location" not in response.headers:
                self._place = url
                return response
            self._same("linked", response.headers.get("x-linked-etag"))
            response.close()
            url = urljoin(url, response.headers["location"])
            if urlsplit(url).scheme not in ("http", "https"):
                raise SourceError(f"{self._address.name} leads to {printable(urlsplit(url).scheme)!r:.40}, not the web")
        raise SourceError(f"{self._address.name} leads in a circle: more than {_MOST_REDIRECTS} redirects")

    def _check(self, response: Any, start: int, stop: int) -> None:
        name, status = self._address.name, response.status
        if status in _BUSY:
            raise _BusyError(status, response.headers.get("retry-after"))
        if status in (401, 403, 407, 451):
            raise SourceError(f"{name} {self._why_refused(response)}")
        if status in (404, 410):
            raise SourceError(f"{name} is not there: the server answers {status}")
        if status == 416 and start == 0 and self.size < 0:
            self.size = 0  # no range of an empty file is one
            return
        if status not in (200, 206):
            changed = " since it has changed" if status == 416 else ""
            raise SourceError(f"{name} cannot be read{changed}: the server answers {status}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise SourceError(
                f"{name} is sent compressed, so that it cannot be read in parts: {self._address.download}"
            )
        head = response.headers
        self._same(urlsplit(self._place)._replace(query="").geturl(), head.get("etag") or head.get("last-modified"))
        if status == 200:
            self._take_whole(response, stop)
            return
        first, last, total = self._promised(response)
        if self.size >= 0 and total != self.size:
            raise SourceError(f"{name} has changed since it was opened: it had {self.size} bytes, and has {total}")
        if first != start or not first <= last < min(stop, total):
            raise SourceError(f"{name}: the server was asked for bytes {start}-{stop - 1} and gives {first}-{last}")
        self.size = total

    def _why_refused(self, response: Any) -> str:
        if response.status == 407:
            return f"cannot be read (407): {PROXY}"
        code, message = (response.headers.get(f"x-error-{what}", "") for what in ("code", "message"))
        return self._address.refused(response.status, code, without_secrets(printable(message))[:200])

    def _promised(self, response: Any) -> tuple[int, int, int]:
        """The first and the last byte that an answer says it holds, and how many the file has."""
        said = response.headers.get("content-range", "")
        match = _RANGE.fullmatch(said)
        if match is None or match[1] is None:
            what = f"says {printable(said)!r:.60} of" if said else "does not say"
            raise SourceError(f"{self._address.name}: the server {what} which bytes it gives; {self._address.download}")
        return int(match[1]), int(match[2]), int(match[3])

    def _take_whole(self, response: Any, stop: int) -> None:
        """The body, where a server that gives no ranges gives no more than is read anyhow."""
        said = response.headers.get("content-length", "")
        size = int(said) if re.fullmatch(r"\d{1,18}", said) else None
        json = urlsplit(self._address.url).path.endswith(".json")
        if self.size >= 0 or not ((size is not None and size <= stop) or (json and (size or 0) <= LARGEST_JSON)):
            raise SourceError(
                f"{self._address.name} cannot be read in parts, since its server ignores ranges: "
                f"{self._address.download}"
            )
        body = response.read(LARGEST_JSON + 1 if size is None else size)
        if len(body) > LARGEST_JSON or (size is not None and len(body) < size):
            raise ConnectionError("the connection was cut")
        self._whole, self.size = body, len(body)

    def _same(self, of: str, version: str | None) -> None:
        version = (version or "").removeprefix("W/")
        if version and self._versions.setdefault(of, version) != version:
            raise SourceError(f"{self._address.name} has changed since it was opened: open it again")


def _why(error: Exception) -> str:
    inner = error.reason if isinstance(error, URLError) else error
    if isinstance(inner, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return without_secrets(first_line(inner)) if isinstance(inner, Exception) else str(inner)
