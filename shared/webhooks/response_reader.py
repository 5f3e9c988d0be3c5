"""Reads one HTTP/1.1 response, fed piece by piece; it knows no socket, no clock and no TLS.

RFC 9112: strict where leniency would change what a response says or how long it is (status line, field names,
Content-Length, chunk sizes), lenient where it would not (bare LF, folded fields, no reason phrase). Time is linear in
what is fed, however it is cut; memory is one line, and the first ``KEPT`` bytes of the body.
Why it is ours: docs/decisions/0004-webhook-wire.md.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from shared.errors import Unavailable
from shared.patterns import regex

KEPT = 4 * 1024
_STATUS_LINE = regex(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: .*)?")
_NAME = regex(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CHUNK_SIZE = regex(rb"[0-9A-Fa-f]{1,16}")
_LENGTH = regex(r"[0-9]{1,19}")
_USED = frozenset({b"content-length", b"transfer-encoding", b"retry-after", b"location"})
_SWITCHING_PROTOCOLS = 101
_WITHOUT_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class Response:
    """A final response: status, the fields that are used (lower-case names; a value a line), the body's beginning."""

    status: int
    fields: dict[str, list[str]] = field(default_factory=dict)
    body: bytes = b""


class ResponseReader:
    """Passes over interim responses (1xx) and reads the final one.

    Attributes:
        status: of the final response, once its head was read.
        complete: whether the final response was read to its end.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.complete = False
        self._fields: dict[str, list[bytearray]] = {}
        self._body = bytearray()
        self._unread = bytearray()
        self._searched = 0  # how much of _unread holds no end of a line
        self._closed = False
        self._steps = self._read()

    def feed(self, data: bytes) -> None:
        """Take what came next; no bytes say that the connection was closed.

        Raises:
            Unavailable: this is no HTTP/1.1 response, or it broke off.
        """
        self._unread += data
        self._closed = self._closed or not data
        next(self._steps, None)

    def response(self) -> Response | None:
        """Return the final response as far as it was read; None as long as its status is unknown."""
        if self.status is None:
            return None
        return Response(self.status, {name: self._values(name) for name in self._fields}, bytes(self._body))

    def _read(self) -> Generator[None, None, None]:
        """Yield wherever more has to be fed."""
        status = 0
        while status < 200:  # noqa: PLR2004 - 1xx
            status = yield from self._head()
            if status == _SWITCHING_PROTOCOLS:
                raise Unavailable("the answer switches to another protocol, which nobody asked for")
        self.status = status
        if status not in _WITHOUT_BODY:
            yield from self._framed_body()
        self.complete = True

    def _head(self) -> Generator[None, None, int]:
        status_line = yield from self._line()
        match = _STATUS_LINE.fullmatch(status_line)
        if match is None:
            raise self._no_http("it does not begin with a status line")
        self._fields = {}
        values: list[bytearray] = []  # of the field read last: the next line may continue it
        while line := (yield from self._line()):
            if line[:1] in b" \t" and values:
                values[-1] += b" " + line.strip(b" \t")
                continue
            name, colon, value = line.partition(b":")
            if not colon or not _NAME.fullmatch(name):
                raise self._no_http("a line of its head is no header")
            known = name.lower() in _USED
            values = self._fields.setdefault(name.decode().lower(), []) if known else []
            values.append(bytearray(value.strip(b" \t")))
        return int(match[1])

    def _framed_body(self) -> Generator[None, None, None]:
        encodings = ",".join(self._values("transfer-encoding")).lower().split(",")
        if encodings[-1].strip() == "chunked":
            yield from self._chunks()
        elif "content-length" in self._fields and "transfer-encoding" not in self._fields:
            yield from self._content(self._content_length())
        else:
            self._keep(len(self._unread))
            while not self._closed:
                yield
                self._keep(len(self._unread))

    def _content_length(self) -> int:
        lengths = {text.strip() for line in self._values("content-length") for text in line.split(",")}
        length = lengths.pop()
        if lengths or not _LENGTH.fullmatch(length):
            raise self._no_http("Content-Length is not one number")
        return int(length)

    def _chunks(self) -> Generator[None, None, None]:
        size = -1
        while size:
            text = (yield from self._line()).partition(b";")[0].rstrip(b" \t")
            if not _CHUNK_SIZE.fullmatch(text):
                raise self._no_http("the size of a chunk is no hexadecimal number")
            size = int(text, 16)
            yield from self._content(size)
            if size and (yield from self._line()):
                raise self._no_http("a chunk is longer than its size")
        # Trailers are not read: some servers close without the empty line that ends them, and all was said by now.

    def _content(self, length: int) -> Generator[None, None, None]:
        while length:
            while not self._unread:
                yield from self._more()
            length -= self._keep(length)

    def _keep(self, most: int) -> int:
        """Move up to so many bytes from what is unread to the body, and return how many they were."""
        taken = min(most, len(self._unread))
        self._body += self._unread[: min(taken, KEPT - len(self._body))]
        del self._unread[:taken]
        return taken

    def _line(self) -> Generator[None, None, bytes]:
        while (end := self._unread.find(b"\n", self._searched)) < 0:
            self._searched = len(self._unread)
            yield from self._more()
        self._searched = 0
        line = bytes(self._unread[:end]).removesuffix(b"\r")
        del self._unread[: end + 1]
        if b"\r" in line or b"\0" in line:
            raise self._no_http("a line holds a carriage return or a NUL")
        return line

    def _more(self) -> Generator[None, None, None]:
        if not self._closed:
            yield
        elif self.status is not None:
            raise Unavailable(f"the answer {self.status} broke off")
        else:
            raise Unavailable("the connection was closed before an answer came")

    def _values(self, name: str) -> list[str]:
        return [value.decode("latin-1") for value in self._fields.get(name, ())]

    def _no_http(self, why: str) -> Unavailable:
        which = "the answer" if self.status is None else f"the answer {self.status}"
        return Unavailable(f"{which} is no HTTP/1.1: {why}")
