"""What receivers answer, byte for byte, and the attempt that each answer must become."""

from __future__ import annotations

from dataclasses import dataclass

from shared.webhooks.sender import Attempt

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_GONE = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_NOT_HTTP = "the answer is no HTTP/1.1: "
_BAD_CHUNK = "the answer 200 is no HTTP/1.1: the size of a chunk is no hexadecimal number"
_BAD_LENGTH = "the answer 200 is no HTTP/1.1: Content-Length is not one number"
_CLOSED = "the connection was closed before an answer came"
_FLOODED = "no answer within the first 256 kB that it sent"
_ELSEWHERE = "; none is followed, so correct the url"


@dataclass(frozen=True)
class Answer:
    """``sent`` after the request was read; then the connection is closed in good order."""

    name: str
    sent: bytes
    becomes: Attempt


def _yes(name: str, sent: bytes, excerpt: str = "", status: int = 200) -> Answer:
    return Answer(name, sent, Attempt("delivered", status, 0, excerpt))


def _no(
    name: str, sent: bytes, status: int, excerpt: str = "", wait: float | None = None, error: str | None = None
) -> Answer:
    kind = "gone" if status == 410 else "failed"
    return Answer(name, sent, Attempt(kind, status, 0, excerpt, wait, error or f"answered {status}"))


def _lost(name: str, sent: bytes, error: str) -> Answer:
    return Answer(name, sent, Attempt("failed", None, 0, "", None, error))


def _busy(*lines: bytes) -> bytes:
    return b"HTTP/1.1 503 Busy\r\n" + b"".join(b"Retry-After: %b\r\n" % line for line in lines) + b"\r\n"


def _moved(status: int, location: bytes) -> bytes:
    return b"HTTP/1.1 %d Moved\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % (status, location)


