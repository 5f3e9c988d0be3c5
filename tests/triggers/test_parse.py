"""What each documented payload says, and what bad ones are called."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.triggers import MOST, JobChanged, Message, Poison, Publish, Skipped, Sweep, parse

MESSAGE = {
    "Type": "smarttag",
    "JobId": "88c6ca184c0e47098a5b665e2a126797",
    "State": "Success",
    "UserData": '{"id":"节目"}',
}
CHANGED = JobChanged("88c6ca184c0e47098a5b665e2a126797", "Success", '{"id":"节目"}')
BODY = json.dumps(MESSAGE, ensure_ascii=False)


def as_bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def mns_json(text: str, **attributes: str) -> dict[str, Any]:
    return {
        **attributes,
        "TopicOwner": "118620210433",
        "Message": text,
        "Subscriber": "118620210433",
        "PublishTime": 1550216480040,
        "SubscriptionName": "test-fc-subscribe",
        "MessageMD5": "D2DE9F47F7987095172CF5956D856DEA",
        "TopicName": "test-topic",
        "MessageId": "2F5B3C281B283D4EAC694B7425288675",
    }


def cloud_event(data: object) -> dict[str, Any]:
    return {
        "id": "c2g71017-6f65-4a57-87d8-1d5e0b7a6b6f",
        "source": "MNS-Function-mnstrigger",
        "specversion": "1.0",
        "type": "mns:Queue:SendMessage",
        "datacontenttype": "application/json; charset=utf-8",
        "subject": "acs:mns:cn-hangzhou:164901546557:queues/zeus",
        "time": "2021-04-08T06:28:17.093Z",
        "data": data,
    }


def queue_data(text: str) -> dict[str, str]:
    return {"requestId": "606EA3074344430D4C81", "messageId": "C6DB60D1574661357FA227277445", "messageBody": text}


def destination(payload: object) -> dict[str, Any]:
    return {
        "timestamp": 1660120276975,
        "requestContext": {
            "requestId": "1-64f6cd87",
            "functionArn": "acs:fc:cn-shanghai:1:functions/f",
            "condition": "UnhandledInvocationError",
            "approximateInvokeCount": 3,
        },
        "requestPayload": payload,
        "responseContext": {"statusCode": 200, "functionError": "UnhandledInvocationError"},
        "responsePayload": "",
    }


def push_xml(text: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<Notification xmlns="http://mns.aliyuncs.com/doc/v1/">'
        f"<TopicOwner>1</TopicOwner><TopicName>t</TopicName><Message>{escape(text)}</Message>"
        "<MessageMD5>F1E9</MessageMD5><PublishTime>1449556920975</PublishTime></Notification>"
    )


ACCEPTED: dict[str, bytes] = {
    "bare, or STREAM without attributes": BODY.encode(),
    "surrounded by white space": b"\r\n " + BODY.encode() + b"\n",
    "with a byte order mark": BODY.encode("utf-8-sig"),
    "with a byte order mark, blanks and NULs around": ("\0\r\n\ufeff \0" + BODY + "\0 \0\n").encode(),
    "with NULs behind, as C programs send": BODY.encode() + b"\0\0",
    "Base64 with a mark and NULs around, of the same": ("\ufeff" + b64("\ufeff" + BODY + "\0") + "\n\0").encode(),
    "MNS JSON around a mark": as_bytes(mns_json("\ufeff" + BODY)),
    "push in XML behind a mark": ("\ufeff" + push_xml(BODY)).encode(),
    "lower camel keys, as MPS once sent them": as_bytes({k[0].lower() + k[1:]: v for k, v in MESSAGE.items()}),
    "each key in both cases": as_bytes({**MESSAGE, **{k[0].lower() + k[1:]: v for k, v in MESSAGE.items()}}),
    "upper case keys": as_bytes({k.upper(): v for k, v in MESSAGE.items()}),
    "one spelling null": as_bytes({"jobId": None, **MESSAGE}),
    "Base64": b64(BODY).encode(),
    "Base64 in lines": base64.encodebytes(BODY.encode()),
    "JSON in a JSON string": as_bytes(BODY),
    "MNS JSON": as_bytes(mns_json(BODY)),
    "MNS JSON of Base64": as_bytes(mns_json(b64(BODY))),
    "MNS JSON, attributes named like other shapes": as_bytes(
        mns_json(BODY, type="Transcode", command="x", specversion="1", data="x", requestPayload="x", message="x")
    ),
    "MNS JSON by hand": as_bytes({"Message": BODY}),
    "STREAM with attributes": as_bytes({"body": BODY, "attrs": {"Extend": '{"key":"value"}'}}),
    "push in XML": push_xml(BODY).encode(),
    "push in XML, CDATA": f"<Notification><Message><![CDATA[{BODY}]]></Message></Notification>".encode(),
    "push in XML as documented: PublishTime left open": (
        '<?xml version="1.0" encoding="utf-8"?><Notification xlmns="http://mns.aliyuncs.com/doc/v1/"><TopicName>T'
        f"</TopicName><Message>{BODY}</Message><PublishTime>1449556920975<PublishTime></Notification>"
    ).encode(),
    "CloudEvent": as_bytes(cloud_event(queue_data(BODY))),
    "CloudEvent, Base64": as_bytes(cloud_event(queue_data(b64(BODY)))),
    "CloudEvent, body already an object": as_bytes(cloud_event({"messageBody": MESSAGE})),
    "CloudEvents, array of one": as_bytes([cloud_event(queue_data(BODY))]),
    "EventBridge RawData": as_bytes(queue_data(BODY)),
    "destination, text": as_bytes(destination(BODY)),
    "destination, object": as_bytes(destination(MESSAGE)),
    "destination, Base64": as_bytes(destination(b64(BODY))),
    "destination of MNS JSON of Base64": as_bytes(destination(json.dumps(mns_json(b64(BODY))))),
    "destination of a CloudEvent array": as_bytes(destination(json.dumps([cloud_event(queue_data(b64(BODY)))]))),
}


@pytest.mark.parametrize("event", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_every_documented_envelope_gives_the_same_message(event: bytes) -> None:
    assert parse(event) == (CHANGED,)


ENVELOPES: dict[str, Callable[[str], str]] = {
    "base64": b64,
    "json string": json.dumps,
    "mns": lambda text: json.dumps(mns_json(text, Type="Transcode")),
    "stream": lambda text: json.dumps({"body": text, "attrs": {}}),
    "xml": push_xml,
    "cloud event": lambda text: json.dumps(cloud_event(queue_data(text))),
    "cloud events": lambda text: json.dumps([cloud_event(queue_data(text))]),
    "raw data": lambda text: json.dumps(queue_data(text)),
    "destination": lambda text: json.dumps(destination(text)),
}
# What XML 1.0 can carry at all, and JSON without lone surrogates.
CARRIED = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=40)


@settings(deadline=None)
@given(
    job_id=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    state=st.sampled_from(["Success", "Fail", "Processing", ""]),
    user_data=CARRIED,
    chain=st.lists(st.sampled_from(sorted(ENVELOPES)), max_size=5),
)
def test_any_chain_of_envelopes_gives_the_same_message(
    job_id: str, state: str, user_data: str, chain: list[str]
) -> None:
    text = json.dumps({"Type": "smarttag", "JobId": job_id, "State": state, "UserData": user_data})
    for name in chain:
        text = ENVELOPES[name](text)
    assert parse(text.encode()) == (JobChanged(job_id, state, user_data),)


KEYS = [
    *("Type", "jobId", "Message", "MessageId", "data", "specversion", "body", "attrs", "requestPayload"),
    *("requestContext", "command", "redeliver", "requestId", "triggerTime", "triggerName", "messageBody"),
]
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | CARRIED
    | st.sampled_from([BODY, b64(BODY)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            CARRIED | st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text().map(lambda text: text.encode(errors="surrogatepass")))
@example(b'{"a":' * 5000)
@example(b"<a>" * 50_000 + b"</a>" * 50_000)
@example(b"====")
def test_no_bytes_make_it_raise_and_what_is_not_understood_is_kept(event: bytes) -> None:
    assert parse(event)
    for message in parse(event):
        assert not isinstance(message, Poison) or message.raw == event


@settings(deadline=None)
@given(JSON_VALUES)
def test_no_json_makes_it_raise(value: object) -> None:
    messages = parse(as_bytes(value))
    assert messages
    for message in messages:
        assert isinstance(message, Message)


POISON: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "white space": (b" \n", "empty"),
    "an empty array": (b"[]", "array is empty"),
    "half-cut": (BODY.encode()[:60], "not valid JSON"),
    "GBK": (BODY.encode("gbk"), "GBK"),
    "not UTF-8 within Base64": (base64.b64encode(BODY.encode("gbk")), "read as Base64, byte"),
    "nothing but marks, blanks and NULs": ("\ufeff\0 \n\0".encode(), "empty"),
    "NULs within": (BODY.replace("Success", "\0").encode(), "not valid JSON"),
    "XML that ends within Message": (b"<Notification><Message>{", "not well-formed"),
    "UTF-16 with a mark": (BODY.encode("utf-16"), "UTF-16"),
    "UTF-16 without": (BODY.encode("utf-16-le"), "UTF-16"),
    "nested beyond the parser": (b"[" * 5000 + b"]" * 5000, "not valid JSON"),
    "nested beyond reason": (b"[" * 300 + b"]" * 300, "nested"),
    "text": (b"hello topic", "neither JSON"),
    "a number": (b"[12]", "a JSON int"),
    "null in an array": (b"[null]", "a JSON null"),
    "a foreign object": (
        b'{"EventType":"AIVideoTagComplete","Status":"success"}',
        "EventType",
    ),
    "no JobId": (b'{"Type":"smarttag","State":"Success"}', "JobId is missing"),
    "JobId null": (b'{"Type":"smarttag","JobId":null}', "JobId is missing"),
    "JobId a number": (b'{"Type":"smarttag","JobId":12}', "JobId must be a string"),
    "JobId a path": (b'{"Type":"smarttag","JobId":"../../etc"}', "'../../etc'"),
    "JobId with a line end": (b'{"Type":"smarttag","JobId":"abc\\n"}', "A-Z"),
    "Type no text": (b'{"Type":["smarttag"],"JobId":"a"}', "Type must be a string"),
    "a lone surrogate": (b'{"Type":"smarttag","JobId":"\\ud800"}', "A-Z"),
    "unknown command": (b'{"command":"erase","jobId":"a"}', "'erase'"),
    "refresh no boolean": (b'{"command":"publish","jobId":"a","refresh":1}', "refresh must be true or false"),
    "requestId a number": (b'{"command":"publish","jobId":"a","requestId":0}', "requestId"),
    "redeliver no boolean": (b'{"command":"publish","jobId":"a","redeliver":"yes"}', "redeliver"),
    "requestId no key": (b'{"command":"publish","jobId":"a","requestId":"a/b"}', "requestId"),
    "XML of something else": (b"<html><body>404</body></html>", "no Message"),
    "malformed XML without Message": (b"<Notification><Topic></Notification>", "not well-formed"),
    "XML with entities": (
        b'<!DOCTYPE n [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><Notification><Message>&b;</Message></Notification>',
        "document type or entities",
    ),
    "entities behind a malformed end": (
        b'<!DOCTYPE n [<!ENTITY a SYSTEM "file:///etc/passwd">]><N><Message>&a;</Message><P>1<P></N>',
        "document type or entities",
    ),
}


@pytest.mark.parametrize("envelope", ENVELOPES.values(), ids=ENVELOPES.keys())
@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00"])
def test_user_data_that_was_cut_within_a_character_costs_no_job(envelope: Callable[[str], str], half: str) -> None:
    text = f'{{"Type": "smarttag", "JobId": "a", "State": "Success", "UserData": "\\ud83d\\ude00{half}b"}}'
    assert parse(envelope(text).encode()) == (JobChanged("a", "Success", "\U0001f600\ufffdb"),)


@pytest.mark.parametrize(("event", "reason"), POISON.values(), ids=POISON.keys())
def test_poison_keeps_the_bytes_and_says_why(event: bytes, reason: str) -> None:
    (poison,) = parse(event)
    assert isinstance(poison, Poison)
    assert poison.raw == event
    assert reason in poison.reason


def test_poison_does_not_repeat_what_the_message_says() -> None:
    (poison,) = parse(as_bytes({"Type": "smarttag", "UserData": "private", "Other": "private"}))
    assert isinstance(poison, Poison)
    assert "private" not in poison.reason


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (
            {"jobId": "0ceb", "requestId": "713C", "Type": "Transcode", "state": "Success", "type": "Transcode"},
            "Transcode",
        ),
        ({"jobId": "8f91", "JobId": "8f91", "Type": "Snapshot", "TimeArray": [10050, 50000], "Count": 5}, "Snapshot"),
        ({"jobId": "8a87", "state": "Success", "type": "Transcode"}, "Transcode"),
        (
            {"RunId": "8f8a", "Name": "Act-4", "Type": "Report", "MediaWorkflowExecution": {"ActivityList": []}},
            "Report",
        ),
        ({"RunId": "8f8a", "Name": "Act-1", "Type": "Start", "State": "Success"}, "Start"),
    ],
)
def test_other_types_are_skipped(fields: dict[str, Any], kind: str) -> None:
    (skipped,) = parse(as_bytes(fields))
    assert isinstance(skipped, Skipped)
    assert skipped.type == kind
    assert kind in skipped.reason


def test_state_and_user_data_only_inform() -> None:
    (bare,) = parse(b'{"Type":"SmartTag","JobId":"a"}')
    (odd,) = parse(b'{"Type":"smarttag","JobId":"a","State":4,"UserData":{"b":[1]}}')
    assert (bare, odd) == (JobChanged("a", "", ""), JobChanged("a", "4", '{"b":[1]}'))


def test_the_timer_sweeps() -> None:
    event = {"triggerTime": "2018-02-09T05:49:00Z", "triggerName": "my_trigger", "payload": "awesome-fc"}
    sweep = Sweep("2018-02-09T05:49:00Z", "my_trigger")
    assert parse(as_bytes(event)) == (sweep,)
    assert parse(as_bytes(destination(json.dumps(event)))) == (sweep,)


@pytest.mark.parametrize(
    "command",
    [
        Publish("a"),
        Publish("a", redeliver=True),
        Publish("a", redeliver=True, request_id="1-64f6cd87"),
        Publish("a", redeliver=True, request_id="0"),
        Publish("a", refresh=True),
        Publish("a", redeliver=True, request_id="b", refresh=True),
    ],
)
def test_a_command_survives_the_trip(command: Publish) -> None:
    assert parse(command.to_event()) == (command,)
    assert parse(as_bytes(destination(command.to_event().decode()))) == (command,)


def test_a_command_needs_no_more_than_a_job() -> None:
    assert parse(b'{"command":"publish","jobId":"a"}') == (Publish("a"),)


def test_each_element_of_an_array_stands_on_its_own() -> None:
    elements: list[object] = [
        cloud_event(queue_data(BODY)),
        cloud_event(queue_data("rubbish!")),
        cloud_event(queue_data('{"Type":"Transcode","JobId":"b"}')),
        None,
        "half {",
        [cloud_event(queue_data(b64(BODY)))],
    ]
    first, second, third, fourth, fifth, sixth = parse(as_bytes(elements))
    assert first == sixth == CHANGED
    assert isinstance(second, Poison)
    assert json.loads(second.raw) == elements[1]
    assert isinstance(third, Skipped)
    assert isinstance(fourth, Poison)
    assert fourth.raw == b"null"
    assert isinstance(fifth, Poison)
    assert fifth.raw == b"half {"


def test_an_element_too_deep_to_write_again_keeps_the_whole_event() -> None:
    event = b"[" + b'{"a":' * 400 + b"1" + b"}" * 400 + b"," + BODY.encode() + b"]"
    poison, good = parse(event)
    assert isinstance(poison, Poison)
    assert poison.raw == event
    assert good == CHANGED


def test_envelopes_have_a_bounded_depth() -> None:
    value: object = MESSAGE
    for _ in range(24):
        value = {"body": value, "attrs": {}}
    assert parse(as_bytes(value)) == (CHANGED,)
    (poison,) = parse(as_bytes({"body": value, "attrs": {}}))
    assert isinstance(poison, Poison)
    assert "nested more than 24 deep" in poison.reason


@pytest.mark.parametrize("inner", [MESSAGE, None, {"Type": "Transcode"}, "half {", [], [MESSAGE]])
def test_an_event_of_more_than_a_hundred_messages_is_poison_as_a_whole(inner: object) -> None:
    assert len(parse(as_bytes([inner] * MOST))) == MOST
    event = as_bytes([MESSAGE, *[inner] * MOST])
    (poison,) = parse(event)
    assert isinstance(poison, Poison)
    assert poison.raw == event
    assert "more than 100 messages" in poison.reason


def test_messages_are_counted_however_they_are_nested() -> None:
    assert len(parse(as_bytes([[MESSAGE] * 50, [MESSAGE] * 50]))) == 100
    (poison,) = parse(as_bytes([[MESSAGE] * 50, [MESSAGE] * 50, MESSAGE]))
    assert isinstance(poison, Poison)


LARGE = 128 * 1024  # bytes; what a push or an asynchronous event may hold


def nested_text(size: int) -> bytes:
    text = BODY
    while len(text) < size // 3:
        text = json.dumps(text)
    return text.encode()


def nested_base64(size: int) -> bytes:
    text = BODY
    while len(text) < size * 3 // 4:
        text = b64(text)
    return text.encode()


HEAVY: dict[str, Callable[[int], bytes]] = {
    "Message opened for ever": lambda size: b"<Message>" * (size // 9),
    "a root, and Message opened for ever": lambda size: b"<N>" + b"<Message>" * (size // 9),
    "Message opened and closed, never well-formed": lambda size: b"<N>" + b"<Message></Message>" * (size // 19),
    "closed before opened": lambda size: b"</Message>" * (size // 10),
    "half a tag": lambda size: b"<Message" * (size // 8),
    "CDATA for ever": lambda size: b"<N><Message>" + b"<![CDATA[" * (size // 9),
    "comments": lambda size: b"<N>" + b"<!--" * (size // 4),
    "attributes": lambda size: b"<N " + b"".join(b'a%d="" ' % n for n in range(size // 12)),
    "many entities of one sign": lambda size: b"<N><Message>" + b"&lt;" * (size // 4) + b"</Message>",
    "blanks": lambda size: b" " * size,
    "NULs": lambda size: b"\0" * size,
    "marks": lambda size: b"\xef\xbb\xbf" * (size // 3),
    "brackets": lambda size: b"[" * size,
    "an array of arrays": lambda size: b"[" + b"[]," * (size // 3) + b"[]]",
    "quotes": lambda size: b'"' + b'\\"' * (size // 2) + b'"',
    "text in text": nested_text,
    "Base64 of Base64": nested_base64,
    "keys": lambda size: as_bytes({f"k{n}": None for n in range(size // 12)}),
    "one key in every case": lambda size: as_bytes({f"Message{' ' * n}": 1 for n in range(int((2 * size) ** 0.5))}),
}


@pytest.mark.parametrize("make", HEAVY.values(), ids=HEAVY.keys())
def test_a_large_event_takes_no_time(make: Callable[[int], bytes]) -> None:
    event = make(LARGE)
    began = time.process_time()
    assert parse(event)
    assert time.process_time() - began < 2.0, "37 s once: a regular expression tried every start against every end"
