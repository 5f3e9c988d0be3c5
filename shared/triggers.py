"""Any trigger payload to typed values. Pure: bytes in, values out; ``parse`` never raises.

An event is one message in any number of envelopes. It is read from the outside in, and the first shape of this
list that fits decides, so that no payload has two meanings:

1. text starting with ``<`` is a topic push in XML; with ``{``, ``[`` or a quote it is JSON; anything else is Base64;
2. an array: each element stands on its own;
3. MNS in JSON: ``Message`` beside ``TopicName`` or ``MessageId`` (first of the objects, for publishers' attributes are
   merged into this envelope and may be called anything);
4. an asynchronous-destination event: ``requestPayload`` beside ``requestContext``;
5. a CloudEvent: ``data`` beside ``specversion``;
6. MNS STREAM with attributes: ``body`` beside ``attrs``;
7. a timer event: ``triggerTime`` beside ``triggerName``;
8. our own command: ``command``;
9. the message itself: ``Type``;
10. what is left of a stripped envelope (EventBridge RawData, a hand-made push): ``messageBody``, ``Message``, ``data``,
    ``requestPayload``, ``body``.

Keys are looked up case-insensitively, for MPS has sent each of them in either case and in both at once; where two
differ only in case, nulls do not count and capitals come first. A byte order mark, blanks and NULs around any text do
not count. The work is linear in the size of the event, and no more than ``MOST`` messages of one are taken.
"""

from __future__ import annotations

import base64
import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import orjson

from shared.errors import BadInput
from shared.jobs import check_job_id
from shared.patterns import regex

MOST = 100  # messages of one event
_DEPTH = 24  # steps; a destination event around an array of CloudEvents of Base64 takes 8
_REQUEST_ID = regex(r"[A-Za-z0-9_-]{1,64}")
_AROUND = "\ufeff\0" + string.whitespace
_STRIPPED = ("messagebody", "message", "data", "requestpayload", "body")


@dataclass(frozen=True, slots=True)
class JobChanged:
    """MPS says a smart-tagging job changed state; ``state`` is the status it reports, and may be empty."""

    job_id: str
    state: str
    user_data: str
    traceparent: str = ""  # as it came, from an attribute of the message


@dataclass(frozen=True, slots=True)
class Publish:
    """Our own command. The same ``request_id`` names the same redelivery, however often the command arrives.

    ``refresh`` asks MPS again whether it has a better answer than what is stored.
    """

    job_id: str
    redeliver: bool = False
    request_id: str = ""
    refresh: bool = False

    def to_event(self) -> bytes:
        """Return the event that ``parse`` reads back as this command."""
        fields = {"command": "publish", "jobId": self.job_id, "redeliver": self.redeliver, "refresh": self.refresh}
        return orjson.dumps({**fields, "requestId": self.request_id} if self.request_id else fields)


