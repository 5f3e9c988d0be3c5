"""From the bytes MPS sent to the results in them, whatever state they are in."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from shared.errors import BadResponse
from shared.smarttag.checked_values import Item, Json, Notes, kind, shown

STATUSES = {status.lower(): status for status in ("Success", "Fail", "Processing", "Submitted")}
_CALL = "call QuerySmarttagJob with Format=JSON"


@dataclass(slots=True)
class Envelope:
    """What stands around the results; ``results`` are consumed by ``take``."""

    status: str
    userData: str
    message: str
    results: list[tuple[str, Json]] = field(repr=False)  # path, result

    def take(self) -> Iterator[tuple[str, Json]]:
        """Yield path and result in order, letting go of each: only one is held in memory decoded."""
        self.results.reverse()
        while self.results:
            yield self.results.pop()


def read_envelope(response: bytes, notes: Notes) -> Envelope:
    """Parse a raw response.

    Raises:
        BadResponse: it is empty, XML, HTML, cut off, an error document, or no job.
    """
    head = response.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if not head:
        raise BadResponse(f"MPS answered nothing; {_CALL} again")
    if head.startswith(b"<"):
        raise BadResponse(f"MPS answered XML or HTML, not JSON; {_CALL}")
    try:
        document = loads(response, "$", notes)
    except orjson.JSONDecodeError as error:
        raise BadResponse(f"MPS answered something that is not JSON ({error}); {_CALL} again") from error
    if not isinstance(document, dict):
        raise BadResponse(f"MPS answered {kind(document)}, not the object of a job; {_CALL}")
    return _envelope(document, notes)


def loads(text: bytes, path: str, notes: Notes) -> Json:
    """Parse JSON; where it is broken in one of the ways that are safe to mend, mend it and note so.

    Raises:
        orjson.JSONDecodeError: it is broken beyond that.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        mended = _TOKENS.sub(_mend, text.decode("utf-8", "replace").removeprefix("\ufeff"))
        document = orjson.loads(mended)
        notes.add("mended-json", path, "invalid JSON; read with the faulty values left out")
        return document


# Long stretches of what is surely good, then strings, words and numbers that may not be. Each token is taken whole, to
# the end of the text if it has no other, so that no input makes this quadratic; the bounds keep the stretches small.
_TOKENS = re.compile(
    r'(?:[^"NI\d-]+|"[^"\\\0-\x1f]*"|-?\d{1,15}(?:\.\d{1,15})?(?![\d.eE+-])){1,999}'
    r'|("[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z))|(-?(?:NaN|Infinity)|-?\d[\d.eE+-]*)',
    re.DOTALL,
)
_SURROGATES = re.compile(
    r"(\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\[^u])|\\u[dD][89a-fA-F][\da-fA-F]{2}"
)
_CONTROL = re.compile(r"[\0-\x1f]")


def _mend(token: re.Match[str]) -> str:
    """Keep a good token; empty what is no finite number, and replace what is no character."""
    text, number = token[1], token[2]
    if number:
        return number if _finite(number) else "null"
    if not text:
        return token[0]
    if "\\ud" in text or "\\uD" in text:
        text = _SURROGATES.sub(lambda found: found[1] or "\ufffd", text)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _finite(number: str) -> bool:
    try:
        return math.isfinite(float(number))
    except ValueError:
        return True  # left as it is: no JSON, and beyond mending


def _envelope(document: Item, notes: Notes) -> Envelope:
    fields = {name.lower(): (name, value) for name, value in document.items()}

    def get(name: str) -> tuple[str, Json]:
        found, value = fields.get(name.lower(), (name, None))
        return f"$.{found}", value

    results = _results(*get("Results"), notes)
    path, given = get("JobStatus")
    status = STATUSES.get(given.lower()) if isinstance(given, str) else None
    if status is None:
        if not results:
            code = document.get("Code")
            if isinstance(code, str):
                # The vendor's message may repeat the signed request, so only the code is passed on.
                raise BadResponse(f"MPS answered the error {shown(code)!a} instead of a job", code=shown(code))
            raise BadResponse(f"MPS answered JSON without a JobStatus that is known and without Results; {_CALL}")
        notes.add("no-status", path, "no JobStatus that is known; read as Success since there are results")
        status = "Success"
    return Envelope(status, _verbatim(*get("UserData"), notes), _verbatim(*get("Message"), notes), results)


def _results(path: str, value: Json, notes: Notes) -> list[tuple[str, Json]]:
    """Find the list under Results.Result, Results.result or Results itself."""
    if isinstance(value, dict):
        for name in ("Result", "result"):
            if name in value:
                path, value = f"{path}.{name}", value[name]
                break
        else:
            if not value:
                return []
    return [(f"{path}[{index}]", result) for index, result in enumerate(notes.array(value, path))]


def _verbatim(path: str, value: Json, notes: Notes) -> str:
    """Return the string as it came; anything else as canonical JSON text."""
    if value is None or isinstance(value, str):
        return value or ""
    notes.add("not-text", path, f"{kind(value)} where text is documented; kept as JSON text")
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        notes.add("too-deep", path, "nested too deeply; left out")
        return ""
