"""subscribers.json: what is accepted, what is reported by id, and what is never shown."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadInput, SubscribersBroken
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.subscribers import EVENT_TYPES, Subscriber, Subscribers, parse

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENV = {"OLD": "whsec_" + base64.b64encode(b"o" * 24).decode() + "\n", "TOKEN": "Bearer t0p-s3cret", "EMPTY": " "}
GOOD = {"id": "cms", "url": "https://cms.example.com/hooks/t0k3n-in-path", "secrets": [SECRET]}


def read(*entries: Any, env: dict[str, str] | None = None) -> Subscribers:
    body = json.dumps({"version": 1, "subscribers": list(entries)}).encode()
    return parse(body, ENV if env is None else env, AddressGuard().target)


def one(**changes: Any) -> Subscriber:
    subscribers = read({**GOOD, **changes})
    assert not subscribers.broken
    return subscribers.good[0]


def reason(entry: Any) -> str:
    subscribers = read({**GOOD, "id": "first"}, entry, {**GOOD, "id": "last"})
    assert [subscriber.id for subscriber in subscribers.good] == ["first", "last"], "the others are served"
    assert len(subscribers.broken) == 1
    return subscribers.broken[0].reason


def test_everything_that_can_be_said() -> None:
    subscriber = one(
        secrets=[SECRET, "env:OLD"],
        events=["smarttag.job.succeeded", "smarttag.job.f*"],
        when="persons[?sensitive] | length(@) > `0`",
        select="{names: persons[].name}",
        payload="full",
        headers={"Authorization": "env:TOKEN", "X-Team": "media"},
        enabled=False,
    )
    assert subscriber.secrets == (SECRET, ENV["OLD"].strip())
    assert subscriber.headers == {"Authorization": "Bearer t0p-s3cret", "X-Team": "media"}
    assert (subscriber.payload, subscriber.enabled) == ("full", False)


def test_what_is_left_unsaid() -> None:
    subscriber = one()
    assert (subscriber.payload, subscriber.enabled, dict(subscriber.headers)) == ("thin", True, {})
    assert all(map(subscriber.wants, EVENT_TYPES))
    assert subscriber.matches({})
    assert subscriber.selected({"jobId": "a"}) == {"jobId": "a"}


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["smarttag.job.*"], EVENT_TYPES),
        (["*"], EVENT_TYPES),
        (["smarttag.job.failed"], ("smarttag.job.failed",)),
        (["smarttag.job.s*", "*.failed"], ("smarttag.job.succeeded", "smarttag.job.failed", "smarttag.job.submitted")),
    ],
)
def test_event_patterns(patterns: list[str], wanted: tuple[str, ...]) -> None:
    subscriber = one(events=patterns)
    assert tuple(filter(subscriber.wants, EVENT_TYPES)) == wanted


def test_a_disabled_subscriber_wants_nothing() -> None:
    assert not any(map(one(enabled=False).wants, EVENT_TYPES))


SUMMARY = {"persons": [{"name": "A", "sensitive": True}], "none": [], "zero": 0, "no": False, "text": "", "map": {}}


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("persons[?sensitive] | length(@) > `0`", True),
        ("persons[?name == 'B']", False),
        ("persons", True),
        ("none", False),
        ("zero", True),
        ("no", False),
        ("text", False),
        ("map", False),
        ("missing", False),
    ],
)
def test_when_follows_the_truth_of_jmespath(when: str, holds: bool) -> None:  # noqa: FBT001 - a table
    assert one(when=when).matches(SUMMARY) is holds


def test_select_picks() -> None:
    assert one(select="persons[].name").selected(SUMMARY) == ["A"]


@pytest.mark.parametrize("field", ["when", "select"])
def test_an_expression_that_fails_only_on_this_summary_names_the_subscriber(field: str) -> None:
    subscriber = one(**{field: "length(zero)"})
    with pytest.raises(BadInput, match=f"subscriber cms: {field} cannot be evaluated"):
        subscriber.matches(SUMMARY) if field == "when" else subscriber.selected(SUMMARY)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"version": 1, "subscribers": [',
        b"\xff",
        b"null",
        b"[]",
        b'{"version": 1}',
        b'{"version": 2, "subscribers": []}',
        b'{"version": true, "subscribers": []}',
        b'{"subscribers": []}',
        b'{"version": 1, "subscribers": {}}',
        b'{"version": 1, "subscribers": [{"secrets": ["whsec_SeCrEt"]}',
    ],
)
def test_a_file_that_is_none_is_worth_retrying(body: bytes) -> None:
    with pytest.raises(SubscribersBroken, match="SUBSCRIBERS_URL") as caught:
        parse(body, {}, AddressGuard().target)
    assert caught.value.retryable
    assert "SeCrEt" not in repr(caught.value)
    assert caught.value.__cause__ is None, "the JSON error would carry the file"


def test_an_empty_list_is_fine() -> None:
    assert read() == Subscribers((), ())


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"url": None}, "url is missing"),
        ({"url": ""}, "url is missing"),
        ({"url": 1}, "url is missing"),
        ({"url": "cms.example.com"}, "no plain https URL"),
        ({"url": "http://cms.example.com/"}, "must be https://"),
        ({"url": "https://10.0.0.1/"}, "public addresses only"),
        ({"url": "https://100.100.100.200/"}, "never dialled"),
        ({"url": "fc://service"}, "fc://service.qualifier/function"),
        ({"url": "fc:service/function"}, "fc://service.qualifier/function"),
        ({"secrets": None}, "secrets is no list"),
        ({"secrets": []}, "secrets is no list"),
        ({"secrets": SECRET}, "secrets is no list"),
        ({"secrets": [1]}, "secrets is no list"),
        ({"secrets": ["whsec_c2hvcnQ="]}, "secret 1: a whsec_ secret holds 5 bytes"),
        ({"secrets": [SECRET, "hunter2hunter2"]}, "secret 2: a secret starts with neither"),
        ({"secrets": ["env:NO_SUCH"]}, "environment variable NO_SUCH is not set"),
        ({"secrets": ["env:EMPTY"]}, "environment variable EMPTY is not set"),
        ({"secrets": ["env:TOKEN"]}, "secret 1: a secret starts with neither"),
        ({"events": []}, "events is no list"),
        ({"events": "smarttag.job.*"}, "events is no list"),
        ({"events": ["smarttag.jobs.*"]}, "'smarttag.jobs.*' matches none"),
        ({"events": ["[a-z]*"]}, "matches none"),
        ({"when": "persons["}, "when is no valid JMESPath"),
        ({"when": "lenght(persons)"}, "there is no function 'lenght'"),
        ({"when": "persons[?lenght(name) > `1`]"}, "there is no function 'lenght'"),
        ({"when": ""}, "when is no JMESPath expression"),
        ({"when": "a" * 2001}, "when is no JMESPath expression"),
        ({"when": "(" * 1900}, "when is no valid JMESPath"),
        ({"select": "`{"}, "select is no valid JMESPath"),
        ({"select": 3}, "select is no JMESPath expression"),
        ({"payload": "fat"}, "neither thin nor full"),
        ({"payload": ["thin"]}, "neither thin nor full"),
        ({"headers": []}, "headers is no object"),
        ({"headers": {"Host": "x"}}, "'Host' is no header name"),
        ({"headers": {"Webhook-Id": "x"}}, "'Webhook-Id' is no header name"),
        ({"headers": {"content-length": "1"}}, "'content-length' is no header name"),
        ({"headers": {"a b": "x"}}, "'a b' is no header name"),
        ({"headers": {"": "x"}}, "'' is no header name"),
        ({"headers": {"x": "s3cret\r\nwebhook-id: 1"}}, "printable ASCII"),
        ({"headers": {"x": 1}}, "printable ASCII"),
        ({"headers": {"x": "env:NO_SUCH"}}, "header 'x': environment variable NO_SUCH"),
        ({"headers": {"x": "1", "X": "2"}}, "one header twice"),
        ({"enabled": "yes"}, "enabled is neither"),
        ({"enabled": 1}, "enabled is neither"),
        ({"secret": SECRET}, "unknown fields 'secret'"),
        ({"seCrEt\n": 1}, r"unknown fields 'seCrEt\n'"),
    ],
)
def test_one_fault_spoils_one_subscriber(changes: dict[str, Any], fault: str) -> None:
    entry = {**GOOD, **changes}
    assert fault in reason(entry)


def test_all_faults_of_a_subscriber_are_reported_together() -> None:
    told = reason({"id": "cms", "url": "ftp://x", "secrets": [], "payload": "fat", "extra": 1})
    assert [word in told for word in ("url", "secrets", "payload", "extra")] == [True] * 4


@pytest.mark.parametrize("entry", [None, [], "cms", 7])
def test_an_entry_that_is_no_object_is_reported_by_position(entry: Any) -> None:
    subscribers = read(GOOD, entry)
    assert [(broken.id, broken.reason) for broken in subscribers.broken] == [("#2", "is no JSON object")]


@pytest.mark.parametrize("name", [None, "", 5, "a/b", "a" * 65, "ümlaut", "cms\n"])
def test_a_bad_id_is_reported_by_position(name: Any) -> None:
    subscribers = read({**GOOD, "id": name})
    assert [broken.id for broken in subscribers.broken] == ["#1"]
    assert "id is not 1 to 64 characters" in subscribers.broken[0].reason


def test_of_duplicates_none_is_served() -> None:
    twin = {**GOOD, "url": "https://other.example.com/"}
    subscribers = read(GOOD, {**GOOD, "id": "search"}, twin, {**twin, "payload": "fat"})
    assert [subscriber.id for subscriber in subscribers.good] == ["search"]
    assert [(broken.id, broken.reason[:34]) for broken in subscribers.broken] == [
        ("cms", "3 subscribers have this id; give e")
    ]


def test_no_secret_is_ever_shown() -> None:
    subscriber = one(secrets=[SECRET, "env:OLD"], headers={"Authorization": "env:TOKEN"})
    shown = repr(subscriber) + str(subscriber)
    for secret in (SECRET[6:], ENV["OLD"].strip()[6:], "t0p-s3cret", "t0k3n-in-path"):
        assert secret not in shown
    assert "cms" in shown


@pytest.mark.parametrize(
    "changes",
    [
        {"secrets": ["whsec_" + "S3cr3tS3cr3t"]},
        {"secrets": ["S3cr3tS3cr3t"]},
        {"secrets": ["whsk_" + "S3cr3tS3cr3t"]},
        {"headers": {"Authorization": "S3cr3tS3cr3t\n"}},
        {"headers": {"Host": "S3cr3tS3cr3t"}},
        {"url": "https://user:S3cr3tS3cr3t@cms.example.com/"},
        {"url": "http://cms.example.com/S3cr3tS3cr3t"},
        {"url": "https://10.0.0.1/S3cr3tS3cr3t"},
        {"url": "https://cms.example.com:99/S3cr3tS3cr3t"},
        {"url": "https://cms_.%.example.com/S3cr3tS3cr3t"},
    ],
)
def test_no_reason_shows_a_secret(changes: dict[str, Any]) -> None:
    assert "S3cr3t" not in reason({**GOOD, **changes})


def test_function_targets() -> None:
    assert one(url="fc://media.prod/index_job").url == "fc://media.prod/index_job"
    assert one(url="fc://media/index_job").url == "fc://media/index_job"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=12) | st.sampled_from(["env:X", "fc://a/b", "*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(list(Subscriber.__slots__)) | st.text(max_size=5)


@given(st.lists(VALUES | st.dictionaries(KEYS, VALUES), max_size=4))
def test_whatever_stands_in_the_list_a_good_subscriber_is_served(entries: list[Any]) -> None:
    subscribers = read(*entries, {**GOOD, "id": "the-good-one"})
    assert [subscriber.id for subscriber in subscribers.good][-1:] == ["the-good-one"]
    assert bool(subscribers.broken) is bool(entries)