@dataclass(frozen=True, slots=True)
class Sweep:
    """The timer asks for a sweep of the outbox; both texts are the platform's."""

    trigger_time: str
    trigger_name: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A well-formed MPS message that is not about a smart-tagging job; acknowledged, nothing to do."""

    reason: str
    type: str


@dataclass(frozen=True, slots=True)
class Poison:
    """Nothing we understand. ``raw`` is the event, or the one element of its array, as it came."""

    raw: bytes
    reason: str


Message = JobChanged | Publish | Sweep | Skipped | Poison


def parse(event: bytes, most: int = MOST) -> tuple[Message, ...]:
    """Return what ``event`` says: one value, or one for each element of an array, ``most`` at most. Never raises."""
    messages = tuple(islice(_read(event, event, _DEPTH + 1, ""), most + 1))
    if len(messages) > most:
        return (Poison(event, f"the event holds more than {most} messages; send them in several events"),)
    return messages


def _read(value: object, raw: bytes, left: int, trace: str) -> Iterator[Message]:
    """Yield the messages in ``value``, at most ``left`` steps in; what is wrong with it becomes ``Poison(raw)``.

    ``trace`` is what the envelopes around it named.
    """
    trace = _traceparent(value) or trace
    try:
        _check(left >= 0, f"envelopes are nested more than {_DEPTH} deep")
        _check(value != [], "the array is empty")
        inner = value if isinstance(value, list) else _open(value)
    except BadInput as error:
        yield Poison(raw, error.message)
        return
    if isinstance(inner, JobChanged):
        yield replace(inner, traceparent=trace)
    elif isinstance(inner, Message):
        yield inner
    elif isinstance(value, list):
        for element in value:
            yield from _read(element, raw if len(value) == 1 else _element(element, raw), left - 1, trace)
    else:
        yield from _read(inner, raw, left - 1, trace)


def _traceparent(value: object) -> str:
    """Return the ``traceparent`` of an envelope: an attribute of MNS (in JSON beside the others) or of a CloudEvent."""
    if not isinstance(value, dict):
        return ""
    attributes = value.get("attrs")
    places = (value, attributes) if isinstance(attributes, dict) else (value,)
    return next((found for each in places if isinstance(found := each.get("traceparent"), str)), "")


def _open(value: object) -> object:
    """Take one envelope off: return what was inside, or the typed message."""
    if isinstance(value, (bytes, str)):
        return _from_text(value if isinstance(value, str) else _decode(value))
    if not isinstance(value, dict):
        raise BadInput(f"a JSON {'null' if value is None else type(value).__name__} is not a message")
    fields: dict[str, Any] = {}  # without nulls
    for name in sorted(value):
        if value[name] is not None:
            fields.setdefault(name.lower(), value[name])
    inside = _enveloped(fields)
    if inside is None:
        inside = _message(fields)
    if inside is None:
        inside = next((fields[name] for name in _STRIPPED if name in fields), None)
    if inside is None:
        raise BadInput(f"no known message or envelope; its keys are {ascii(sorted(value)[:10])[:200]}")
    return inside


def _enveloped(fields: dict[str, Any]) -> object:
    """Return what lies in an envelope that is known by its marks; None if there is none."""
    if "message" in fields and ("topicname" in fields or "messageid" in fields):
        return fields["message"]  # MNS in JSON
    if "requestpayload" in fields and "requestcontext" in fields:
        return fields["requestpayload"]  # an asynchronous destination
    if "data" in fields and "specversion" in fields:
        return fields["data"]  # a CloudEvent
    if "body" in fields and "attrs" in fields:
        return fields["body"]  # MNS STREAM with attributes
    return None


def _message(fields: dict[str, Any]) -> Message | None:
    if "triggertime" in fields and "triggername" in fields:
        return Sweep(_text(fields, "triggertime"), _text(fields, "triggername"))
    if "command" in fields:
        return _command(fields)
    if "type" not in fields:
        return None
    kind = fields["type"]
    _check(isinstance(kind, str) and kind != "", "Type must be a string")
    if kind.lower() != "smarttag":
        return Skipped(f"a message of Type {kind[:60]!a} is not about a smart-tagging job", kind)
    return JobChanged(_job_id(fields), _text(fields, "state").capitalize(), _text(fields, "userdata"))


def _command(fields: dict[str, Any]) -> Publish:
    _check(fields["command"] == "publish", f"unknown command {ascii(fields['command'])[:60]}; the only one is publish")
    for name in ("redeliver", "refresh"):
        _check(isinstance(fields.get(name, False), bool), f"{name} must be true or false")
    request_id = fields.get("requestid", "")
    _check(
        request_id == "" or (isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id) is not None),
        "requestId must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
    )
    return Publish(_job_id(fields), fields.get("redeliver", False), request_id, fields.get("refresh", False))


def _job_id(fields: dict[str, Any]) -> str:
    job_id = fields.get("jobid")
    if not isinstance(job_id, str):
        raise BadInput("JobId is missing" if job_id is None else "JobId must be a string")
    return check_job_id(job_id)


def _text(fields: dict[str, Any], name: str) -> str:
    """Return a field that only informs; a value that is no string (UserData as an object, say) becomes its JSON."""
    value = fields.get(name, "")
    return value if isinstance(value, str) else _dump(value).decode()


def _check(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as the assertion it is
    if not holds:
        raise BadInput(otherwise)


def _dump(value: object) -> bytes:
    """Return ``value`` as JSON; orjson reads 1,024 levels but writes only 254."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise BadInput("the JSON is nested too deeply") from error


def _element(value: object, event: bytes) -> bytes:
    try:
        return value.encode() if isinstance(value, str) else _dump(value)
    except BadInput:
        return event


def _decode(data: bytes) -> str:
    head = data.lstrip(_AROUND.encode())[:4]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        raise BadInput("the bytes look like UTF-16 or UTF-32; send UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start} is not UTF-8 (GBK, perhaps); send UTF-8") from error


def _from_text(text: str) -> object:
    """Return what a text holds: a JSON value, the ``Message`` of an XML push, or the text Base64 stands for."""
    text = text.strip(_AROUND)
    _check(text != "", "the message is empty")
    if text[0] == "<":
        return _from_xml(text)
    try:
        if text[0] in '{["':
            return _from_json(text)
        data = base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise BadInput("neither JSON, nor XML, nor Base64 of either") from error
    try:
        return _decode(data)
    except BadInput as error:
        raise BadInput(f"neither JSON nor XML; read as Base64, {error.message}") from error


def _from_json(text: str) -> object:
    """Return the value of JSON; half a surrogate pair, as of an emoji that UserData was cut in, costs no job."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        import json

        try:
            whole = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-16", "surrogatepass")
            return orjson.loads(whole.decode("utf-16", "replace"))
        except (ValueError, RecursionError):
            raise BadInput(f"not valid JSON: {error}") from error


def _from_xml(text: str) -> str:
    """Return the text of the first ``Message`` element.

    The documented sample of a push leaves ``PublishTime`` open: what is malformed behind ``Message`` does not matter.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser, ParseError

    found = _MessageText()
    try:
        parser = DefusedXMLParser(target=found, forbid_dtd=True)
        parser.feed(text)
        parser.close()
    except DefusedXmlException as error:
        raise BadInput("the XML has a document type or entities; neither is accepted") from error
    except (ParseError, ValueError) as error:
        if not found.whole:
            raise BadInput(f"not well-formed XML: {error}") from error
    _check(found.whole, "the XML has no Message element")
    return "".join(found.parts)


class _MessageText:
    """Collects the text of the first ``Message`` as the parser goes by, and builds nothing else."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.whole = False
        self._level = 0  # 1 in Message itself

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        if self._level or (not self.whole and tag.rpartition("}")[2].lower() == "message"):
            self._level += 1

    def data(self, text: str) -> None:
        if self._level:
            self.parts.append(text)

    def end(self, _tag: str) -> None:
        self.whole = self.whole or self._level == 1
        self._level -= bool(self._level)

    def close(self) -> None:
        """Nothing was built."""