ANSWERS = [
    # How a head may look.
    _yes("with a length", _OK, "ok"),
    _yes("no content", b"HTTP/1.1 204 No Content\r\n\r\n", status=204),
    _yes("no content, with a length all the same", b"HTTP/1.1 204 No Content\r\ncontent-length: 9\r\n\r\n", status=204),
    _yes("until it closes", b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"),
    _yes("HTTP/1.0", b"HTTP/1.0 200 OK\r\nserver: old\r\n\r\nfine", "fine"),
    _yes("no reason phrase", b"HTTP/1.1 202 \r\ncontent-length: 0\r\n\r\n", status=202),
    _yes("no blank after the status", b"HTTP/1.1 202\r\ncontent-length: 0\r\n\r\n", status=202),
    _yes("a reason in Chinese", "HTTP/1.1 200 好的\r\ncontent-length: 0\r\n\r\n".encode()),
    _yes("line feeds only", b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", "ok"),
    _yes("a status that nobody registered", b"HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n", status=299),
    _yes("a header without a value", b"HTTP/1.1 200 OK\r\nx-empty:\r\ncontent-length: 0\r\n\r\n"),
    _yes("a folded header", b"HTTP/1.1 200 OK\r\nx-long: a\r\n  b\r\n\tc\r\ncontent-length: 0\r\n\r\n"),
    _yes("a header in latin-1", b"HTTP/1.1 200 OK\r\nx-name: caf\xe9\r\ncontent-length: 0\r\n\r\n"),
    _yes("an escape sequence in a header", b"HTTP/1.1 200 OK\r\nx-colour: \x1b[31m\r\ncontent-length: 0\r\n\r\n"),
    _yes("120 headers", b"HTTP/1.1 200 OK\r\n" + b"set-cookie: a=b\r\n" * 120 + b"content-length: 0\r\n\r\n"),
    _yes("a header of 70 kB", b"HTTP/1.1 200 OK\r\ncsp: %b\r\ncontent-length: 2\r\n\r\nok" % (b"x" * 70_000), "ok"),
    _yes("70 kB of blanks", b"HTTP/1.1 200 OK\r\ncsp:%b\r\ncontent-length: 2\r\n\r\nok" % (b" " * 70_000), "ok"),
    _no("a status beyond 599", b"HTTP/1.1 999 No\r\ncontent-length: 0\r\n\r\n", 999),
    _no("gone", _GONE, 410),
    _no("more comes than was announced", b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nnot this", 500, "no"),
    _no("not modified", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n", 304),
    # Interim responses.
    _yes("100 before it", b"HTTP/1.1 100 Continue\r\n\r\n" + _OK, "ok"),
    _yes("102 before it", b"HTTP/1.1 102 Processing\r\n\r\n" + _OK, "ok"),
    _yes("103 before it", b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n" + _OK, "ok"),
    _yes("104, 100 and 103 before it", b"".join(b"HTTP/1.1 %d\r\n\r\n" % n for n in (104, 100, 103)) + _OK, "ok"),
    _yes("an interim one with a length", b"HTTP/1.1 102 P\r\ncontent-length: 5\r\n\r\n" + _OK, "ok"),
    _no("102 before 410", b"HTTP/1.1 102 Processing\r\n\r\n" + _GONE, 410),
    _no("Retry-After is the final one's", b"HTTP/1.1 103 E\r\nretry-after: 9\r\n\r\n" + _busy(b"7"), 503, wait=7.0),
    _lost("interim ones only", b"HTTP/1.1 102 Processing\r\n\r\n" * 3, _CLOSED),
    _lost("interim ones without end", b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000, _FLOODED),
    _lost(
        "another protocol",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n",
        "the answer switches to another protocol, which nobody asked for",
    ),
    # Lengths.
    _yes("a length twice", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nContent-Length: 2\r\n\r\nok", "ok"),
    _yes("a length twice in a line", b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok", "ok"),
    _yes("a length with zeros before it", b"HTTP/1.1 200 OK\r\ncontent-length: 0002\r\n\r\nok", "ok"),
    _lost("a negative length", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok", _BAD_LENGTH),
    _lost("a length with a sign", b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", _BAD_LENGTH),
    _lost("a length that is no number", b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\nok", _BAD_LENGTH),
    _lost("a length without a number", b"HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\nok", _BAD_LENGTH),
    _lost("a length of 5,000 digits", b"HTTP/1.1 200 OK\r\ncontent-length: %b\r\n\r\nok" % (b"9" * 5000), _BAD_LENGTH),
    _lost("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", _BAD_LENGTH),
    _lost("shorter than its length", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "the answer 200 broke off"),
    _no("a failure with two lengths", b"HTTP/1.1 503 No\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 503),
    _no("gone, and shorter than its length", b"HTTP/1.1 410 Gone\r\ncontent-length: 10\r\n\r\nhalf", 410, "half"),
    _yes("a megabyte", b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"a" * 1_000_000, "a" * 500),
    _no("a megabyte of failure", b"HTTP/1.1 500 No\r\n\r\n" + b"b" * 1_000_000, 500, "b" * 500),
    # Chunks.
    _yes("chunks", CHUNKED + b"2\r\nok\r\n6\r\n, fine\r\n0\r\n\r\n", "ok, fine"),
    _yes("chunks with extensions", CHUNKED + b'2;a="b;c"\r\nok\r\n0;last\r\n\r\n', "ok"),
    _yes("chunks with blanks after the size", CHUNKED + b"2  \r\nok\r\n0\r\n\r\n", "ok"),
    _yes("chunks in capitals", CHUNKED + b"A\r\n0123456789\r\n000\r\n\r\n", "0123456789"),
    _yes("chunks with trailers", CHUNKED + b"2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n", "ok"),
    _yes("chunks without the last empty line", CHUNKED + b"2\r\nok\r\n0\r\n", "ok"),
    _yes("chunks beside a length", CHUNKED[:-2] + b"content-length: 99\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"),
    _yes("chunks with line feeds only", CHUNKED.replace(b"\r", b"") + b"2\nok\n0\n\n", "ok"),
    _yes("gzip in chunks", CHUNKED.replace(b"chunked", b"gzip, chunked") + b"2\r\nok\r\n0\r\n\r\n", "ok"),
    _yes("another encoding, until it closes", CHUNKED.replace(b"chunked", b"identity") + b"ok", "ok"),
    _yes("trailers without end", CHUNKED + b"2\r\nok\r\n0\r\n" + b"x-sum: 1\r\n" * 40_000, "ok"),
    _yes("an extension without end", CHUNKED + b"2;" + b"x" * 400_000, ""),
    _lost("a negative chunk", CHUNKED + b"-1\r\n" + b"x" * 100, _BAD_CHUNK),
    _lost("a chunk of minus two", CHUNKED + b"-2\r\n\r\n", _BAD_CHUNK),
    _lost("a chunk with a sign", CHUNKED + b"+2\r\nok\r\n0\r\n\r\n", _BAD_CHUNK),
    _lost("a chunk in Python's notation", CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n", _BAD_CHUNK),
    _lost("a chunk with an underscore", CHUNKED + b"0_2\r\nok\r\n0\r\n\r\n", _BAD_CHUNK),
    _lost("a chunk without a size", CHUNKED + b"\r\nok\r\n0\r\n\r\n", _BAD_CHUNK),
    _lost("a chunk of 17 digits", CHUNKED + b"00000000000000002\r\nok\r\n0\r\n\r\n", _BAD_CHUNK),
    _lost(
        "a chunk that is longer than its size",
        CHUNKED + b"2\r\nokay\r\n0\r\n\r\n",
        _BAD_CHUNK.partition(" the size")[0] + " a chunk is longer than its size",
    ),
    _lost("chunks that break off", CHUNKED + b"9\r\nhalf", "the answer 200 broke off"),
    _lost("chunks without a last one", CHUNKED + b"2\r\nok\r\n", "the answer 200 broke off"),
    _no("gone, with a negative chunk", CHUNKED.replace(b"200 OK", b"410 Gone") + b"-1\r\n", 410),
    _no("a failure whose chunks break off", CHUNKED.replace(b"200 OK", b"500 No") + b"9\r\nhalf", 500, "half"),
    # Retry-After.
    _no("seconds", _busy(b"7"), 503, wait=7.0),
    _no("seconds with decimals", _busy(b"1.5"), 503, wait=1.5),
    _no("seconds of eleven digits", _busy(b"99999999999"), 503, wait=1e9),
    _no("several lines", _busy(b"7", b"120", b"30"), 503, wait=120.0),
    _no("lines that a proxy joined", _busy(b"7, 120, 30"), 503, wait=120.0),
    _no("one line that can be read", _busy(b"soon", b"8"), 503, wait=8.0),
    _no("a date that is past", _busy(b"Thu, 01 Jan 1970 00:00:01 GMT"), 503, wait=0.0),
    _no("no time at all", _busy(b"soon"), 503),
    _no("gone, with Retry-After", _GONE.replace(b"content", b"Retry-After: 5\r\ncontent"), 410, wait=5.0),
    # Redirects.
    _no(
        "308 to another host",
        _moved(308, b"https://www.example.com/hooks?token=t0k3n"),
        308,
        error="answered 308, a redirect to https://www.example.com" + _ELSEWHERE,
    ),
    _no(
        "301 to another port",
        _moved(301, b"http://www.example.com:8080"),
        301,
        error="answered 301, a redirect to http://www.example.com:8080" + _ELSEWHERE,
    ),
    _no(
        "302 without a scheme",
        _moved(302, b"//www.example.com/login"),
        302,
        error="answered 302, a redirect to //www.example.com" + _ELSEWHERE,
    ),
    _no(
        "307 to an address",
        _moved(307, b"https://[2001:db8::1]/"),
        307,
        error="answered 307, a redirect to https://[2001:db8::1]" + _ELSEWHERE,
    ),
    _no(
        "303 to a path",
        _moved(303, b"/login"),
        303,
        error="answered 303, a redirect to somewhere else on the same host" + _ELSEWHERE,
    ),
    _no(
        "302 with a password",
        _moved(302, b"https://user:password@www.example.com/"),
        302,
        error="answered 302, a redirect to an address that cannot be read" + _ELSEWHERE,
    ),
    # What is no answer.
    _lost("nothing", b"", _CLOSED),
    _lost("half a head", b"HTTP/1.1 200 OK\r\ncontent-le", _CLOSED),
    _lost("a head without an end", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", _CLOSED),
    _lost("a banner", b"SSH-2.0-OpenSSH_9.6\r\n", _NOT_HTTP + "it does not begin with a status line"),
    _lost("HTTP/2", b"HTTP/2 200\r\n\r\n", _NOT_HTTP + "it does not begin with a status line"),
    _lost("HTTP/0.9", b"<html>fine</html>\n", _NOT_HTTP + "it does not begin with a status line"),
    _lost("an empty line first", b"\r\n" + _OK, _NOT_HTTP + "it does not begin with a status line"),
    _lost("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n", _NOT_HTTP + "it does not begin with a status line"),
    _lost("a status of six digits", b"HTTP/1.1 200200 OK\r\n\r\n", _NOT_HTTP + "it does not begin with a status line"),
    _lost("a status of zero", b"HTTP/1.1 000 OK\r\n\r\n", _NOT_HTTP + "it does not begin with a status line"),
    _lost(
        "a header without a colon", b"HTTP/1.1 200 OK\r\nwarning\r\n\r\n", _NOT_HTTP + "a line of its head is no header"
    ),
    _lost("a header without a name", b"HTTP/1.1 200 OK\r\n: x\r\n\r\n", _NOT_HTTP + "a line of its head is no header"),
    _lost(
        "a blank before the colon", b"HTTP/1.1 200 OK\r\nx : y\r\n\r\n", _NOT_HTTP + "a line of its head is no header"
    ),
    _lost("a folded first header", b"HTTP/1.1 200 OK\r\n x: y\r\n\r\n", _NOT_HTTP + "a line of its head is no header"),
    _lost(
        "a NUL in a header", b"HTTP/1.1 200 OK\r\nx: \0\r\n\r\n", _NOT_HTTP + "a line holds a carriage return or a NUL"
    ),
    _lost(
        "a lone carriage return",
        b"HTTP/1.1 200 OK\r\nx: y\rz\r\n\r\n",
        _NOT_HTTP + "a line holds a carriage return or a NUL",
    ),
    _lost("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x46", _CLOSED),
    _lost("a header without end", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 400_000, _FLOODED),
    _lost("headers without end", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 60_000, _FLOODED),
    _lost("a reason without end", b"HTTP/1.1 200 " + b"y" * 400_000, _FLOODED),
    _lost("bytes without end", b"\xff" * 400_000, _FLOODED),
]
