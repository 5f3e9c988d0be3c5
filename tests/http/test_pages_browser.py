"""Pages as people use them, in Chromium; pictures are kept under build/screenshots.

``SOAK=1`` walks every way in both languages, at both widths, light and dark; the default is a selection.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from functions.http_api import build
from local import recorded
from local.cloud import receiver as receivers
from local.cloud import server
from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn
from local.cloud.world import secret
from shared.catalogue.catalogue import Catalogue
from shared.http.tokens import hash_of
from shared.outbox.task import Task, TaskKind
from shared.relay import relay
from shared.triggers import Sweep
from shared.webhooks.operations import Condition, Health
from shared.webhooks.standing import Waiting
from tests import browser, needs
from tests.http.fakes import DONE, LINKS, READ, WRITE, make_app, published, serving
from tests.http.hostile import CORPUS, hostile_service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.needs("chromium")

SCREENSHOTS = needs.ROOT / "build" / "screenshots"
AXE = needs.NODE_FOLDER / "node_modules" / "axe-core" / "axe.min.js"
FINDINGS = """axe.run({resultTypes: ["violations"]})
    .then(result => result.violations.map(found => [found.id, found.nodes.length, found.nodes[0].html]))"""
Look = tuple[str, int, str]  # language, width, scheme
WIDE, PHONE = ("zh-CN", 1280, "light"), ("en-US", 390, "dark")
LOOKS: list[Look] = [PHONE]
if os.environ.get("SOAK"):
    LOOKS = [(lang, width, look) for lang in ("zh-CN", "en-US") for width in (390, 1280) for look in ("light", "dark")]
JOBS = [recorded.jobs()[name] for name in ("rich", "documented", "fail", "image")]
PERSON = "示例主持人"  # in the first and in the last of them
WORDS = {  # what is clicked, in both languages
    "zh-CN": {"in": "登录", "out": "退出", "operations": "运维", "search": "查找", "person": "人物", "report": "报告"},
    "en-US": {
        "in": "Sign in",
        "out": "Sign out",
        "operations": "Operations",
        "search": "Search",
        "person": "Person",
        "report": "Report",
    },
}


@dataclass(frozen=True)
class Library:
    """A served application over four published jobs; the only subscriber had answered 410 at its old address."""

    url: str
    env: dict[str, str]
    receiver: receivers.Receiver

    def sweep(self) -> None:
        other = relay(self.env | {"LOG_LEVEL": "WARNING"})  # as another function has it, with nothing cached
        other.publisher.receive([Sweep("", "sweep")], request_id="sweep", seconds=30)

    def ids_of(self, path: str) -> list[str]:
        return [each.headers["webhook-id"] for each in self.receiver.requests if each.path == path]


@contextmanager
def library(root: Path) -> Iterator[Library]:
    responses = {job.job_id: job.response for job in JOBS}
    with MpsStandIn(responses) as mps, receivers.Receiver(secret("cms")) as receiver:
        receiver.fail(server.Fault("answer", 1, response=server.Response(410, b"moved <b>for good</b>")))
        config = root / "subscribers.json"

        def subscribe(path: str) -> None:
            entry = {"id": "cms", "url": f"{receiver.url}{path}", "secrets": [secret("cms")]}
            config.write_text(json.dumps({"version": 1, "subscribers": [entry]}))

        env = {
            "MPS_ENDPOINT": mps.url,
            "OUTPUT_URL": f"file://{root}/out",
            "SUBSCRIBERS_URL": config.as_uri(),
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
            "API_TOKENS": f"editor:read:{hash_of(READ)},operator:write:{hash_of(WRITE)}",
            "PUBLIC_URL": LINKS.public_url,
            "LINK_KEYS": f"k1:{base64.b64encode(LINKS.keys[0].secret).decode()}",
            "MEDIA_URL": "https://media.example.com/{jobId}?t={seconds}",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": ROLE.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ROLE.access_key_secret,
            "ALIBABA_CLOUD_SECURITY_TOKEN": ROLE.security_token,
        }
        subscribe("/old")
        relay(env).publish(JOBS[0].job_id, redeliver=False, refresh=False, request_id="1")
        subscribe("/new")
        later = relay(env | {"LOG_LEVEL": "ERROR"})
        for job in JOBS[1:]:
            later.publish(job.job_id, redeliver=False, refresh=False, request_id="1")
        for number, job in enumerate(JOBS):
            catalogue = Catalogue(later.store, lambda number=number: time.time() + number)
            listed = json.loads(later.stored(job.job_id, "manifest.json"))["artifacts"]
            catalogue.add(job.job_id, later.stored(job.job_id, "summary.json"), [each["name"] for each in listed])
        with serving(build(env)) as url:
            yield Library(url, env, receiver)


def options(look: Look) -> dict[str, Any]:
    language, width, scheme = look
    viewport = {"width": width, "height": 900}
    return {"offline": False, "locale": language, "viewport": viewport, "color_scheme": scheme}


def sign_in(page: Page, url: str, word: str, token: str = WRITE) -> None:
    page.goto(url)
    page.get_by_label("API").fill(token)
    browser.follow(page.get_by_role("button", name=word))


def inspect(page: Page, name: str, look: Look) -> None:
    """Hold that a page fits, that nothing of it runs, and that axe-core finds nothing; keep a picture."""
    language, width, scheme = look
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.scripts.length") == 0
    assert page.evaluate("document.documentElement.lang") == {"zh-CN": "zh-CN", "en-US": "en"}[language]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"pages-{name}-{language[:2]}-{width}-{scheme}.png", full_page=True)
    if AXE.exists():
        page.evaluate(AXE.read_text("utf-8"))
        assert (name, look, page.evaluate(FINDINGS)) == (name, look, [])


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_three_clicks_to_a_replayed_delivery_and_to_the_video_in_which_somebody_was_last_seen(
    chromium: Browser, tmp_path: Path, look: Look
) -> None:
    word = WORDS[look[0]]
    with library(tmp_path) as site, browser.watched(chromium, **options(look)) as seen:
        page = seen.page
        page.goto(site.url)
        inspect(page, "sign-in", look)
        sign_in(page, site.url, word["in"])  # one
        browser.follow(page.get_by_role("link", name=word["operations"]))  # two
        inspect(page, "operations", look)
        browser.follow(page.locator("main").get_by_role("button").first)  # three
        assert page.get_by_role("status").is_visible()
        assert page.locator("#dead .count").inner_text() == "0"
        site.sweep()
        assert site.ids_of("/old") == site.ids_of("/new")[-1:], "what was missed, under its own id"

        browser.follow(page.get_by_role("button", name=word["out"]))
        sign_in(page, site.url, word["in"], READ)  # one
        inspect(page, "library", look)
        page.get_by_label(word["person"], exact=True).fill(PERSON)
        browser.follow(page.get_by_role("button", name=word["search"]))  # two
        inspect(page, "search", look)
        browser.follow(page.get_by_role("link", name=word["report"]).first)  # three
        assert page.url == f"{site.url}/library/jobs/{JOBS[-1].job_id}/report.html", "the last in which it was seen"
        assert PERSON in page.inner_text("main")

        page.goto(f"{site.url}/library/jobs/{JOBS[0].job_id}")
        inspect(page, "job", look)
        with page.expect_download() as download:  # from the report, which is of an origin of its own
            page.goto(f"{site.url}/library/jobs/{JOBS[0].job_id}/report.html")
            page.get_by_role("link", name="subtitles.vtt").first.click()
        assert "WEBVTT" in download.value.path().read_text("utf-8")
        page.get_by_role("button", name=word["out"]).count()
        assert (seen.console, seen.errors) == ([], [])
        assert {address.startswith((site.url, "data:")) for address in seen.requests} == {True}


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
def test_the_narrowest_of_phones_scrolls_nothing_sideways(chromium: Browser, language: str) -> None:
    """Many times of one person, which lead nowhere without ``MEDIA_URL``, and all filters."""
    service, look = published(), (language, 320, "light")
    summary = json.loads(service.artifacts[DONE, "summary.json"])
    summary["persons"][0]["appearances"] = [[hour * 3_600_000, hour * 3_600_000] for hour in range(20)]
    service.artifacts[DONE, "summary.json"] = json.dumps(summary).encode()
    with serving(make_app(service)) as url, browser.watched(chromium, **options(look)) as seen:
        sign_in(seen.page, url, WORDS[language]["in"])
        for path in (f"/library/jobs/{DONE}", "/library?since=2026-11-01&until=2026-11-30", "/library/operations"):
            seen.page.goto(url + path)
            assert (path, seen.page.evaluate("document.documentElement.scrollWidth")) == (path, 320)


def test_long_reasons_break_no_time_and_no_audit_id(chromium: Browser) -> None:
    service = published()
    task = Task(TaskKind.ERASE, DONE, "pass-1", "", "r0123456789abcdef", 4_000_000_000_000, 4_000_000_000_000)
    waiting = (Waiting(task, ""), Waiting(replace(task, kind=TaskKind.PUBLISH, event=""), "MPS says no " * 40))
    service.stands = replace(service.stands, waiting=waiting, waiting_count=2)
    with serving(make_app(service)) as url, browser.watched(chromium, **options(WIDE)) as seen:
        sign_in(seen.page, url, WORDS[WIDE[0]]["in"])
        seen.page.goto(f"{url}/library/operations")
        lines = (
            """each => { const all = new Range(); all.selectNodeContents(each); return all.getClientRects().length }"""
        )
        cells = seen.page.locator("[aria-labelledby=waiting] tbody td:first-child, [aria-labelledby=waiting] code")
        assert [cell.evaluate(lines) for cell in cells.all()] == [1, 1, 1, 1]


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
def test_no_heading_of_the_endpoints_touches_the_next(chromium: Browser, language: str) -> None:
    service = published()
    service.stands = replace(
        service.stands, conditions=(Condition("cms", Health.FAILING, "", "status 500, and more " * 12, 3, 2),)
    )
    with serving(make_app(service)) as url, browser.watched(chromium, **options((language, 1280, "light"))) as seen:
        sign_in(seen.page, url, WORDS[language]["in"])
        seen.page.goto(f"{url}/library/operations")
        words = (
            """each => { const all = new Range(); all.selectNodeContents(each); return all.getBoundingClientRect() }"""
        )
        boxes = [each.evaluate(words) for each in seen.page.locator("[aria-labelledby=endpoints] thead th").all()]
        assert len(boxes) == 5
        assert all(after["left"] - before["right"] >= 12 for before, after in pairwise(boxes))


@pytest.mark.parametrize(("width", "told"), [(390, ['"Since "', '"Next try "', "none"]), (1280, ["none"] * 3)])
def test_a_phone_which_has_no_heads_of_columns_says_what_a_time_is(
    chromium: Browser, width: int, told: list[str]
) -> None:
    service = published()
    later = Task(TaskKind.PUBLISH, DONE, "pass-1", "", "0", 4_000_000_000_000, 4_000_000_000_000)
    waiting = (Waiting(later, ""), Waiting(replace(later, due=1), ""))
    since = (Condition("cms", Health.FAILING, "2026-11-18T11:06:40.000Z"),)
    service.stands = replace(service.stands, waiting=waiting, waiting_count=2, conditions=since)
    with serving(make_app(service)) as url, browser.watched(chromium, **options(("en-US", width, "dark"))) as seen:
        sign_in(seen.page, url, WORDS["en-US"]["in"])
        seen.page.goto(f"{url}/library/operations")
        cells = seen.page.locator(
            "[aria-labelledby=endpoints] td:nth-child(3), [aria-labelledby=waiting] td:first-child"
        )
        assert [each.evaluate("each => getComputedStyle(each, '::before').content") for each in cells.all()] == told


def test_the_session_of_a_browser_ends_with_signing_out_and_no_script_sees_it(
    chromium: Browser, tmp_path: Path
) -> None:
    with library(tmp_path) as site, browser.watched(chromium, **options(WIDE)) as seen:
        page = seen.page
        sign_in(page, f"{site.url}/library/jobs/{JOBS[0].job_id}", "登录")
        assert page.url == f"{site.url}/library/jobs/{JOBS[0].job_id}", "where one was going"
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (
            *("__Host-smarttag", True, True),
            "Lax",
        )
        assert 0 < cookie["expires"] - time.time() - 8 * 3600 + 60 < 120
        assert page.evaluate("document.cookie") == ""
        browser.follow(page.get_by_role("button", name="重新投递").first)
        assert page.get_by_role("status").is_visible()
        browser.follow(page.get_by_role("button", name="退出"))
        assert page.context.cookies() == []
        page.goto(f"{site.url}/library")
        assert page.url == f"{site.url}/"
        page.go_back()
        assert page.locator("header.bar").count() == 0, "nothing was kept to go back to"


def test_a_form_on_another_site_does_nothing(chromium: Browser, tmp_path: Path) -> None:
    """The other site is another port of this machine, to which even SameSite cookies are sent."""
    with library(tmp_path) as site, browser.watched(chromium, **options(WIDE)) as seen:
        letters = sorted((tmp_path / "out" / "dead").rglob("*.json"))
        name = letters[0].relative_to(tmp_path / "out" / "dead").with_suffix("").as_posix()
        action = f"{site.url}/library/operations/replay"
        form = f'<form method="post" action="{action}"><input name="name" value="{name}"><button>x</button></form>'

        @Request.application
        def evil(_request: Request) -> Response:
            return Response(form, content_type="text/html")

        sign_in(seen.page, site.url, "登录")
        with serving(evil) as elsewhere:
            seen.page.goto(elsewhere)
            with seen.page.expect_response(action) as answer:
                browser.follow(seen.page.get_by_role("button"))
        assert "__Host-smarttag" in answer.value.request.all_headers()["cookie"], "the session came along"
        assert (answer.value.status, sorted((tmp_path / "out" / "dead").rglob("*.json"))) == (403, letters)
        assert "没有执行" in seen.page.inner_text("main")
        assert not list((tmp_path / "out" / "outbox").rglob("delivery~*~r*"))


@pytest.mark.needs("java", "node")
@pytest.mark.skipif(not os.environ.get("SOAK"), reason="starts a Java machine: runs under make soak")
def test_the_nu_html_checker_finds_nothing(tmp_path: Path) -> None:
    """Not a finding, but for what hidden fields carry back as it came."""
    for name, service in (("hostile", hostile_service()), ("plain", published())):
        client = Client(make_app(service, media_url="https://media.example.com/{jobId}?t={seconds}"))
        client.post("/", data={"token": WRITE}, headers={"Origin": "http://localhost"})
        paths = ("/library?alert=any", "/library/operations?replayed=2", f"/library/jobs/{DONE}", "/library/jobs/x")
        for number, path in enumerate(paths):
            (tmp_path / f"{name}-{number}.html").write_text(client.get(path).text, "utf-8")
    checker = str(needs.NODE_FOLDER / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar")
    command = ["java", "-Xss4m", "-jar", checker, "--stdout", "--format", "json", *map(str, tmp_path.glob("*.html"))]
    found = json.loads(subprocess.run(command, capture_output=True, check=False, timeout=300).stdout)["messages"]
    said = {f"{each['url'].rpartition('/')[2]} {each['message']}" for each in found}
    assert {line for line in said if "U+0000" not in line and "U+001b" not in line} == set()


def test_hostile_text_does_nothing_on_any_page(chromium: Browser) -> None:
    app = make_app(hostile_service(), media_url="https://media.example.com/{userData}?{jobId}&t={seconds}")
    with serving(app) as url, browser.watched(chromium, **options(PHONE)) as seen:
        page, dialogs = seen.page, list[str]()
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        sign_in(page, url, WORDS[PHONE[0]]["in"])
        text, odd = page.inner_text, "?" + "&".join(f"person={part}" for part in ("%3Cscript%3E", "%22%3E%3Csvg%3E"))
        for path in ("/library", f"/library{odd}", "/library/operations", f"/library/jobs/{DONE}"):
            page.goto(url + path)
            assert (
                page.evaluate("document.querySelectorAll('script, iframe, object, base, img, svg, math').length") == 0
            )
            addresses = page.evaluate("[...document.querySelectorAll('[href]')].map(each => each.href)")
            allowed = (url, "data:,", "https://media.example.com/")
            assert [address for address in addresses if not address.startswith(allowed)] == []
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            for box in page.locator("a, button, input, summary").all()[:60]:
                box.dispatch_event("mouseover")
                box.dispatch_event("focus")
            if path != f"/library{odd}":
                shown = text("body")
                assert sum(hostile in shown for hostile in CORPUS) >= 8, "it is shown as the text that it is"
                assert page.evaluate("document.documentElement.scrollWidth") == PHONE[1]
        assert (dialogs, seen.console, seen.errors) == ([], [], [])
        assert {address.startswith((url, "data:")) for address in seen.requests} == {True}
