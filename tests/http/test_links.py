"""Links as people and attackers use them: what opens, what does not, and where no token may be found."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from typer.testing import CliRunner
from werkzeug.test import Client

from functions.http_api import build
from local.cli.main import app as command
from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn
from local.cloud.receiver import Receiver
from local.cloud.server import Request, Response
from shared import logs
from shared.jobs import ARTIFACTS
from shared.relay import relay
from shared.settings import LinkKey
from tests import browser
from tests.http.fakes import (
    DONE,
    LINK_TOKEN,
    LINKS,
    NOW,
    READ,
    RUNNING,
    SESSIONS,
    TOKENS,
    FakeService,
    make_app,
    serving,
)
from tests.http.test_local_cloud import response_of

AUTH = {"Authorization": f"Bearer {READ}"}
KEY = base64.b64encode(LINKS.keys[0].secret).decode()
HEAD, _, SIGNATURE = LINK_TOKEN.rpartition(".")
SUBSCRIBER_SECRET = "whsec_c2VjcmV0IG9mIHRoZSByZWNlaXZlciBpbiB0ZXN0cw=="


def signed(text: str, key: bytes = LINKS.keys[0].secret) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode().rstrip("=")


def made(seconds: int, job_id: str = DONE, key: LinkKey = LINKS.keys[0]) -> str:
    return replace(LINKS, keys=(key,)).make(job_id, seconds).url.split("/")[-2]


FORGED = {
    "empty but for its prefix": "lnk_",
    "another sign in the signature": f"{HEAD}.{SIGNATURE[:-2]}{'A' if SIGNATURE[-2] != 'A' else 'B'}{SIGNATURE[-1]}",
    "another sign with the same bits": f"{HEAD}.{SIGNATURE[:-1]}{chr(ord(SIGNATURE[-1]) + 1)}",
    "truncated": LINK_TOKEN[:-1],
    "only its head": HEAD,
    "no signature": f"{HEAD}.",
    "a sign more": LINK_TOKEN + "A",
    "padded": LINK_TOKEN + "=",
    "a line more": LINK_TOKEN + "%0A",
    "in upper case": LINK_TOKEN.upper(),
    "another job's": LINK_TOKEN.replace(DONE, RUNNING),
    "a longer life": LINK_TOKEN.replace(str(NOW + 14 * 86400), str(NOW + 15 * 86400)),
    "an expiry with a zero before it": LINK_TOKEN.replace(f".{NOW + 14 * 86400}", f".0{NOW + 14 * 86400}"),
    "another key's name": LINK_TOKEN.replace(".k1.", ".k2."),
    "expired": made(-1),
    "expired this very second": made(0),
    "of too far a future": made(10**9),
    "a key taken out of rotation": made(60, key=LinkKey("k0", b"old-key-of-tests" * 2)),
    "another key under the same name": made(60, key=LinkKey("k1", b"other-key--tests" * 2)),
    "another purpose": f"{HEAD}.{signed('smarttag-relay session' + chr(10) + HEAD)}",
    "no purpose": f"{HEAD}.{signed(HEAD)}",
    "an empty key": f"{HEAD}.{signed('smarttag-relay link' + chr(10) + HEAD, b'')}",
    "a session": SESSIONS.make(TOKENS[0]),
    "a session that calls itself a link": SESSIONS.make(TOKENS[0]).replace("ses_", f"lnk_{DONE}."),
    "a token of the API": READ,
    "dots": "...",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
def test_what_was_not_signed_for_this_opens_nothing(token: str) -> None:
    client = Client(make_app(FakeService()))
    assert client.get(f"/s/{LINK_TOKEN}/report.html").status_code == 200
    for artifact in ("report.html", "summary.json", "response.json", "nothing"):
        answer = client.get(f"/s/{token}/{artifact}", headers=AUTH)
        assert (answer.status_code, answer.json["type"].rpartition(":")[2]) == (404, "no-such-link")
        assert answer.json["detail"] == "It is wrong or has expired: ask for a new one."


def test_a_browser_is_told_in_its_language_that_a_link_has_expired() -> None:
    client, path = Client(make_app(FakeService())), f"/s/{FORGED['expired']}/report.html"
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "zh-CN"}
    page = client.get(path, headers=browser)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "已过期" in page.text
    assert page.headers["X-Request-Id"] in page.text
    assert "/library" not in page.text, "whoever was sent a link has no token to sign in with"
    for accept in ("*/*", "application/json", "text/html;q=0.1, */*"):
        assert client.get(path, headers={"Accept": accept}).mimetype == "application/problem+json"


@pytest.mark.parametrize("name", [name for name in ARTIFACTS if name != "response.json"])
def test_a_link_opens_the_files_of_its_job(name: str) -> None:
    client = Client(make_app(FakeService()))
    with_token, linked = client.get(f"/jobs/{DONE}/{name}", headers=AUTH), client.get(f"/s/{LINK_TOKEN}/{name}")
    assert (linked.status_code, linked.data) == (200, with_token.data)
    assert "private" in linked.headers["Cache-Control"]
    assert "no-cache" in linked.headers["Cache-Control"], "or it would be read from the cache after its end"
    assert linked.headers["Referrer-Policy"] == "no-referrer"
    for header in ("Content-Type", "Content-Disposition", "Content-Security-Policy", "ETag"):
        assert linked.headers.get(header) == with_token.headers.get(header)


def test_a_link_opens_nothing_else() -> None:
    client = Client(make_app(FakeService()))
    response = client.get(f"/s/{LINK_TOKEN}/response.json")
    assert (response.status_code, response.json["type"].rpartition(":")[2]) == (404, "no-such-link")
    assert response.json["detail"].startswith("A link does not open response.json: get it with a token")
    for path in ("report.pdf", "REPORT.HTML", "deliveries", "..%2Fx%2Freport.html", "%2E%2E", ""):
        assert client.get(f"/s/{LINK_TOKEN}/{path}").status_code == 404
    assert client.post(f"/s/{LINK_TOKEN}/report.html").status_code == 405
    assert client.get(f"/jobs/{DONE}", headers={"Authorization": f"Bearer {LINK_TOKEN}"}).status_code == 401


def test_a_link_is_made_for_as_long_as_is_asked() -> None:
    client = Client(make_app(FakeService()))
    answer = client.post(f"/jobs/{DONE}/links", headers=AUTH, json={"expiresIn": 7_776_000})
    assert (answer.status_code, answer.json["expiresAt"]) == (200, "2027-02-16T11:06:40.000Z")
    assert answer.headers["Cache-Control"] == "no-store"
    path = answer.json["links"]["report"].removeprefix("https://videos.example.com")
    assert client.get(path).status_code == 200
    for wrong in ({}, {"expiresIn": 59}, {"expiresIn": 7_776_001}, {"expiresIn": "60"}, {"expiresIn": True}, {"x": 1}):
        assert client.post(f"/jobs/{DONE}/links", headers=AUTH, json=wrong).status_code == 400
    refused = client.post(f"/jobs/{RUNNING}/links", headers=AUTH, json={"expiresIn": 60})
    assert (refused.status_code, refused.json["type"].rpartition(":")[2]) == (404, "not-published")
    assert client.get(f"/jobs/{DONE}/links", headers=AUTH).status_code == 405


def test_where_links_are_off_none_is_made_and_none_opens() -> None:
    client = Client(make_app(FakeService(), links=None))
    answer = client.post(f"/jobs/{DONE}/links", headers=AUTH, json={"expiresIn": 60})
    assert (answer.status_code, answer.json["type"].rpartition(":")[2]) == (404, "links-off")
    assert client.get(f"/s/{LINK_TOKEN}/report.html").status_code == 404


def test_no_log_line_holds_a_token_wherever_it_stands() -> None:
    stream = io.StringIO()
    logs.set_up("DEBUG", stream)
    client = Client(make_app(FakeService()))
    for path in ("/s/{}/report.html", "/s/{}/", "/s/x/{}", "/{}", "/jobs/{}", "/jobs/x/{}", "/healthz?{}", "/s/{}/a/b"):
        client.get(path.format(LINK_TOKEN), headers=AUTH | {"Referer": f"https://a/s/{LINK_TOKEN}/"})
        client.post(path.format(LINK_TOKEN), headers=AUTH)
    lines = [json.loads(line) for line in stream.getvalue().split("\n") if line]
    assert len(lines) >= 16
    assert (lines[0]["caller"], lines[0]["jobId"], lines[0]["status"]) == ("link", DONE, 200)
    assert SIGNATURE[:8] not in stream.getvalue()


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    with MpsStandIn({DONE: response_of(), RUNNING: response_of("Processing")}) as mps:
        yield {
            "MPS_ENDPOINT": mps.url,
            "OUTPUT_URL": f"file://{tmp_path}/out",
            "SUBSCRIBERS_URL": f"file://{tmp_path}/subscribers.json",
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
            "PUBLIC_URL": LINKS.public_url,
            "LINK_KEYS": f"k1:{KEY}",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": ROLE.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ROLE.access_key_secret,
            "ALIBABA_CLOUD_SECURITY_TOKEN": ROLE.security_token,
        }


class Echo(Receiver):
    """Verifies what it gets, then fails and repeats the link, as debug pages do."""

    def answer(self, request: Request) -> Response:
        super().answer(request)
        return Response(500, request.body[request.body.index(b'"links"') :])


def publish(env: dict[str, str], job_id: str, kind: type[Receiver] = Receiver) -> dict[str, str]:
    """Publish a job, and return the links of the webhook that came."""
    with kind(SUBSCRIBER_SECRET) as receiver:
        entry = {"id": "cms", "url": f"{receiver.url}/hook", "secrets": [SUBSCRIBER_SECRET]}
        subscribers = Path(env["SUBSCRIBERS_URL"].removeprefix("file://"))
        subscribers.write_text(json.dumps({"version": 1, "subscribers": [entry]}))
        relay(env).publish(job_id, redeliver=False, refresh=False, request_id="1")
        (delivery,) = receiver.deliveries
    data = json.loads(delivery.body)["data"]
    return dict(data.get("links", {}))


def test_only_the_stored_bodies_of_webhooks_hold_a_token(
    env: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    links = publish(env | {"LOG_LEVEL": "DEBUG"}, DONE, Echo)
    signature = links["report"].split("/")[-2].rpartition(".")[2]
    assert len(signature) == 43
    assert publish(env, RUNNING) == {}, "a job that goes on has no report yet"
    holding = {path for path in tmp_path.rglob("*") if path.is_file() and signature.encode() in path.read_bytes()}
    assert {path.name for path in holding} == {"event.json", "body.json"}
    excerpts = [path.read_text() for path in tmp_path.rglob("*result.json")]
    assert any("[redacted]" in excerpt for excerpt in excerpts), "the echo was kept, without the signature"
    assert not [path for path in tmp_path.rglob("*") if signature in str(path)]
    logged = capsys.readouterr().out
    assert "job.published" in logged
    assert signature not in logged


def test_an_event_keeps_its_link_whatever_becomes_of_the_settings(env: dict[str, str]) -> None:
    link = publish(env, DONE)
    with Receiver(SUBSCRIBER_SECRET) as receiver:
        entry = {"id": "cms", "url": f"{receiver.url}/hook", "secrets": [SUBSCRIBER_SECRET]}
        subscribers = Path(env["SUBSCRIBERS_URL"].removeprefix("file://"))
        subscribers.write_text(json.dumps({"version": 1, "subscribers": [entry]}))
        changed = env | {"PUBLIC_URL": "https://elsewhere.example.com", "LINK_DAYS": "1"}
        relay(changed).publish(DONE, redeliver=True, refresh=False, request_id="2")
        (delivery,) = receiver.deliveries
    assert json.loads(delivery.body)["data"]["links"] == link


def test_without_public_url_a_webhook_has_no_links(env: dict[str, str]) -> None:
    assert publish(env | {"PUBLIC_URL": ""}, DONE) == {}


def test_the_command_prints_a_link_that_opens(env: dict[str, str]) -> None:
    publish(env, DONE)
    runner = CliRunner()
    done = runner.invoke(command, ["link", DONE, "--days", "3"], env=env)
    assert (done.exit_code, done.stderr) == (0, "")
    client = Client(build(env))
    path = done.stdout.strip().removeprefix(LINKS.public_url)
    assert client.get(path).status_code == 200
    assert 0 < int(path.split(".")[1]) - time.time() - 3 * 86400 + 60 < 120
    for wrong, more in (([DONE], {"LINK_KEYS": ""}), ([RUNNING], {}), (["../x"], {}), ([DONE, "--days", "91"], {})):
        assert runner.invoke(command, ["link", *wrong], env=env | more).exit_code != 0


@pytest.mark.needs("chromium")
def test_a_browser_opens_the_link_of_a_webhook_and_what_the_report_links_to(
    env: dict[str, str], chromium: Browser
) -> None:
    with serving(build(env)) as url, browser.watched(chromium, offline=False) as seen:
        page, report = seen.page, publish(env | {"PUBLIC_URL": url}, DONE)["report"]
        opened = page.goto(report)
        assert opened is not None
        assert (opened.status, "authorization" in opened.request.all_headers()) == (200, False)
        assert page.locator("h1").first.is_visible()
        assert "大家好" in page.inner_text("body")
        for name in ("subtitles.vtt", "subtitles.srt"):
            with page.expect_download() as download:
                page.get_by_role("link", name=name).first.click()
            assert "大家好" in download.value.path().read_text("utf-8")
        with page.expect_response("**/summary.json") as answer:
            page.get_by_role("link", name="summary.json").first.click()
        assert answer.value.json()["jobId"] == DONE
        assert "referer" not in answer.value.request.all_headers()
        page.goto(report)
        with page.expect_response("**/response.json") as answer:
            page.get_by_role("link", name="response.json").first.click()
        assert answer.value.status == 404
        page.wait_for_load_state()
        assert "A link does not open response.json" in page.inner_text("body")
        assert (seen.errors, {address.startswith(url) for address in seen.requests}) == ([], {True})
