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
differ only in case, nulls do not count and capitals come first.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from shared.errors import BadInput
from shared.jobs import check_job_id

_DEPTH = 24  # steps; a destination event around an array of CloudEvents of Base64 takes 8
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ENVELOPES = (
    ("message", {"topicname", "messageid"}),
    ("requestpayload", {"requestcontext"}),
    ("data", {"specversion"}),
    ("body", {"attrs"}),
)
_STRIPPED = ("messagebody", "message", "data", "requestpayload", "body")


@dataclass(frozen=True, slots=True)
class JobChanged:
    """MPS says a smart-tagging job changed state; ``state`` is a hint and may be empty."""

    job_id: str
    state: str
    user_data: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Our own command. The same ``request_id`` names the same redelivery, however often the command arrives."""

    job_id: str
    redeliver: bool = False
    request_id: str = ""

    def to_event(self) -> bytes:
        """Return the event that ``parse`` reads back as this command."""
        fields = {"command": "publish", "jobId": self.job_id, "redeliver": self.redeliver}
        return orjson.dumps({**fields, "requestId": self.request_id} if self.request_id else fields)


@dataclass(frozen=True, slots=True)
class Sweep:
    """The timer asks for what the outbox owes; both texts are the platform's."""

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


def parse(event: bytes) -> tuple[Message, ...]:
    """Return what ``event`` says: at least one value, one for each element of an array. Never raises."""
    return tuple(_read(event, event, _DEPTH + 1))


def _read(value: object, raw: bytes, left: int) -> Iterator[Message]:
    """Yield the messages in ``value``, at most ``left`` steps in; what is wrong with it becomes ``Poison(raw)``."""
    try:
        _check(left >= 0, f"envelopes are nested more than {_DEPTH} deep")
        _check(value != [], "the array is empty")
        inner = value if isinstance(value, list) else _open(value)
    except BadInput as error:
        yield Poison(raw, error.message)
        return
    if isinstance(inner, Message):
        yield inner
    elif isinstance(value, list):
        for element in value:
            yield from _read(element, raw if len(value) == 1 else _element(element, raw), left - 1)
    else:
        yield from _read(inner, raw, left - 1)


def _open(value: object) -> object:
    """Take one envelope off: return what was inside, or the typed message."""
    if isinstance(value, (bytes, str)):
        return _from_text(value if isinstance(value, str) else _decode(value))
    if not isinstance(value, dict):
        raise BadInput(f"a JSON {'null' if value is None else type(value).__name__} is no message")
    fields: dict[str, Any] = {}  # without nulls
    for name in sorted(value):
        if value[name] is not None:
            fields.setdefault(name.lower(), value[name])
    marked = (fields[name] for name, marks in _ENVELOPES if name in fields and not marks.isdisjoint(fields))
    inside = next(marked, None)
    if inside is None:
        inside = _message(fields)
    if inside is None:
        inside = next((fields[name] for name in _STRIPPED if name in fields), None)
    if inside is None:
        raise BadInput(f"no known message or envelope; its keys are {ascii(sorted(value)[:10])[:200]}")
    return inside


def _message(fields: dict[str, Any]) -> Message | None:
    if "triggertime" in fields and "triggername" in fields:
        return Sweep(_text(fields, "triggertime"), _text(fields, "triggername"))
    if "command" in fields:
        return _command(fields)
    if "type" not in fields:
        return None
    kind = fields["type"]
    _check(isinstance(kind, str) and kind != "", "Type is no text")
    if kind.lower() != "smarttag":
        return Skipped(f"a message of Type {kind[:60]!a} is not about a smart-tagging job", kind)
    return JobChanged(_job_id(fields), _text(fields, "state").capitalize(), _text(fields, "userdata"))


def _command(fields: dict[str, Any]) -> Publish:
    _check(fields["command"] == "publish", f"unknown command {ascii(fields['command'])[:60]}; the only one is publish")
    redeliver, request_id = fields.get("redeliver", False), fields.get("requestid", "")
    _check(isinstance(redeliver, bool), "redeliver is neither true nor false")
    _check(
        request_id == "" or (isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id) is not None),
        "requestId is not 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
    )
    return Publish(_job_id(fields), redeliver, request_id)


def _job_id(fields: dict[str, Any]) -> str:
    job_id = fields.get("jobid")
    if not isinstance(job_id, str):
        raise BadInput("JobId is missing" if job_id is None else "JobId is no text")
    return check_job_id(job_id)


def _text(fields: dict[str, Any], name: str) -> str:
    """Return a field that only informs; a value that is no text (UserData as an object, say) becomes its JSON."""
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
    if data.startswith(b"\xef\xbb\xbf"):
        raise BadInput("the bytes start with a UTF-8 byte order mark; send JSON without one")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        raise BadInput("the bytes look like UTF-16 or UTF-32; send UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"byte {error.start} is not UTF-8 (GBK, perhaps); send UTF-8") from error


def _from_text(text: str) -> object:
    """Return what a text holds: a JSON value, the ``Message`` of an XML push, or the text Base64 stands for."""
    text = text.strip()
    _check(text != "", "the message is empty")
    if text[0] == "<":
        return _from_xml(text)
    try:
        if text[0] in '{["':
            return orjson.loads(text)
        data = base64.b64decode("".join(text.split()), validate=True)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"not valid JSON: {error}") from error
    except ValueError as error:
        raise BadInput("neither JSON, nor XML, nor Base64 of either") from error
    try:
        return _decode(data)
    except BadInput as error:
        raise BadInput(f"neither JSON nor XML; read as Base64, {error.message}") from error


def _from_xml(text: str) -> str:
    """Return the text of ``Message``.

    The documented sample of a push leaves ``PublishTime`` open, so if the whole is malformed ``Message`` alone will do.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        try:
            root = fromstring(text, forbid_dtd=True)
        except ParseError:
            part = re.search(r"<Message>.*?</Message>", text, re.DOTALL)
            if part is None:
                raise
            root = fromstring(f"<Notification>{part[0]}</Notification>", forbid_dtd=True)
    except DefusedXmlException as error:
        raise BadInput("the XML has a document type or entities; neither is accepted") from error
    except (ParseError, ValueError) as error:
        raise BadInput(f"not well-formed XML: {error}") from error
    for child in root:
        if isinstance(child.tag, str) and child.tag.rpartition("}")[2].lower() == "message":
            return "".join(child.itertext())
    raise BadInput("the XML has no Message element")
