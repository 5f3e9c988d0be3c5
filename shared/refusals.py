"""What a service means by its answers: one form of table, one way to read an error document, one message.

Nothing but codes and the request ID is quoted: the message of a refused signature repeats what was signed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from shared.errors import RelayError, Throttled, Unavailable
from shared.patterns import regex

_NAME = regex(r"[A-Za-z0-9._/-]{1,120}")
_IN_XML = regex(r"<(Code|EC|Endpoint|RequestId)>\s*([^<\s]{1,120})\s*</")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a call is about, as in "job 88c6", the same for machines, and the setting that named it."""

    text: str
    fields: Mapping[str, Any]
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Headers are looked up regardless of case; ``unread`` is the size, so far, of a body that is not all here."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    unread: int = 0


class Rule(NamedTuple):
    """One row: how status and code begin, as patterns, and what that means. The first row that fits decides.

    The code is followed by what OSS adds to it, each after a blank: its EC, and the endpoint to use instead.
    ``advice`` may name the ``{setting}`` that was used and that ``{endpoint}``.
    """

    status: str
    code: str
    error: type[RelayError]
    advice: str


SLOWER = (Throttled, "it asks to slow down; try again later")
AGAIN = (Unavailable, "try again")
NEW_TOKEN = (
    Unavailable,
    "the STS token is not valid any more; a new one comes with the next invocation, or (python3.12) the next instance",
)
WRONG_CLOCK = (Unavailable, "this machine's clock is wrong; set it")


@dataclass(frozen=True, slots=True)
class Service:
    """A service as errors tell of it; ``settings`` are what to check where it cannot be reached."""

    name: str
    settings: str
    rules: tuple[Rule, ...]

    def explain(self, subject: Subject, answer: Answer) -> RelayError:
        """Turn an answer that is no success into an error."""
        found = _read(answer.headers, answer.body)
        text = f"{found.code} {found.ec} {found.endpoint}".strip()
        rule = next(
            rule for rule in self.rules if re.match(rule.status, str(answer.status)) and re.match(rule.code, text)
        )
        retry_after = answer.headers.get("Retry-After") or ""
        return rule.error(
            f"{self.name} answered {answer.status} {found.code or 'without a code'} for {subject.text}: "
            f"{rule.advice.format(setting=subject.setting, endpoint=found.endpoint)} "
            f"(request {found.request_id or 'unnamed'})",
            retry_after=float(retry_after) if re.fullmatch("[0-9]{1,5}", retry_after) else None,
            **subject.fields,
            status=answer.status,
            code=found.code,
            serviceRequestId=found.request_id,
        )


class _Told(NamedTuple):
    code: str
    ec: str
    endpoint: str
    request_id: str


def _read(headers: Mapping[str, str], document: bytes) -> _Told:
    if not document:  # OSS answers HEAD, which has no body, with the document in a header
        with suppress(ValueError):
            document = base64.b64decode(headers.get("x-oss-err") or "")
    try:
        read: Any = orjson.loads(document)
    except orjson.JSONDecodeError:  # gateways before an API answer XML even where it speaks JSON
        read = dict(_IN_XML.findall(document.decode("ascii", "replace")))
    told = read if isinstance(read, dict) else {}
    return _Told(
        _name(headers.get("x-fc-error-type"), told.get("Code"), told.get("ErrorCode")),
        _name(told.get("EC"), headers.get("x-oss-ec")),
        _name(told.get("Endpoint")),
        _name(told.get("RequestId"), headers.get("x-oss-request-id"), headers.get("x-fc-request-id")),
    )


def _name(*texts: object) -> str:
    return next((text for text in texts if isinstance(text, str) and _NAME.fullmatch(text)), "")
