"""Links: what was made opens its job until it expires, and nothing else opens anything."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.links import LONGEST, SESSION_SECONDS, SHORTEST, Links, Sessions, signatures
from shared.settings import ApiToken, LinkKey, Settings

NOW = 1_795_000_000
NEW, OLD = LinkKey("new", b"n" * 32), LinkKey("old", b"o" * 32)
LINKS = Links("https://videos.example.com", (NEW, OLD), 14, lambda: float(NOW))
SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
job_ids = st.text(SIGNS, min_size=1, max_size=64)
keys = st.builds(LinkKey, st.text(SIGNS, min_size=1, max_size=32), st.binary(min_size=32, max_size=64))


def token_of(url: str) -> str:
    return url.removeprefix("https://videos.example.com/s/").removesuffix("/report.html")


def later(links: Links, seconds: float) -> Links:
    return replace(links, clock=lambda: NOW + seconds)


@given(job_ids, st.integers(SHORTEST, LONGEST), st.lists(keys, min_size=1, max_size=3, unique_by=lambda key: key.id))
def test_a_link_opens_its_job_until_it_expires(job_id: str, seconds: int, own: list[LinkKey]) -> None:
    links = replace(LINKS, keys=tuple(own))
    link = links.make(job_id, seconds)
    token = token_of(link.url)
    assert link.expires == NOW + seconds
    assert links.job(token) == later(links, seconds - 0.001).job(token) == job_id
    assert later(links, seconds).job(token) is None
    assert replace(links, keys=tuple(reversed(own))).job(token) == job_id, "all verify"
    assert replace(links, keys=tuple(own[1:])).job(token) is None, "the first one signed"
    assert signatures(f'{{"a": "{link.url}"}}'.encode()) == [token[-43:]]


@given(job_ids, st.data())
def test_no_token_with_another_sign_in_it_opens_anything(job_id: str, data: st.DataObject) -> None:
    token = token_of(LINKS.make(job_id, SHORTEST).url)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(SIGNS + ".~%é\n").filter(lambda sign: sign != token[at]))
    assert LINKS.job(token[:at] + other + token[at + 1 :]) is None
    assert LINKS.job(token[:at]) is LINKS.job(token[:at] + token[at + 1 :]) is LINKS.job(token + other) is None


@given(st.text() | st.from_regex(r"lnk_[a-z]{1,9}\.[0-9]{10}\.(new|old)\.[A-Za-z0-9_-]{43}", fullmatch=True))
def test_no_text_opens_anything(text: str) -> None:
    assert LINKS.job(text) is None


def test_the_signature_is_what_the_page_of_the_module_says() -> None:
    head = "lnk_job1.1795000060.new"
    digest = hmac.new(NEW.secret, f"smarttag-relay link\n{head}".encode(), hashlib.sha256).digest()
    expected = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert LINKS.make("job1", 60).url == f"https://videos.example.com/s/{head}.{expected}/report.html"


def test_a_link_works_for_link_days_if_nobody_says_otherwise() -> None:
    assert LINKS.make("job1").expires == NOW + 14 * 86400


def test_a_link_that_outlives_every_other_was_not_made_here() -> None:
    token = token_of(LINKS.make("job1", LONGEST + 7200).url)
    assert LINKS.job(token) is None


@pytest.mark.parametrize("missing", ["PUBLIC_URL", "LINK_KEYS"])
def test_without_address_or_keys_there_are_no_links(missing: str) -> None:
    secret = base64.b64encode(NEW.secret).decode()
    env = {"OUTPUT_URL": "file:///out", "PUBLIC_URL": "https://videos.example.com", "LINK_KEYS": f"new:{secret}"}
    assert Links.of(Settings.from_env({**env, "LINK_DAYS": "30"})) == Links(env["PUBLIC_URL"], (NEW,), 30)
    assert Links.of(Settings.from_env({**env, missing: ""})) is None


EDITOR, OTHER = ApiToken("editor.v2", "read", "a" * 64), ApiToken("other", "write", "b" * 64)
SESSIONS = Sessions((NEW, OLD), (OTHER, EDITOR), lambda: float(NOW))


def test_a_session_stands_for_its_token_until_it_ends() -> None:
    session = SESSIONS.make(EDITOR)
    assert SESSIONS.token(session) == EDITOR
    assert replace(SESSIONS, keys=(OLD, NEW)).token(session) == EDITOR, "all verify"
    assert replace(SESSIONS, keys=(OLD,)).token(session) is None
    assert replace(SESSIONS, clock=lambda: NOW + SESSION_SECONDS - 0.001).token(session) == EDITOR
    assert replace(SESSIONS, clock=lambda: float(NOW + SESSION_SECONDS)).token(session) is None
    assert replace(SESSIONS, clock=lambda: float(NOW - 7200)).token(session) is None, "it was not made here"


@pytest.mark.parametrize(
    "tokens",
    [
        (),
        (OTHER,),
        (replace(EDITOR, sha256="c" * 64),),
        (replace(OTHER, name="editor.v2"),),
        (replace(EDITOR, name="editor"),),
        (replace(EDITOR, scope="push"),),
    ],
    ids=["none is left", "it was withdrawn", "replaced", "its name is another's", "renamed", "of no use to people"],
)
def test_a_session_ends_with_its_token(tokens: tuple[ApiToken, ...]) -> None:
    assert replace(SESSIONS, tokens=tokens).token(SESSIONS.make(EDITOR)) is None


def test_a_session_may_do_what_its_token_may_do_now() -> None:
    grown = replace(EDITOR, scope="write")
    assert replace(SESSIONS, tokens=(grown, EDITOR)).token(SESSIONS.make(EDITOR)) == grown


@given(st.data())
def test_no_session_with_another_sign_in_it_is_one(data: st.DataObject) -> None:
    session = SESSIONS.make(EDITOR)
    at = data.draw(st.integers(0, len(session) - 1))
    other = data.draw(st.sampled_from(SIGNS + ".~%é\n").filter(lambda sign: sign != session[at]))
    assert SESSIONS.token(session[:at] + other + session[at + 1 :]) is None
    assert SESSIONS.token(session[:at]) is SESSIONS.token(session + other) is None


def test_neither_passes_for_the_other() -> None:
    head = f"ses_{NOW + 60}.new"
    for purpose in ("", "smarttag-relay link\n", f"smarttag-relay link\n{head}"):
        digest = hmac.digest(NEW.secret, f"{purpose}{head}.editor.v2.{'a' * 64}".encode(), hashlib.sha256)
        signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        assert SESSIONS.token(f"{head}.{signature}.editor.v2") is None
    assert SESSIONS.token(token_of(LINKS.make("job1").url)) is None
    assert LINKS.job(SESSIONS.make(EDITOR)) is None


def test_without_keys_or_tokens_of_ours_there_are_no_sessions() -> None:
    secret = base64.b64encode(NEW.secret).decode()
    env = {"OUTPUT_URL": "file:///out", "LINK_KEYS": f"new:{secret}", "API_TOKENS": f"other:write:{'b' * 64}"}
    assert Sessions.of(Settings.from_env(env)) == Sessions((NEW,), (OTHER,))
    assert Sessions.of(Settings.from_env(env | {"LINK_KEYS": ""})) is None
    assert Sessions.of(Settings.from_env(env | {"API_AUTH": "trigger", "HTTP_TRIGGER_AUTH": "function"})) is None
