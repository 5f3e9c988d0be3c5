"""From the bytes MPS sent to the results in them, whatever state they are in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import get_args

import orjson

from shared.errors import BadResponse
from shared.smarttag.checked_values import CheckedValues, Item, Json, kind, shown
from shared.smarttag.model import JobStatus

STATUSES: dict[str, JobStatus] = {status.lower(): status for status in get_args(JobStatus)}
_DIGITS = 15  # of an integer that a float would not hold as exactly
_CALL = "call QuerySmarttagJob with Format=JSON"


@dataclass(slots=True)
class Envelope:
    """What stands around the results; ``results`` are consumed by ``take``."""

    status: JobStatus
    userData: str
    message: str
    results: list[tuple[str, Json]] = field(repr=False)  # path, result

    def take(self) -> Iterator[tuple[str, Json]]:
        """Yield path and result in order, letting go of each: only one is held in memory decoded."""
        self.results.reverse()
        while self.results:
            yield self.results.pop()


def read_envelope(response: bytes, checked: CheckedValues) -> Envelope:
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
        document = loads(response, "$", checked)
    except orjson.JSONDecodeError as error:
        raise BadResponse(f"MPS answered something that is not JSON ({error}); {_CALL} again") from error
    if not isinstance(document, dict):
        raise BadResponse(f"MPS answered {kind(document)}, not the object of a job; {_CALL}")
    return _envelope(document, checked)


def loads(text: bytes, path: str, checked: CheckedValues) -> Json:
    """Parse JSON; where it is broken in one of the ways that are safe to mend, mend it and note so.

    Raises:
        json.JSONDecodeError: it is broken beyond that.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            document = _lenient(text.decode("utf-8", "replace").removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            raise error from None
    checked.warn("mended-json", path, "invalid JSON; read with the faulty values left out")
    return document


# What may follow a backslash; where nothing of it does, or half a surrogate pair stands alone, it needs mending.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(?P<half>u[dD][89a-fA-F][\da-fA-F]{2})"
    r'|["\\/bfnrt]|u[\da-fA-F]{4}|(?P<none>))'
)
_INSTEAD = {None: r"\g<0>", "half": "\ufffd", "none": r"\\\\"}


def _lenient(text: str) -> Json:
    """Parse JSON that may hold control characters, halves of surrogate pairs and numbers that are not finite."""
    text = _ESCAPE.sub(lambda found: found.expand(_INSTEAD[found.lastgroup]), text)
    return json.loads(text, strict=False, parse_constant=lambda _: None, parse_int=_integer, parse_float=_finite)


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


def _integer(number: str) -> float | None:
    return int(number) if len(number) < _DIGITS else _finite(number)


def _envelope(document: Item, checked: CheckedValues) -> Envelope:
    fields = {name.lower(): (name, value) for name, value in document.items()}

    def get(name: str) -> tuple[str, Json]:
        found, value = fields.get(name.lower(), (name, None))
        return f"$.{found}", value

    results = _results(*get("Results"), checked)
    path, given = get("JobStatus")
    status = STATUSES.get(given.lower()) if isinstance(given, str) else None
    if status is None:
        if not results:
            code = document.get("Code")
            if isinstance(code, str):
                # The vendor's message may repeat the signed request, so only the code is passed on.
                raise BadResponse(f"MPS answered the error {shown(code)!a} instead of a job", code=shown(code))
            raise BadResponse(f"MPS answered JSON without a JobStatus that is known and without Results; {_CALL}")
        checked.warn("no-status", path, "no JobStatus that is known; read as Success since there are results")
        status = "Success"
    return Envelope(status, _verbatim(*get("UserData"), checked), _verbatim(*get("Message"), checked), results)


def _results(path: str, value: Json, checked: CheckedValues) -> list[tuple[str, Json]]:
    """Find the list under Results.Result, Results.result or Results itself."""
    if isinstance(value, dict):
        for name in ("Result", "result"):
            if name in value:
                path, value = f"{path}.{name}", value[name]
                break
        else:
            if not value:
                return []
    return [(f"{path}[{index}]", result) for index, result in enumerate(checked.array(value, path))]


def _verbatim(path: str, value: Json, checked: CheckedValues) -> str:
    """Return the string as it came; anything else as canonical JSON text."""
    if value is None or isinstance(value, str):
        return value or ""
    checked.warn("not-text", path, f"{kind(value)} where text is documented; kept as JSON text")
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        checked.warn("too-deep", path, "nested too deeply; left out")
        return ""
