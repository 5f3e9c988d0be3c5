"""Random answers from a grammar of HTTP/1.1, well-formed and not: the same seed says the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

End = Literal["close", "reset", "hang"]

STATUSES = (200, 201, 202, 204, 299, 301, 304, 308, 400, 401, 404, 410, 413, 429, 500, 502, 503, 504, 599, 999)
_LENGTHS = (0, 1, 2, 10, 100, 5_000, 70_000)
_HANGS = 100  # one of so many keeps the client waiting


@dataclass(frozen=True)
class Spoken:
    """What a receiver says, in which pieces, and how it ends.

    ``status`` and ``body`` are what a reader must find in it; ``status`` is None where the answer was damaged.
    """

    pieces: tuple[bytes, ...]
    end: End
    status: int | None
    body: bytes
    retry_after: str | None


def speak(seed: int) -> Spoken:
    """Return the answer with this number."""
    rng = random.Random(seed)
    interim = b"".join(_interim(rng) for _ in range(rng.choice((0, 0, 0, 1, 2, 20))))
    status = rng.choice(STATUSES)
    content = rng.randbytes(rng.choice(_LENGTHS)) if status not in {204, 304} else b""
    framing, framed, own_end = rng.choice((_with_length, _in_chunks, _until_closed))(rng, content)
    retry_after = str(rng.randrange(5000)) if rng.random() < 0.2 else None
    fields = [framing] if framing else []
    fields += [_field(rng) for _ in range(rng.choice((0, 1, 5, 120)))]
    fields += [b"Retry-After: %b" % retry_after.encode()] if retry_after else []
    rng.shuffle(fields)
    line = rng.choice((b"\r\n", b"\r\n", b"\n"))
    head = line.join([_status_line(rng, status), *fields, b"", b""])
    said = interim + head + framed
    end = rng.choice(("close", "reset")) if own_end else "close"
    if rng.random() < 0.5:
        return Spoken(_cut(rng, said), end, status, content, retry_after)
    end = "hang" if rng.randrange(_HANGS) == 0 else rng.choice(("close", "reset"))
    return Spoken(_cut(rng, rng.choice(_DAMAGES)(rng, said)), end, None, b"", None)


def _interim(rng: random.Random) -> bytes:
    fields = b"".join(_field(rng) + b"\r\n" for _ in range(rng.choice((0, 1, 3))))
    return b"HTTP/1.1 %d Wait\r\n%b\r\n" % (rng.choice((100, 102, 103, 104, 199)), fields)


def _status_line(rng: random.Random, status: int) -> bytes:
    reason = rng.choice((b"", b" ", b" OK", b" Not Quite", " 不行".encode(), b" 200 OK"))
    return b"HTTP/1.%d %d%b" % (rng.choice((1, 1, 0)), status, reason)


def _field(rng: random.Random) -> bytes:
    name = bytes(rng.choices(b"abcXYZ019-_.!~", k=rng.choice((1, 8, 30))))
    blanks = b" \t"[: rng.randrange(3)]
    value = b" ".join(bytes(rng.choices(range(0x21, 0x7F), k=rng.choice((1, 20)))) for _ in range(rng.randrange(4)))
    return b"x" + name + b":" + blanks + value + blanks


def _with_length(rng: random.Random, content: bytes) -> tuple[bytes, bytes, bool]:
    return b"Content-Length:%b%d" % (rng.choice((b"", b" ", b"\t")), len(content)), content, True


def _until_closed(_rng: random.Random, content: bytes) -> tuple[bytes, bytes, bool]:
    return b"", content, False


def _in_chunks(rng: random.Random, content: bytes) -> tuple[bytes, bytes, bool]:
    framed = b""
    while content:
        size = rng.randint(1, len(content))
        chunk, content = content[:size], content[size:]
        framed += rng.choice((b"%x", b"%X", b"0%x", b"%x;a=b", b'%x;a="b"')) % size + b"\r\n" + chunk + b"\r\n"
    trailers = b"".join(_field(rng) + b"\r\n" for _ in range(rng.choice((0, 0, 1, 3))))
    return (
        b"Transfer-Encoding: chunked",
        framed + rng.choice((b"0", b"000", b"0;x")) + b"\r\n" + trailers + b"\r\n",
        True,
    )


def _cut(rng: random.Random, said: bytes) -> tuple[bytes, ...]:
    points = sorted(rng.randrange(len(said) + 1) for _ in range(rng.choice((0, 0, 1, 5))))
    return tuple(said[start:end] for start, end in zip([0, *points], [*points, len(said)], strict=True))


def _truncate(rng: random.Random, said: bytes) -> bytes:
    return said[: rng.randrange(len(said))]


def _replace(rng: random.Random, said: bytes) -> bytes:
    where = rng.randrange(min(len(said), 400))
    return said[:where] + rng.randbytes(rng.choice((1, 1, 4))) + said[where + 1 :]


def _insert(rng: random.Random, said: bytes) -> bytes:
    odd = (b"\0", b"\r", b"\n", b"\r\n\r\n", b"-1\r\n", b"\xff" * 9, b" " * 70_000, b"0" * 300, b"HTTP/1.1 200 OK\r\n")
    where = rng.randrange(min(len(said), 400))
    return said[:where] + rng.choice(odd) + said[where:]


def _flood(rng: random.Random, said: bytes) -> bytes:
    flood = rng.choice((b"x: y\r\n", b"1\r\na\r\n", b"HTTP/1.1 102 P\r\n\r\n", b" ", b"\r\n", b" x\r\n", b";a", b"9"))
    where = rng.randrange(min(len(said), 400))
    return said[:where] + flood * (300_000 // len(flood)) + said[where:]


def _swap(rng: random.Random, said: bytes) -> bytes:
    lines = said.split(b"\r\n")
    rng.shuffle(lines)
    return b"\r\n".join(lines)


def _noise(rng: random.Random, _said: bytes) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 100, 5_000)))


_DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (_truncate, _replace, _insert, _flood, _swap, _noise)
