"""From the bytes MPS sent to the results in them, whatever state they are in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import get_args

import orjson

from shared.errors import BadResponse
from shared.smarttag import encodings
from shared.smarttag.checked_values import CheckedValues, Item, Json, kind, shown
from shared.smarttag.long_lists import LongLists, NotAsGuessed
from shared.smarttag.model import Status

STATUSES: dict[str, Status] = {status.lower(): status for status in get_args(Status)}
_CALL = "call QuerySmarttagJob with Format=JSON"


@dataclass(slots=True)
class Envelope:
    """What stands around the results; ``results`` are consumed by ``take``."""

    status: Status
    userData: str
    message: str
    results: list[tuple[str, Json]] = field(repr=False)  # path, result

    def take(self) -> Iterator[tuple[str, Json]]:
        """Yield path and result in order, letting go of each: only one is held in memory decoded."""
        self.results.reverse()
        while self.results:
            yield self.results.pop()


def read_envelope(lists: LongLists, checked: CheckedValues) -> Envelope:
    """Parse a raw response, or what remains of it without its long lists.

    Raises:
        BadResponse: it is empty, XML, HTML, cut off, in no known encoding, an error document, or no job.
        NotAsGuessed: what remains is no JSON, though the whole may be.
    """
    document = checked.unwrapped(_parse(lists, checked), "$")
    if not isinstance(document, dict):
        raise BadResponse(f"MPS answered {kind(document)}, not the object of a job; {_CALL}")
    names = {name.lower(): name for name in document}
    if "body" in names and not names.keys() & {"jobstatus", "results"}:
        checked.warn("sdk-envelope", "$", "the answer as an SDK of the vendor wraps it; its body is read")
        path = f"$.{names['body']}"
        return _envelope(checked.object(document[names["body"]], path), path, checked)
    return _envelope(document, "$", checked)


def _parse(lists: LongLists, checked: CheckedValues) -> Json:
    try:
        return orjson.loads(lists.remaining)
    except orjson.JSONDecodeError:
        if lists.missing:
            raise NotAsGuessed from None
        text = encodings.decode(lists.remaining, checked).strip()
    if not text:
        raise BadResponse(f"MPS answered nothing; {_CALL} again")
    if text.startswith("<"):
        raise BadResponse(f"MPS answered XML or HTML, not JSON; {_CALL}")
    try:
        return checked.parse(text.encode(), "$")
    except json.JSONDecodeError as error:
        raise BadResponse(f"MPS answered something that is not JSON ({error}); {_CALL} again") from error


def _envelope(document: Item, base: str, checked: CheckedValues) -> Envelope:
    fields = {name.lower(): (name, value) for name, value in document.items()}

    def get(name: str) -> tuple[str, Json]:
        found, value = fields.get(name.lower(), (name, None))
        return f"{base}.{found}", value

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
    value = checked.unwrapped(value, path)
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
        return checked.text(value, path)
    checked.warn("not-text", path, f"{kind(value)} where text is documented; kept as JSON text")
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        checked.warn("too-deep", path, "nested too deeply; left out")
        return ""
