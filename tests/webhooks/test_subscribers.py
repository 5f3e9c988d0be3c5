"""subscribers.json: what is accepted, what is reported by id, and what is never shown."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import BadInput, SubscribersBroken
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.subscribers import EVENT_TYPES, SETTING, Subscriber, Subscribers, parse

ROOT = Path(__file__).parents[2]
JOB_EVENTS = tuple(event for event in EVENT_TYPES if event.startswith("smarttag.job."))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()
ENV = {
    "SUBSCRIBER_OLD": OLD + "\n",
    "SUBSCRIBER_TOKEN": "Bearer t0p-s3cret",
    "SUBSCRIBER_EMPTY": " ",
    "CMS_SECRET": OLD,
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "role-key-S3cr3tS3cr3t",
    "ALIBABA_CLOUD_SECURITY_TOKEN": "role-token-S3cr3tS3cr3t",
    "LINK_KEYS": "k1:S3cr3tS3cr3t",
    "API_AUTH": "token",
    "SUBSCRIBER_ROLE": "role-token-S3cr3tS3cr3t",
    "SUBSCRIBER_BEARER": "Bearer role-token-S3cr3tS3cr3t",
    "SUBSCRIBER_LINKS": "k1:S3cr3tS3cr3t",
    "SUBSCRIBER_WORD": "token",
}
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
        secrets=[SECRET, "env:SUBSCRIBER_OLD"],
        events=["smarttag.job.succeeded", "smarttag.job.f*"],
        when="persons[?sensitive] | length(@) > `0`",
        select="{names: persons[].name}",
        payload="full",
        headers={"Authorization": "env:SUBSCRIBER_TOKEN", "X-Team": "media"},
        enabled=False,
    )
    assert subscriber.secrets == (SECRET, OLD)
    assert subscriber.headers == {"Authorization": "Bearer t0p-s3cret", "X-Team": "media"}
    assert (subscriber.payload, subscriber.enabled) == ("full", False)


def test_what_is_left_unsaid() -> None:
    subscriber = one()
    assert (subscriber.payload, subscriber.enabled, dict(subscriber.headers)) == ("thin", True, {})
    assert tuple(filter(subscriber.wants, EVENT_TYPES)) == JOB_EVENTS
    assert subscriber.matches({})
    assert subscriber.selected({"jobId": "a"}) == {"jobId": "a"}


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["smarttag.job.*"], JOB_EVENTS),
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
        ({"url": None}, "url must be given"),
        ({"url": ""}, "url must be given"),
        ({"url": 1}, "url must be given"),
        ({"url": "cms.example.com"}, "no plain https URL"),
        ({"url": "http://cms.example.com/"}, "must be https://"),
        ({"url": "https://10.0.0.1/"}, "public addresses only"),
        ({"url": "https://100.100.100.200/"}, "never dialled"),
        ({"url": "fc://service"}, "fc://service.qualifier/function"),
        ({"url": "fc:service/function"}, "fc://service.qualifier/function"),
        ({"secrets": None}, "secrets must be a list"),
        ({"secrets": []}, "secrets must be a list"),
        ({"secrets": SECRET}, "secrets must be a list"),
        ({"secrets": [1]}, "secrets must be a list"),
        ({"secrets": ["whsec_c2hvcnQ="]}, "secret 1: a whsec_ secret holds 5 bytes"),
        ({"secrets": [SECRET, "hunter2hunter2"]}, "secret 2: a secret starts with neither"),
        ({"secrets": ["env:SUBSCRIBER_NONE"]}, "environment variable SUBSCRIBER_NONE is not set"),
        ({"secrets": ["env:SUBSCRIBER_EMPTY"]}, "environment variable SUBSCRIBER_EMPTY is not set"),
        ({"secrets": ["env:SUBSCRIBER_TOKEN"]}, "secret 1: a secret starts with neither"),
        ({"events": []}, "events must be a list"),
        ({"events": "smarttag.job.*"}, "events must be a list"),
        ({"events": ["smarttag.jobs.*"]}, "'smarttag.jobs.*' matches none"),
        ({"events": ["[a-z]*"]}, "matches none"),
        ({"when": "persons["}, "when is no valid JMESPath"),
        ({"when": "lenght(persons)"}, "there is no function 'lenght'"),
        ({"when": "persons[?lenght(name) > `1`]"}, "there is no function 'lenght'"),
        ({"when": ""}, "when must be a JMESPath expression"),
        ({"when": "a" * 2001}, "when must be a JMESPath expression"),
        ({"when": "(" * 1900}, "when is no valid JMESPath"),
        ({"when": "|".join(["@"] * 150)}, "when is nested more than 100 levels deep"),
        ({"select": "[@,@]|" * 19 + "@"}, "select takes more than 20,000 steps"),
        ({"when": "contains(" + "[@,@]|" * 25 + "@, persons)"}, "when takes more than 20,000 steps"),
        ({"select": "`{"}, "select is no valid JMESPath"),
        ({"select": 3}, "select must be a JMESPath expression"),
        ({"payload": "fat"}, "payload must be thin or full"),
        ({"payload": ["thin"]}, "payload must be thin or full"),
        ({"headers": []}, "headers must be an object"),
        ({"headers": {"Host": "x"}}, "'Host' is not a header name"),
        ({"headers": {"Webhook-Id": "x"}}, "'Webhook-Id' is not a header name"),
        ({"headers": {"content-length": "1"}}, "'content-length' is not a header name"),
        ({"headers": {"a b": "x"}}, "'a b' is not a header name"),
        ({"headers": {"": "x"}}, "'' is not a header name"),
        ({"headers": {"x": "s3cret\r\nwebhook-id: 1"}}, "printable ASCII"),
        ({"headers": {"x": 1}}, "printable ASCII"),
        ({"headers": {"x": "env:SUBSCRIBER_NONE"}}, "header 'x': environment variable SUBSCRIBER_NONE"),
        ({"headers": {"x": "1", "X": "2"}}, "one header twice"),
        ({"enabled": "yes"}, "enabled must be true or false"),
        ({"enabled": 1}, "enabled must be true or false"),
        ({"secret": SECRET}, "unknown fields 'secret'"),
        ({"seCrEt\n": 1}, r"unknown fields 'seCrEt\n'"),
    ],
)
def test_one_fault_spoils_one_subscriber(changes: dict[str, Any], fault: str) -> None:
    entry = {**GOOD, **changes}
    assert fault in reason(entry)


@pytest.mark.parametrize("place", ["secrets", "headers"])
def test_a_file_of_before_the_prefix_is_told_the_new_name(place: str) -> None:
    told = reason({**GOOD, place: ["env:CMS_SECRET"] if place == "secrets" else {"X": "env:CMS_SECRET"}})
    assert "env:CMS_SECRET is not read" in told
    assert "set SUBSCRIBER_CMS_SECRET and write env:SUBSCRIBER_CMS_SECRET" in told


@settings(deadline=None)  # of a machine under load
@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True).filter(lambda name: name[:11] != "SUBSCRIBER_"))
def test_no_other_variable_is_given_to_a_subscriber(name: str) -> None:
    env = {name: OLD, f"subscriber_{name}": OLD, "SUBSCRIBER": OLD}
    for other in env:
        for place in ({"secrets": [f"env:{other}"]}, {"headers": {"X": f"env:{other}"}}):
            subscribers = read({**GOOD, **place}, env=env)
            assert not subscribers.good
            assert OLD[6:] not in repr(subscribers)


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"headers": {"X": "env:SUBSCRIBER_ROLE"}}, "ALIBABA_CLOUD_SECURITY_TOKEN"),
        ({"headers": {"X": "env:SUBSCRIBER_BEARER"}}, "ALIBABA_CLOUD_SECURITY_TOKEN"),
        ({"headers": {"X": "Bearer role-key-S3cr3tS3cr3t"}}, "ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
        ({"headers": {"X": "env:SUBSCRIBER_LINKS"}}, "LINK_KEYS"),
        ({"secrets": ["env:SUBSCRIBER_ROLE"]}, "ALIBABA_CLOUD_SECURITY_TOKEN"),
    ],
)
def test_a_credential_or_setting_under_another_name_is_refused(changes: dict[str, Any], variable: str) -> None:
    told = reason({**GOOD, **changes})
    assert f"it gives away the value of {variable}" in told
    assert "S3cr3t" not in told


def test_every_setting_is_known_as_one() -> None:
    table = (ROOT / "README.md").read_text().split("## Settings")[1].split("\n## ")[0]
    named = [
        name for row in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([A-Z_]+)`", row)
    ]
    assert len(named) > 12
    assert [name for name in named if not SETTING.fullmatch(name)] == []
    assert not SETTING.fullmatch("SUBSCRIBER_CMS_SECRET")


def test_a_text_that_reads_like_a_setting_is_no_secret() -> None:
    subscriber = one(headers={"X-Kind": "env:SUBSCRIBER_WORD", "X-Keys": "k1:S3cr3tS3cr3t"})
    assert subscriber.headers == {"X-Kind": "token", "X-Keys": "k1:S3cr3tS3cr3t"}


@pytest.mark.parametrize(
    "text",
    ["env:", "env: SUBSCRIBER_TOKEN", "env:SUBSCRIBER-TOKEN", "env:SUBSCRIBER_TOKEN ", "Bearer env:SUBSCRIBER_TOKEN"],
)
def test_a_slip_of_the_pen_is_not_sent_as_it_stands(text: str) -> None:
    assert "env: must stand alone, and followed by the name" in reason({**GOOD, "headers": {"X": text}})


def test_all_faults_of_a_subscriber_are_reported_together() -> None:
    told = reason({"id": "cms", "url": "ftp://x", "secrets": [], "payload": "fat", "extra": 1})
    assert [word in told for word in ("url", "secrets", "payload", "extra")] == [True] * 4


@pytest.mark.parametrize("entry", [None, [], "cms", 7])
def test_an_entry_that_is_no_object_is_reported_by_position(entry: Any) -> None:
    subscribers = read(GOOD, entry)
    assert [(broken.id, broken.reason) for broken in subscribers.broken] == [("#2", "must be a JSON object")]


@pytest.mark.parametrize("name", [None, "", 5, "a/b", "a" * 65, "ümlaut", "cms\n"])
def test_a_bad_id_is_reported_by_position(name: Any) -> None:
    subscribers = read({**GOOD, "id": name})
    assert [broken.id for broken in subscribers.broken] == ["#1"]
    assert "id must be 1 to 64 characters" in subscribers.broken[0].reason


def test_of_duplicates_none_is_served() -> None:
    twin = {**GOOD, "url": "https://other.example.com/"}
    subscribers = read(GOOD, {**GOOD, "id": "search"}, twin, {**twin, "payload": "fat"})
    assert [subscriber.id for subscriber in subscribers.good] == ["search"]
    assert [(broken.id, broken.reason[:34]) for broken in subscribers.broken] == [
        ("cms", "3 subscribers have this id; give e")
    ]


def test_no_secret_is_ever_shown() -> None:
    subscriber = one(secrets=[SECRET, "env:SUBSCRIBER_OLD"], headers={"Authorization": "env:SUBSCRIBER_TOKEN"})
    shown = repr(subscriber) + str(subscriber)
    for secret in (SECRET[6:], OLD[6:], "t0p-s3cret", "t0k3n-in-path"):
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


@settings(deadline=None)  # of a machine under load
@given(st.lists(VALUES | st.dictionaries(KEYS, VALUES), max_size=4))
def test_whatever_stands_in_the_list_a_good_subscriber_is_served(entries: list[Any]) -> None:
    subscribers = read(*entries, {**GOOD, "id": "the-good-one"})
    assert [subscriber.id for subscriber in subscribers.good][-1:] == ["the-good-one"]
    assert bool(subscribers.broken) is bool(entries)
