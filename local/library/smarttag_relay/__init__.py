"""The parsing core for notebooks and scripts: ``from smarttag_relay import summarise``; no cloud, no settings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from local.responses import fault, job_id_of
from shared import __version__
from shared.errors import BadResponse
from shared.smarttag import Analysis, analyse, timeline
from shared.smarttag import Summary as CoreSummary

__all__ = ["BadResponse", "Summary", "__version__", "summarise"]


@dataclass(frozen=True, slots=True)
class Summary(CoreSummary):
    """The summary of one job: attributes as docs/summary.md describes them, and the rows of its timeline."""

    # JSON leaves out what begins with an underscore.
    _analysis: Analysis | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return summary.json as dictionaries and lists."""
        document: dict[str, Any] = orjson.loads(self.to_json())
        return document

    def rows(self) -> list[dict[str, Any]]:
        """Return timeline.ndjson: a dictionary for each appearance; times in milliseconds (docs/timeline.md)."""
        lines = b"" if self._analysis is None else timeline.rows(self._analysis)
        return [orjson.loads(line) for line in lines.splitlines()]


def summarise(response: str | bytes | Mapping[str, Any] | os.PathLike[str], job_id: str = "") -> Summary:
    """Return the summary of what QuerySmarttagJob answered.

    Args:
        response: the answer as bytes, as text, as the dictionary parsed from it, or the path of a file that holds it.
        job_id: of the job, which the answer does not name; else a file's name stands for it, and for a file called
            response.json the name of its folder.

    Raises:
        TypeError: ``response`` is something else; says what to pass.
        BadResponse: it holds no such answer (XML, cut JSON, ...).
        OSError: the file cannot be read.
    """
    path = Path(response) if isinstance(response, os.PathLike) else None
    body = _bytes(response) if path is None else path.read_bytes()
    try:
        analysis = analyse(body, job_id or ("" if path is None else job_id_of(path)))
    except BadResponse as error:
        raise BadResponse(fault(error, "the response" if path is None else str(path))) from None
    core = analysis.summary
    return Summary(**{each.name: getattr(core, each.name) for each in fields(core)}, _analysis=analysis)


def _bytes(response: object) -> bytes:
    if isinstance(response, bytes):
        return response
    if isinstance(response, str):
        return _encoded(response)
    if isinstance(response, Mapping):
        try:
            return json.dumps(dict(response)).encode()  # infinite and large numbers too, as a response may hold them
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"the dictionary holds what JSON cannot ({error}); pass the answer as it came") from error
    raise TypeError(
        f"a response is bytes, text, a dictionary or a path, not {type(response).__name__}; {_help(response)}"
    )


def _encoded(text: str) -> bytes:
    if text.strip() and not text.lstrip("\ufeff \t\r\n").startswith(("{", "[", "<")):
        shown = text[:60]
        raise TypeError(
            f"text is taken as the response itself, and {shown!r} is none; for a file, pass Path({shown!r})"
        )
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()  # half a surrogate is U+FFFD


def _help(given: object) -> str:
    if isinstance(given, list | tuple | set):
        return "for several, call summarise for each: [summarise(each) for each in responses]"
    if isinstance(given, bytearray | memoryview):
        return "pass bytes(response)"
    if hasattr(given, "read"):
        return "pass what is in the file: response.read()"
    if hasattr(given, "content"):
        return "pass its body: response.content"
    if hasattr(given, "to_map"):
        return "pass response.to_map(), or its body"
    return "pass what QuerySmarttagJob answered"
