"""Who is let in where, and that asking teaches nothing about tokens."""

from __future__ import annotations

import gc
import io
import json
import statistics
import time

import pytest
from typer.testing import CliRunner
from werkzeug.test import Client

from local.cli.token import app as token_command
from shared import logs
from shared.http.problems import Problem
from shared.http.routes import ROUTES, Route
from shared.http.tokens import TokenAuth, hash_of, mint
from shared.settings import ApiToken, Settings
from tests.http.fakes import DONE, LINK_TOKEN, PUSH, READ, TOKENS, WRITE, FakeService, make_app

CALLERS = {
    "nobody": None,
    "empty": "",
    "basic": "Basic cmVhZA==",
    "bare": READ,
    "wrong": "Bearer wrong",
    "garbage": "Bearer \u00ff\u00fe",
    "hash": f"Bearer {hash_of(READ)}",
    "read": f"Bearer {READ}",
    "lower case": f"bearer  {READ} ",
    "write": f"Bearer {WRITE}",
    "push": f"Bearer {PUSH}",
}
LET_IN = {"read": {"read", "lower case", "write"}, "write": {"write"}}
KNOWN = {"read", "lower case", "write", "push"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("caller", CALLERS)
def test_every_route_for_every_caller(route: Route, caller: str) -> None:
    header = CALLERS[caller]
    client = Client(make_app(FakeService()))
    answer = _ask(client, route, {} if header is None else {"Authorization": header})
    if route.scope in {None, "push", "link"} or caller in LET_IN[route.scope]:
        assert answer.status_code == _done(route)
    elif caller in KNOWN:
        assert answer.status_code == 403
        assert f'scope="{route.scope}"' in answer.headers["WWW-Authenticate"]
    else:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")
        assert ("invalid_token" in answer.headers["WWW-Authenticate"]) is (caller in {"wrong", "hash"})


@pytest.mark.parametrize("token", ["wrong", READ, WRITE, hash_of(PUSH), PUSH.upper(), PUSH + " ", "%FF"])
def test_only_push_tokens_open_the_notifications_path(token: str) -> None:
    service = FakeService()
    for auth in ("token", "trigger"):
        answer = Client(make_app(service, auth=auth)).post(f"/notifications/{token}", data=b"{}")
        assert (answer.status_code, answer.json["type"].rpartition(":")[2]) == (403, "forbidden")
    assert service.accepted == []


def test_a_trigger_that_authenticates_makes_tokens_needless() -> None:
    for route in ROUTES:
        client = Client(make_app(FakeService(), tokens=(), auth="trigger"))  # one of them erases the job
        assert _ask(client, route, {}).status_code == (403 if route.scope == "push" else _done(route))


def test_without_tokens_everybody_is_turned_away_and_the_log_says_why() -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream)
    client = Client(make_app(FakeService(), tokens=()))
    for route in ROUTES:
        expected = {None: 200, "link": 200, "push": 403}.get(route.scope, 401)
        assert _ask(client, route, {"Authorization": f"Bearer {WRITE}"}).status_code == expected
    first = json.loads(stream.getvalue().split("\n")[0])
    assert (first["event"], first["level"]) == ("http.no_tokens", "WARNING")
    assert "API_TOKENS" in first["advice"]


def test_two_tokens_may_share_a_name_while_one_is_replaced() -> None:
    old, new = mint("cms", "read"), mint("cms", "read")
    token_auth = TokenAuth([_setting(old[1]), _setting(new[1])], "token")
    assert token_auth.caller(f"Bearer {old[0]}", "read") == token_auth.caller(f"Bearer {new[0]}", "read") == "cms"


def test_right_and_wrong_tokens_take_the_same_time() -> None:
    """The comparison is constant-time by construction: a hash, then ``compare_digest`` with every token.

    This is the smoke alarm for a shortcut: medians over interleaved batches, among 2,000 tokens, where a search that
    stopped at a match would answer the first token about twenty times faster than the last.
    """
    tokens = [ApiToken(f"t{index}", "read", hash_of(f"token-{index}")) for index in range(2000)]
    token_auth = TokenAuth(tokens, "token")
    taken: dict[str, list[float]] = {name: [] for name in ("first", "last", "near", "wrong")}
    headers = dict(zip(taken, ("token-0", "token-1999", "token-", "x"), strict=True))
    gc.disable()
    try:
        for _ in range(40):
            for name, token in headers.items():
                began = time.perf_counter()
                _try(token_auth, f"Bearer {token}")
                taken[name].append(time.perf_counter() - began)
    finally:
        gc.enable()
    medians = {name: statistics.median(times) for name, times in taken.items()}
    assert max(medians.values()) < 2 * min(medians.values()), medians


@pytest.mark.parametrize("scope", ["read", "write", "push"])
def test_the_command_makes_a_token_that_its_setting_admits(scope: str) -> None:
    runner = CliRunner()
    found = json.loads(runner.invoke(token_command, ["new", "cms", "--scope", scope, "--json"]).stdout)
    env = {"OUTPUT_URL": "file:///out", "API_TOKENS": f"{TOKENS[0].name}:read:{TOKENS[0].sha256}, {found['setting']}"}
    token_auth = TokenAuth(Settings.from_env(env).api_tokens, "token")
    if scope == "push":
        assert token_auth.pusher(found["token"]) == "cms"
        assert found["path"] == f"/notifications/{found['token']}"
    else:
        assert token_auth.caller(f"Bearer {found['token']}", scope) == "cms"
    assert found["token"] not in found["setting"]


def test_the_command_talks_to_people_too() -> None:
    runner = CliRunner()
    shown = runner.invoke(token_command, ["new", "cms", "--scope", "push"]).stdout
    assert shown.count("str_") == 2, "the token, and the path it belongs into"
    assert "API_TOKENS" in shown
    for wrong in (["new", "a b", "--scope", "read"], ["new", "cms", "--scope", "admin"], ["new", "cms"]):
        assert runner.invoke(token_command, wrong).exit_code == 2


def _ask(client: Client, route: Route, headers: dict[str, str]):  # noqa: ANN202 - the client's own answer
    path = route.path.replace("{jobId}", DONE).replace("{artifact}", "report.html").replace("{subscriberId}", "cms")
    body = {"/jobs/publish": {"jobIds": [DONE]}, "/jobs/{jobId}/links": {"expiresIn": 60}}.get(route.path)
    token = LINK_TOKEN if route.scope == "link" else PUSH
    return client.open(path.replace("{token}", token), method=route.method, headers=headers, json=body)


def _done(route: Route) -> int:
    return 202 if route.path == "/jobs/publish" else 200


def _setting(entry: str) -> ApiToken:
    return ApiToken(*entry.split(":"))


def _try(token_auth: TokenAuth, header: str) -> None:
    try:
        token_auth.caller(header, "read")
    except Problem:
        return
