"""Pages as the server sends them: who gets one, what a form may do, and what stands on them."""

from __future__ import annotations

import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import Client, TestResponse

from local import recorded
from local.packaging.package import TEMPLATES
from shared import logs
from shared.catalogue.row import make_row
from shared.http.pages import COOKIE, PAGES, words
from shared.links import SESSION_SECONDS
from shared.outbox.dead_letters import Letter
from shared.outbox.outcome import State
from shared.outbox.records import AttemptKind
from shared.outbox.task import TaskKind
from shared.smarttag import summarise
from shared.smarttag.report import view
from shared.templates import compile_in
from shared.webhooks.operations import Health
from tests.http.fakes import DONE, PUSH, READ, RUNNING, SESSIONS, TOKENS, WRITE, FakeService, make_app, published
from tests.http.hostile import hostile_service

ROOT = Path(__file__).parents[2]
HOME = {"Origin": "http://localhost"}
SESSION_PAGES = ["/library", "/library/operations", f"/library/jobs/{DONE}", f"/library/jobs/{DONE}/report.html"]
OPERATIONS = "/library/operations"
POSTS = ["/", "/sign-out", f"/library/jobs/{DONE}/redeliver", "/library/operations/replay"]


class Tags(HTMLParser):
    """Gathers the tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)


def signed_in(token: str = READ, service: FakeService | None = None) -> Client:
    client = Client(make_app(service or published()))
    answer = client.post("/", data={"token": token}, headers=HOME)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/library")
    return client


def session_of(answer: TestResponse) -> str:
    return answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]


def test_a_session_is_a_cookie_that_no_script_and_no_other_site_gets() -> None:
    answer = Client(make_app(FakeService())).post("/", data={"token": READ}, headers=HOME)
    name, _, rest = answer.headers["Set-Cookie"].partition("=")
    assert (name, answer.headers["Location"]) == ("__Host-smarttag", "/library")
    assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/", f"Max-Age={SESSION_SECONDS}"} <= set(rest.split("; "))
    assert "Domain" not in rest
    assert READ not in rest


@pytest.mark.parametrize("token", [PUSH, "", "str_nothing", READ[:-1], f"Bearer {READ}", "é" * 300, "\x00"])
def test_what_is_no_token_for_people_is_told_so(token: str) -> None:
    answer = Client(make_app(FakeService())).post("/", data={"token": token, "to": "/library"}, headers=HOME)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert 'role="alert"' in answer.text
    assert not token or token not in answer.text


@pytest.mark.parametrize("path", SESSION_PAGES)
def test_without_a_session_there_is_no_page(path: str) -> None:
    client = Client(make_app(published()))
    for cookie in (None, "x", SESSIONS.make(replace(TOKENS[0], sha256="0" * 64)), READ):
        if cookie:
            client.set_cookie(COOKIE, cookie, domain="localhost", secure=True)
        answer = client.get(path, headers={"Authorization": f"Bearer {READ}"})
        expected = "/" if path == "/library" else f"/?to={quote(path, safe='/')}"
        assert (answer.status_code, answer.headers["Location"], answer.data) == (303, expected, b"")


def test_one_comes_back_to_where_one_was_going_and_nowhere_else() -> None:
    client = Client(make_app(published()))
    asked = "/library?person=%E5%88%98%E5%BE%B7%E5%8D%8E&alert=any"
    sent = client.get(asked).headers["Location"]
    form = client.get(sent)
    assert "person=%E5%88%98" in form.text
    assert client.post("/", data={"token": READ, "to": asked}, headers=HOME).headers["Location"] == asked
    for elsewhere in (
        "https://evil.example",
        "//evil.example",
        "/library\\evil",
        "/libraryx",
        "/sign-out",
        "/library\n",
    ):
        answer = client.post("/", data={"token": READ, "to": elsewhere}, headers=HOME)
        assert answer.headers["Location"] == "/library"
    assert client.get("/").headers["Location"] == "/library", "who is signed in is let through"


def test_signing_out_forgets_the_session() -> None:
    client = signed_in()
    assert client.get("/library").status_code == 200
    answer = client.post("/sign-out", headers=HOME)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert client.get("/library").status_code == 303


def test_a_session_ends_when_its_token_is_withdrawn_and_may_what_it_may_now() -> None:
    cookie = session_of(Client(make_app(FakeService())).post("/", data={"token": WRITE}, headers=HOME))
    lesser = (replace(TOKENS[1], scope="read"),)
    for tokens, page, act in ((TOKENS, 200, 303), (lesser, 200, 403), (TOKENS[:1], 303, 303)):
        app = make_app(hostile_service(), tokens=tokens, sessions=replace(SESSIONS, tokens=tokens))
        client = Client(app)
        client.set_cookie(COOKIE, cookie, domain="localhost", secure=True)
        assert client.get("/library/operations").status_code == page
        answer = client.post("/library/operations/replay", data={"name": "x"}, headers=HOME)
        assert answer.status_code == act
        assert answer.headers.get("Location", "").startswith("/library/operations") is (tokens is TOKENS)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost:81",
        "localhost",
        "http://[",
    ],
)
def test_a_form_of_another_origin_does_nothing(path: str, origin: str | None) -> None:
    service = hostile_service()
    client = signed_in(WRITE, service)
    form = {"token": READ, "subscriber": "cms", "name": service.stands.letters[0].name}
    answer = client.post(path, data=form, headers={} if origin is None else {"Origin": origin})
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert (service.replayed, service.redelivery_ids) == ([], [])
    assert client.get("/library").status_code == 200, "nobody was signed out"


def test_behind_a_proxy_the_origin_may_be_that_of_public_url() -> None:
    client = Client(make_app(FakeService()))
    assert client.post("/", data={"token": READ}, headers={"Origin": "https://videos.example.com"}).status_code == 303
    assert client.post("/", data={"token": READ}, headers={"Origin": "http://videos.example.com"}).status_code == 403


def test_to_act_one_needs_a_token_that_may_write() -> None:
    service = hostile_service()
    client = signed_in(READ, service)
    for path in POSTS[2:]:
        answer = client.post(path, data={"subscriber": "cms", "name": service.stands.letters[0].name}, headers=HOME)
        assert answer.status_code == 403
        assert "write" in answer.text
    assert "<button" not in re.sub(
        r"<header class=\"bar\">.*?</header>", "", client.get("/library/operations").text, flags=re.DOTALL
    )
    assert service.replayed == []


def test_every_page_forbids_scripts_frames_caches_and_referrers() -> None:
    client = signed_in(WRITE, hostile_service())
    pages = ["/library", "/library/operations", f"/library/jobs/{DONE}", f"/library/jobs/{RUNNING}"]
    for answer in [Client(make_app(FakeService())).get("/"), *map(client.get, pages)]:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert {"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert "ETag" not in answer.headers
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert {"Cookie", "Accept-Language"} <= set(answer.vary)
        reader = Tags()
        reader.feed(answer.text)
        assert reader.names.isdisjoint({"script", "iframe", "object", "embed", "base", "svg", "img"})
        assert not [name for name in reader.attributes if name.startswith("on") or name in {"style", "srcdoc"}]


@pytest.mark.parametrize(
    ("wish", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("zh", "zh-CN"),
        ("zh-TW, en;q=0.5", "zh-CN"),
        ("en-US,zh;q=0.5", "en"),
        ("fr", "en"),
        ("", "en"),
        ("fr, zh;q=0.3", "zh-CN"),
        ("*", "en"),
    ],
)
def test_the_language_is_the_readers(wish: str, language: str) -> None:
    answer = Client(make_app(FakeService())).get("/", headers={"Accept-Language": wish})
    assert (answer.headers["Content-Language"], f'<html lang="{language}">' in answer.text) == (language, True)
    assert ("登录" in answer.text) is (language == "zh-CN")


def test_a_refusal_is_a_page_for_people_and_a_problem_for_programs() -> None:
    client = signed_in()
    page = client.get(f"/library/jobs/{RUNNING}", headers={"Accept": "text/html", "Accept-Language": "zh"})
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "尚未发布" in page.text
    assert page.headers["X-Request-Id"] in page.text
    program = client.get(f"/library/jobs/{RUNNING}", headers={"Accept": "application/json"})
    assert (program.status_code, program.mimetype) == (404, "application/problem+json")
    assert client.get("/library?cursor=x&person=" + "x" * 300).status_code == 400


def test_without_keys_there_are_no_pages_and_it_says_why() -> None:
    for path in ("/", "/library"):
        answer = Client(make_app(FakeService(), sessions=None)).get(path)
        assert (answer.status_code, "LINK_KEYS" in answer.text) == (404, True)


def test_the_library_pages_through_what_was_asked_for() -> None:
    client = signed_in()
    seen, path = [], "/library?status=Success"
    for _ in range(5):
        page = client.get(path, headers={"Accept-Language": "zh"}).text
        seen += re.findall(r'<h2><a href="/library/jobs/(job-\d+)">', page)
        following = re.search(r'class="button" href="(/library\?[^"]+)"', page)
        if following is None:
            break
        path = following[1].replace("&amp;", "&")
        assert "status=Success" in path
        assert "已查到" in page
    assert seen == [f"job-{number}" for number in range(70)]
    assert "已查完" in page


def test_behind_the_last_page_there_are_no_older_jobs() -> None:
    client = signed_in()
    assert "There are no older jobs." in client.get("/library?cursor=70").text
    assert "Nothing matches." in client.get("/library?cursor=70&status=Success").text


def test_days_are_the_readers_days() -> None:
    service = published()
    client = signed_in(READ, service)
    for language in ("zh", "en"):
        query = "/library?since=2026-11-26&until=2026-11-26"
        assert client.get(query, headers={"Accept-Language": language}).status_code == 200
    (since, until), (since_utc, until_utc) = [(each.since, each.until) for each in service.asked]
    assert (since_utc, until_utc) == (1_795_651_200_000, 1_795_737_600_000)
    assert (since, until) == (since_utc - 8 * 3_600_000, until_utc - 8 * 3_600_000)
    refused = client.get("/library?since=yesterday")
    assert refused.status_code == 400
    assert "since must be a date such as 2026-11-26" in refused.text


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "0999-12-31", "2026-1-5"])
def test_no_day_is_too_odd_to_be_asked_for(language: str, day: str) -> None:
    client = signed_in()
    for name in ("since", "until"):
        assert client.get(f"/library?{name}={day}", headers={"Accept-Language": language}).status_code == 200


def test_a_job_is_shown_with_its_times_files_and_links() -> None:
    service = published()
    app = make_app(service, media_url="https://media.example.com/{jobId}?u={userData}&t={seconds}")
    client = Client(app)
    client.post("/", data={"token": READ}, headers=HOME)
    page = client.get(f"/library/jobs/{DONE}").text
    seek = re.findall(rf'href="(https://media\.example\.com/{DONE}\?[^"]+)"', page)
    assert seek
    assert all(re.fullmatch(r".*\?u=[\w%.~-]*&amp;t=[0-9.]+", url) for url in seek)
    links = re.findall(r'readonly value="https://videos\.example\.com(/s/[^"]+)"', page)
    assert [link.rpartition("/")[2] for link in links] == ["report.html", "subtitles.vtt"], "never response.json"
    assert all(client.get(link).status_code == 200 for link in links)
    for name in ("report.html", "response.json"):
        through = client.get(f"/library/jobs/{DONE}/{name}")
        assert (through.status_code, through.data) == (200, service.artifacts[DONE, name])
    assert client.get(f"/library/jobs/{DONE}/nothing").status_code == 404
    assert "sandbox" in client.get(f"/library/jobs/{DONE}/report.html").headers["Content-Security-Policy"]


def test_whoever_was_seen_leads_to_the_other_jobs_with_them() -> None:
    client = signed_in()
    page = client.get(f"/library/jobs/{DONE}").text
    people, tags = (re.findall(rf'href="(/library\?{name}=[^"]+)"', page) for name in ("person", "tag"))
    assert f"/library?person={quote('示例主持人')}" in people
    assert not [link for link in people if quote("未知人脸") in link], "of another job it is another face"
    assert tags
    assert all(client.get(html.unescape(link)).status_code == 200 for link in (*people, *tags))
    service = published()
    for query, hint in (("person=x", True), ("tag=x", True), ("text=x", False)):
        page = signed_in(READ, service).get(f"/library?{query}", headers={"Accept-Language": "en"}).text
        assert ("Person and tag take whole names" in page) is hint


@pytest.mark.parametrize(
    ("source", "zh", "en"),
    [("maxTo", "视频，至少 59 秒", "video, at least 59 s"), ("inferred", "视频，1 分钟", "video, 1 min")],
)
def test_a_length_that_is_only_the_last_moment_seen_is_told_as_the_report_tells_it(
    source: str, zh: str, en: str
) -> None:
    service = published()
    summary = json.loads(service.artifacts[DONE, "summary.json"])
    summary["media"] |= {"durationMs": 59_700, "durationSource": source}
    service.artifacts[DONE, "summary.json"] = json.dumps(summary).encode()
    client = signed_in(READ, service)
    for language, told in (("zh", zh), ("en", en)):
        page = client.get(f"/library/jobs/{DONE}", headers={"Accept-Language": language}).text
        assert f"<span>{told}</span>" in page


def test_a_job_without_a_title_is_called_as_its_report_is() -> None:
    for count in (3, 4):
        summary = summarise(recorded.jobs()["rich"].response, DONE)
        people = tuple(replace(summary.persons[0], name=name, category="celebrity") for name in "甲乙丙丁"[:count])
        summary = replace(summary, title=None, userData="", persons=people)
        told = words.headline(make_row(json.loads(summary.to_json()), 0, 0, ()))
        assert told == view.headline(summary) == "甲、乙、丙" + " 等" * (count > 3)


def test_a_name_that_cannot_be_asked_for_leads_nowhere() -> None:
    service = published()
    summary = json.loads(service.artifacts[DONE, "summary.json"])
    for name, each in zip(("名" * 201, "two\nlines", "\u200b", "名" * 200), summary["persons"], strict=False):
        each |= {"name": name, "category": "celebrity"}
    service.artifacts[DONE, "summary.json"] = json.dumps(summary).encode()
    client = signed_in(READ, service)
    links = re.findall(r'href="(/library\?person=[^"]+)"', client.get(f"/library/jobs/{DONE}").text)
    assert f"/library?person={quote('名' * 200)}" in links
    assert {client.get(html.unescape(link)).status_code for link in links} == {200}


@pytest.mark.parametrize("category", ["celebrity,politician", "celebrity，政治人物", "celebrity; Politician"])
def test_every_category_of_a_person_is_told_and_those_to_be_reviewed_are_marked(category: str) -> None:
    service = published()
    summary = json.loads(service.artifacts[DONE, "summary.json"])
    summary["persons"] = [summary["persons"][0] | {"category": category}]
    service.artifacts[DONE, "summary.json"] = json.dumps(summary).encode()
    page = signed_in(READ, service).get(f"/library/jobs/{DONE}", headers={"Accept-Language": "en"}).text
    row = page[page.index('<ul class="seen">') : page.index("</ul>", page.index('<ul class="seen">'))]
    assert re.findall('class="badge ([a-z]*)">([^<]+)<', row) == [("alert", "politician"), ("", "celebrity")]


def test_sending_again_is_done_once_for_each_page_that_was_shown() -> None:
    service = published()
    client = signed_in(WRITE, service)
    path = f"/library/jobs/{DONE}"
    key = re.search(r'name="key" value="([0-9a-f]{32})"', client.get(path).text)
    assert key is not None
    for _ in range(2):
        answer = client.post(f"{path}/redeliver", data={"subscriber": "cms", "key": key[1]}, headers=HOME)
        assert answer.headers["Location"] == f"{path}?sent=cms#deliveries"
    assert service.redelivery_ids == [f"writer/{key[1]}"] * 2
    assert 'role="status"' in client.get(f"{path}?sent=cms").text
    assert 'role="status"' not in client.get(f"{path}?sent=somebody").text
    for wrong in ("", "../x", "é", "x" * 65):
        assert client.post(f"{path}/redeliver", data={"subscriber": wrong}, headers=HOME).status_code == 404


def test_of_a_message_that_nobody_understands_it_says_how_to_read_it() -> None:
    service = published()
    poison = Letter("notifications/0123abc", {"reason": "no JSON", "deadAt": "2026-11-26T08:00:00.000Z"})
    service.stands = replace(service.stands, letters=(poison,))
    assert "<code>smarttag dead show notifications/0123abc</code>" in signed_in(READ, service).get(OPERATIONS).text


def test_that_sweeps_have_stopped_is_said_of_what_they_would_have_done() -> None:
    service = published()
    client = signed_in(READ, service)
    for due, said in ((None, False), (1, True), (int(time.time() * 1000), False)):
        service.stands = replace(service.stands, due=due)
        assert ("Sweeps seem to have stopped" in client.get(OPERATIONS).text) is said


def test_replay_does_what_can_be_done_and_counts() -> None:
    service = hostile_service()
    client = signed_in(WRITE, service)
    page = client.get("/library/operations").text
    names = [html.unescape(name) for name in re.findall(r'name="name" value="(deliveries/[^"]+)"', page)]
    assert names
    answer = client.post("/library/operations/replay", data={"name": [names[0], names[0], "gone"]}, headers=HOME)
    assert answer.headers["Location"] == "/library/operations?replayed=1&failed=1"
    assert service.replayed == [names[0]]
    said = client.get("/library/operations?replayed=1&failed=1", headers={"Accept-Language": "zh"}).text
    assert "已将 1 条死信重新排队" in said
    for odd in ("replayed=-1", "replayed=<b>", "replayed=99999", "replayed=٣"):
        assert 'role="status"' not in client.get(f"/library/operations?{odd}").text


READERS = make_app(published())


@settings(max_examples=400 if os.environ.get("SOAK") else 30)
@given(st.sampled_from(["/", "/library", "/library/operations", f"/library/jobs/{DONE}"]), st.data())
def test_no_query_and_no_cookie_breaks_a_page(path: str, data: st.DataObject) -> None:
    client = Client(READERS)
    if data.draw(st.booleans()):
        client.set_cookie(COOKIE, SESSIONS.make(TOKENS[1]), domain="localhost", secure=True)
    names = st.sampled_from(["person", "text", "userData", "cursor", "since", "status", "sent", "replayed", "to", "x"])
    query = data.draw(
        st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=3)
    )
    query.pop("cursor", None)
    headers = {"Accept-Language": data.draw(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20))}
    answer = client.get(path, query_string=query, headers=headers)
    assert answer.status_code in {200, 303, 400}
    assert answer.status_code == 303 or answer.text.startswith("<!doctype html>")


def test_no_log_line_holds_a_token_or_a_session() -> None:
    stream = io.StringIO()
    logs.set_up("DEBUG", stream)
    client = signed_in(WRITE, hostile_service())
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    for path in (
        *SESSION_PAGES,
        f"/?to=/library/{cookie.value}",
        f"/library/jobs/{cookie.value}",
        f"/library/jobs/x/{WRITE}",
    ):
        client.get(path, headers={"Referer": f"https://a/{cookie.value}"})
    for path in POSTS:
        client.post(path, data={"token": WRITE, "name": cookie.value, "subscriber": cookie.value}, headers=HOME)
    lines = [json.loads(line) for line in stream.getvalue().split("\n") if line]
    assert {"writer"} <= {line.get("caller") for line in lines}
    assert cookie.value.split(".")[2][:8] not in stream.getvalue()
    assert WRITE not in stream.getvalue().replace(f'"artifact":"{WRITE}"', ""), "but in a path, where nothing puts it"


def test_whatever_a_task_may_be_and_come_to_has_a_word_in_both_languages() -> None:
    for known, names in ((TaskKind, words.TASKS), (State, words.SWEPT), (AttemptKind, words.ATTEMPTS)):
        assert {each.value for each in known} <= names.keys()
    assert {each.value for each in Health} == words.HEALTH.keys()


def test_every_page_is_in_the_documentation() -> None:
    text = Path("docs/pages.md").read_text("utf-8")
    assert [route.path for route in PAGES if f"`{route.path}" not in text and route.method == "GET"] == []


def test_the_packaged_pages_are_compiled_beforehand(tmp_path: Path) -> None:
    """A copy without template sources answers the same pages: nothing is left to parse at a cold start."""
    shutil.copytree(ROOT / "shared", tmp_path / "shared", ignore=shutil.ignore_patterns("__pycache__"))
    for room, filters in TEMPLATES.items():
        compile_in(tmp_path / room, filters)
    for source in (*tmp_path.rglob("*.j2"), *tmp_path.rglob("*.css")):
        source.unlink()
    program = (
        "import sys; sys.path.insert(0, '.')\n"
        "from werkzeug.test import Client\n"
        "from shared.http.app import App\n"
        "from shared.http.routes import Dependencies\n"
        "from shared.http.tokens import TokenAuth\n"
        "from shared.links import Sessions\n"
        "app = App(Dependencies(None, TokenAuth((), 'token'), sessions=Sessions((), ())))\n"
        "sys.stderr.write(Client(app).get('/').text)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
    assert done.stderr.decode().endswith(Client(make_app(FakeService())).get("/").text)
