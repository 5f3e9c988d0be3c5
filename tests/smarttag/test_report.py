"""The report as text: what it says, what it never lets in, and how large it may grow."""

from __future__ import annotations

import dataclasses
import html
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.recorded import RecordedJob, jobs
from shared.smarttag import analyse, summarise
from shared.smarttag.model import Alert, Analysis, Link, Segment, Summary, TextTag, Transcript, TypeState
from shared.smarttag.report import FILTERS, MAX_BYTES, geometry, labels, render, times, view
from shared.smarttag.report.bounds import fair, visible
from shared.templates import compile_in
from tests.smarttag import report_samples as samples

ROOT = Path(__file__).parents[2]
RECORDED = jobs()
ANY_TEXT = st.text(st.characters(), min_size=1, max_size=300)
# Hypothesis also tries the words of the code itself; these are no names but say what somebody or something is.
KEYS = {*labels.CATEGORIES, *labels.ALERTS, *labels.CONCEPTS, *labels.SCENES}
WORDS = KEYS | {label.zh for label in labels.CATEGORIES.values()} | {"http://", "https://"}
ANY_NAME = ANY_TEXT.filter(lambda text: text.strip() and not any(word in text for word in WORDS))


class Page(HTMLParser):
    """What a parser sees: every element with its attributes, and the text by itself."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.parts: list[str] = []
        self.feed(html.decode())
        self.close()
        self.text = "".join(self.parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def attributes(self, tag: str, name: str) -> list[str]:
        return [value or "" for seen, attrs in self.elements if seen == tag for key, value in attrs if key == name]


def changed(analysis: Analysis, **fields: object) -> Analysis:
    return dataclasses.replace(analysis, summary=dataclasses.replace(analysis.summary, **fields))  # type: ignore[arg-type]  # any field


# Escaping


@settings(max_examples=60, deadline=None)
@given(ANY_NAME)
def test_a_name_is_text_wherever_it_stands(name: str) -> None:
    """The same job with a plain name of that length has exactly the same elements and attributes."""
    same_length = "x" * len(visible(name, 2000))
    hostile, plain = (Page(render(samples.small(text), ("summary.json",))) for text in (name, same_length))
    assert hostile.elements == plain.elements
    assert hostile.text.count(visible(name, 240)) >= 20


@pytest.mark.parametrize("name", samples.HOSTILE)
def test_known_tricks_are_text(name: str) -> None:
    hostile, plain = (Page(render(samples.small(text))) for text in (name, "x" * len(visible(name, 2000))))
    assert hostile.elements == plain.elements
    assert visible(name, 240) in hostile.text


@given(ANY_TEXT)
def test_a_shown_text_can_stand_in_html_and_be_seen(text: str) -> None:
    shown = visible(text, 100)
    assert shown.strip()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", shown)
    assert len(shown) <= max(101, 8 * len("U+10FFFF "))


def test_invisible_names_are_spelt_out() -> None:
    assert visible("\u200b\u2060", 240) == "U+200B U+2060"
    assert visible("\u2066\u2069", 240) == "U+2066 U+2069"
    assert visible("\U0001fae8", 240) == "\U0001fae8", "a sign that Python 3.10 does not know, and 3.12 does"
    assert visible("", 240) == "—"


def test_only_web_addresses_become_links() -> None:
    urls = (
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "oss://bucket/key",
        "https://a.example/b c",
        "ftp://a.example",
        " https://a.example",
    )
    page = Page(
        render(
            changed(
                samples.small(),
                links=tuple(
                    Link("Process", "file", url) for url in (*urls, "https://a.example/?a=1&b=2", "HTTP://a.example/x")
                ),
            )
        )
    )
    outside = [href for href in page.attributes("a", "href") if not href.startswith("#")]
    assert outside == ["https://a.example/?a=1&b=2", "HTTP://a.example/x"]
    assert [rel.split() for rel in page.attributes("a", "rel")] == [["noreferrer", "noopener"]] * 2
    assert all(url in page.text for url in urls)


def test_nothing_is_loaded_and_nothing_runs() -> None:
    page = Page(render(samples.small(), ("summary.json", "subtitles.vtt", "report.html")))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "form", "base", "video", "audio", "source"}
    policy = page.attributes("meta", "content")[0].split("; ")
    assert policy == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert page.attributes("link", "href") == ["data:,"]
    assert [a for _, attrs in page.elements for a, _ in attrs if a.startswith("on")] == []
    assert page.attributes("html", "lang") == ["zh-CN"]
    assert [href for href in page.attributes("a", "href") if href.startswith("./")] == [
        "./summary.json",
        "./subtitles.vtt",
    ]
    targets = {href[1:] for href in page.attributes("a", "href") if href.startswith("#")}
    assert targets <= {value for _, attrs in page.elements for key, value in attrs if key == "id"}


# What it says


def test_the_documented_job() -> None:
    documented = RECORDED["documented"]
    page = Page(render(analyse(documented.response, documented.job_id)))
    text = " ".join(page.text.split())
    assert "一段约 48 秒的视频。识别出 2 位人物，另有 8 张未知人脸。归类为资讯／社会资讯。" in text
    for said in (
        "12.12 s 25.2% 5×",
        "4.52 s 9.4% 2×",
        "公寓 场景",
        "2.24 s 4.7% 1×",
        "▲ 政治人物 politician",
        "0.688",
        "先进性",
    ):
        assert said in text
    assert "作业未返回语音识别结果（ASR）" in text


@pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
def test_every_recorded_job_has_a_small_page(recorded: RecordedJob) -> None:
    analysis = analyse(recorded.response, recorded.job_id)
    html = render(analysis)
    assert visible(view.headline(analysis.summary), 240) in Page(html).text
    assert len(html) <= MAX_BYTES


@pytest.mark.parametrize(
    ("analysis", "said"),
    [
        (
            samples.bare("Fail", message="InvalidFile"),
            "分析失败，没有可用结果。 The analysis failed; there is no usable result.InvalidFile",
        ),
        (samples.bare("Processing"), "作业尚未完成，本页只是此刻的快照。"),
        (samples.bare("Submitted"), "作业尚未完成，本页只是此刻的快照。"),
        (samples.bare("Success"), "作业已完成，但没有返回任何结果。"),
        (samples.bare("Melted"), "Melted"),
        (samples.image(), "一张图片。识别出 2 位人物。"),
        (changed(samples.bare(), types={"OCR": TypeState(1, "invalid")}), "部分结果分析失败或无法读取：OCR。"),
        (changed(samples.bare(), types={"OCR": TypeState(1, "invalid")}), "文字识别（OCR）没有可用结果。"),
        (changed(samples.bare(), types={"ASR": TypeState(1, "invalid")}), "语音识别（ASR）没有可用结果。"),
        (changed(samples.bare(), types={"ASR": TypeState(1, "failed")}), "语音识别（ASR）没有可用结果。"),
        (changed(samples.bare(), types={"VideoLabel": TypeState(1, "empty")}), "画面已分析，没有可显示的人物或标签。"),
        (changed(samples.bare("Fail"), types={"OCR": TypeState(1, "ok")}), "分析失败，以下结果可能不完整。"),
        (samples.small(), "万立骏"),
    ],
)
def test_each_state_is_said_plainly(analysis: Analysis, said: str) -> None:
    assert said in " ".join(Page(render(analysis)).text.split())


@pytest.mark.parametrize("name", ["rich", "asr", "ocr"])
def test_what_a_failed_job_heard_and_read_is_shown_and_every_link_into_the_page_leads_somewhere(name: str) -> None:
    response = orjson.loads(RECORDED[name].response) | {"JobStatus": "Fail"}
    analysis = analyse(orjson.dumps(response), "job-7")
    page = Page(render(analysis))
    anchors = {value for _, attrs in page.elements for key, value in attrs if key == "id"}
    assert {link[1:] for link in page.attributes("a", "href") if link.startswith("#")} <= anchors
    assert (analysis.summary.status, "words" in anchors) == ("Fail", True)
    said = [segment.text for segment in analysis.segments or ()]
    said += [item.text for item in analysis.summary.screenText.items] if analysis.summary.screenText else []
    assert said
    assert all(text in page.text for text in said)


def test_no_speech_recognised_is_not_the_same_as_none_asked_for() -> None:
    silent = Analysis(changed(samples.small(), transcript=Transcript(0, 0, 0, "")).summary, (), ())
    absent = Analysis(changed(samples.small(), transcript=None).summary, None, ())
    assert "未识别到语音内容。 No speech was recognised." in Page(render(silent)).text
    assert "作业未返回语音识别结果（ASR）" in Page(render(absent)).text


def test_what_could_not_be_read_is_not_called_absent() -> None:
    for state in ("invalid", "failed"):
        page = render(changed(samples.bare(), types={"VideoLabel": TypeState(1, state)})).decode()
        assert "No people found" not in page
        assert page.count(">没有可用结果") == 2  # people and tags


def test_nobody_is_said_to_be_missing_whom_a_concept_names() -> None:
    star = samples.concept("entity", ("人物", "名人"), "张三", ((1_000, 5_000),))
    for types in (
        {"CPVLabel": TypeState(1, "ok")},
        {"CPVLabel": TypeState(1, "ok"), "VideoLabel": TypeState(1, "empty")},
    ):
        page = render(changed(samples.bare(), types=types, concepts=(star,))).decode()
        assert "No people found" not in page
        assert "未检测到人物" not in page
    page = render(changed(samples.bare(), types={"VideoLabel": TypeState(1, "empty")})).decode()
    assert "No people found" in page


def test_all_that_nlp_says_is_shown() -> None:
    one, nlp = RECORDED["nlp"], summarise(RECORDED["nlp"].response).nlp
    text = Page(render(analyse(one.response, one.job_id))).text
    assert nlp is not None
    said = [nlp.summary, *nlp.keywords, *nlp.keySentences, *nlp.actions, *nlp.topics, *nlp.translation.split("\n")]
    assert all(each in text for each in [*said, "欢迎收看本期节目。"])


def test_speech_that_is_not_shown_is_where_the_page_says() -> None:
    many = tuple(Segment(second * 1000, second * 1000 + 900, f"第{second}句") for second in range(3000))
    spoken = Analysis(changed(samples.small(), transcript=Transcript(3000, 9000, 2_700_000, "")).summary, many, ())
    assert "另有 500 句语音未显示，完整数据见 transcript.txt。" in Page(render(spoken)).text


def test_an_alert_tells_the_times_of_its_own_kind() -> None:
    both = [
        samples.person("甲", ((at, at + 500),), category)
        for at, category in ((1_000, "sensitive"), (5_000, "politician"))
    ]
    found = samples.concept("entity", ("人脸", "敏感人物"), "乙", ((7_000, 9_000),))
    kinds = [("politician", "甲"), ("sensitive-person", "甲"), ("sensitive-person", "乙")]
    alerts = tuple(Alert(kind, name, "") for kind, name in kinds)
    page = render(changed(samples.bare(), persons=tuple(both), concepts=(found,), alerts=alerts)).decode()
    assert re.findall("首次 ([0-9:.]+)，", page) == ["0:01.00", "0:07.00", "0:05.00"]


def test_an_image_shows_scores_and_boxes_and_no_axis() -> None:
    page = Page(render(samples.image()))
    text = " ".join(page.text.split())
    assert "万立骏 ▲ 政治人物 politician 0.958 近景 medium close-up(455, 51) – (1117, 389)" in text
    assert not page.attributes("path", "d")
    assert "0:00" not in text


def test_rows_are_headers_of_a_real_table_and_alerts_carry_words() -> None:
    page = Page(render(samples.small()))
    assert page.attributes("th", "scope").count("row") >= 5
    assert "▲ 政治人物" in page.text
    assert all("style" not in dict(attrs) or tag in ("i", "table") for tag, attrs in page.elements)


@pytest.mark.parametrize(
    ("title", "user_data", "headline"),
    [
        ("老码头的新生", "asset-7", "老码头的新生"),
        (None, "asset-7", "asset-7"),
        (" ", '{"asset": "ep-42", "part": 2}', "asset: ep-42 · part: 2"),
        (None, '{"asset": {"id": 1}}', '{"asset": {"id": 1}}'),
        (None, "[1, 2]", "[1, 2]"),
        (None, "", "万立骏、陈亦飞"),
    ],
)
def test_headline_and_tab_say_which_video(title: str | None, user_data: str, headline: str) -> None:
    page = render(changed(samples.image(), title=title, userData=user_data, jobId="job-7")).decode()
    assert f"<h1><bdi>{html.escape(headline, quote=True).replace('&quot;', '&#34;')}</bdi></h1>" in page
    assert "<code><bdi>job-7</bdi></code></p>" in page.split("</h1>")[1].split("lead")[0]
    assert f"{headline} · job-7 · 智能标签报告" in Page(page.encode()).text


def test_a_job_that_says_nothing_of_itself_is_called_by_its_id() -> None:
    assert "<h1><bdi>作业 empty</bdi></h1>" in render(samples.bare()).decode()


def opened(page: str) -> dict[str, list[str]]:
    """Return the times that each row opens."""
    rows = re.findall(r'<tr class="row [^"]*" id="([^"]+)">(.*?)</tr>', page, re.DOTALL)
    return {anchor: re.findall(r"<li>([\d:.]+–[\d:.]+)", row) for anchor, row in rows}


@pytest.mark.parametrize("name", ["documented", "rich", "large", "cpv", "odd"])
def test_each_duration_opens_all_its_appearances(name: str) -> None:
    """One definition of how often: the united ranges are what is counted, opened and told to a screen reader."""
    analysis = analyse(RECORDED[name].response, RECORDED[name].job_id)
    page = render(analysis).decode()
    summary = analysis.summary
    times_of = opened(page)
    for kind, found in (("person", summary.persons), ("tag", summary.tags), ("concept", summary.concepts)):
        for number, seen in enumerate(found, 1):
            wanted = [f"{times.clock(start)}–{times.clock(end)}" for start, end in seen.appearances]
            assert times_of[f"{kind}-{number}"] == wanted
            row = page.split(f' id="{kind}-{number}">')[1].split("</tr>")[0]
            assert f"<span>{len(wanted):,}×</span>" in row
            assert f'aria-label="{", ".join(wanted)}"' in row
    assert "相连或重叠的出现算作一次" in page


def test_times_beyond_the_budget_are_counted_and_those_of_alerts_come_first() -> None:
    summary = samples.large(rows=100, ranges=300).summary
    watched = samples.person("要复核的人", samples.spread(2_000, 7_200_000, 0, 900), "celebrity,sensitive")
    page = render(samples.analysis(dataclasses.replace(summary, persons=(*summary.persons, watched)))).decode()
    times_of = opened(page)
    assert len(page.encode()) <= MAX_BYTES
    assert len(times_of["person-51"]) == 2_000
    for anchor in times_of.keys() - {"person-51"}:
        row = page.split(f' id="{anchor}">')[1].split("</tr>")[0]
        rest = int(re.search(r"另有 ([\d,]+) 段，见 summary.json", row)[1])  # type: ignore[index]  # it is said
        assert len(times_of[anchor]) + rest == 300
        assert len(times_of[anchor]) > 100


@given(st.lists(st.integers(0, 500), max_size=30), st.integers(0, 3_000))
def test_room_is_shared_fairly(lengths: list[int], room: int) -> None:
    """All together stay within it, and one more for each list that is cut would not."""
    most = fair(lengths, room)
    assert sum(min(length, most) for length in lengths) <= room
    assert all(length <= most for length in lengths) or sum(min(length, most + 1) for length in lengths) > room


def test_a_share_is_that_of_the_time_beside_it_in_the_length_above() -> None:
    """The vendor's ratio counts what overlaps twice; it stands only where the length is not known."""
    rich = analyse(jobs()["rich"].response, "job")
    shares = dict(re.findall(r"<b>([\d.]+) s</b> <span>([\d.]*)%?</span>", render(rich).decode()))
    assert {seconds: share for seconds, share in shares.items() if share} == {
        seconds: f"{float(seconds) / 36:.1%}"[:-1] for seconds in shares if seconds != "31.26"
    }
    media = dataclasses.replace(rich.summary.media, durationSource="maxTo")
    assert "<b>6.60 s</b> <span>25.9%</span>" in render(changed(rich, media=media)).decode()


@pytest.mark.parametrize(
    ("seen_ms", "share"), [(0, "0.0%"), (1, "&lt;0.1%"), (17_999, "&lt;0.1%"), (18_001, "0.1%"), (36_000_000, "100.0%")]
)
def test_a_share_is_none_only_where_no_time_is(seen_ms: int, share: str) -> None:
    job = samples.bare(kind="video")
    ten_hours = dataclasses.replace(job.summary.media, durationMs=36_000_000, durationSource="inferred")
    page = render(changed(job, media=ten_hours, persons=(samples.person("甲", ((0, seen_ms),)),))).decode()
    assert re.findall(r"<span>([^<]*%)</span>", page) == [share]


def test_faces_of_one_name_are_said_to_be_several() -> None:
    page = render(analyse(jobs()["rich"].response, "job")).decode()
    assert page.count("同名 2 张") == page.count("2 so named") == 2
    assert "同名" not in render(analyse(jobs()["documented"].response, "job")).decode()


def test_alerts_stand_by_severity_then_time_and_lead_to_their_rows() -> None:
    page = render(samples.alarming()).decode()
    summary = samples.alarming().summary
    section = page.split('aria-labelledby="alerts"')[1].split("</section>")[0]
    lines = re.findall(r'alert">.*?<bdi>(敏感|政治)人物.*?href="#person-(\d+)"><b><bdi>(.*?)</bdi>', section)
    persons = [summary.persons[int(number) - 1] for _, number, _ in lines]
    assert [person.name for person in persons] == [name for _, _, name in lines]
    severity = {"敏感": 0, "政治": 1}
    order = [(severity[kind], person.firstMs) for (kind, _, _), person in zip(lines, persons, strict=True)]
    assert order == sorted(order)  # type: ignore[type-var]  # all of them have a time
    assert len(order) == 60
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {f"person-{number}" for number in range(1, 61)} <= set(ids)


def test_every_category_of_a_list_is_told() -> None:
    listed = samples.person("甲", ((0, 900),), "celebrity，politician, lib-7f")
    page = Page(render(changed(samples.bare(), persons=(listed,), alerts=(Alert("politician", "甲", "x"),))))
    assert "甲 ▲ 政治人物 politician 名人 celebrity 人物库 lib-7f library" in " ".join(page.text.split())
    assert "#person-1" in page.attributes("a", "href")


@pytest.mark.parametrize("category", ["Sensitive", "celebrity;sensitive", "名人、敏感人物"])
def test_every_spelling_that_raises_an_alert_leads_to_its_row(category: str) -> None:
    person = {"name": "甲", "category": category, "occurrences": [{"from": 1.0, "to": 2.0, "score": 0.9}]}
    page = Page(render(_analysed("VideoLabel", {"persons": [person]})))
    text = " ".join(page.text.split())
    assert "甲 ▲ 敏感人物 sensitive" in text
    assert "人物库 Sensitive" not in text
    assert "#person-1" in page.attributes("a", "href")


@pytest.mark.parametrize(
    ("level1", "level2", "raised"),
    [
        ("人脸", "politician", True),
        ("政治人物", "", True),
        ("人脸", "名人、政治人物", True),
        ("人脸", "非政治人物", False),
    ],
)
def test_a_concept_is_marked_exactly_if_it_raises_an_alert(level1: str, level2: str, *, raised: bool) -> None:
    entity = {"labelLevel1": level1, "labelLevel2": level2, "label": "乙", "detailInfo": []}
    analysis = _analysed("CPVLabel", {"entities": [entity]})
    page = Page(render(analysis))
    assert bool(analysis.summary.alerts) is raised
    assert ("乙 ▲ 政治人物" in " ".join(page.text.split())) is raised
    assert ("#concept-1" in page.attributes("a", "href")) is raised


def test_an_alert_of_a_concept_without_a_label_has_its_levels_name_and_leads_to_its_row() -> None:
    entity = {"labelLevel1": "人脸", "labelLevel2": "政治人物", "label": "", "detailInfo": []}
    analysis = _analysed("CPVLabel", {"entities": [entity]})
    assert [alert.name for alert in analysis.summary.alerts] == ["政治人物"]
    assert '<a href="#concept-1"><b><bdi>政治人物</bdi></b></a>' in render(analysis).decode()


def _analysed(name: str, data: dict[str, Any]) -> Analysis:
    return analyse(orjson.dumps({"JobStatus": "Success", "Results": [{"Type": name, "Data": data}]}), "job")


def test_an_image_is_spoken_of_as_an_image() -> None:
    texts = samples.small().summary.screenText
    for analysis in (samples.image(), changed(samples.image(), screenText=texts), changed(samples.bare(kind="image"))):
        text = Page(render(analysis)).text.split("</style>")[-1].split("智能标签报告", 1)[1]
        assert "图片内容" in text
        assert "图中文字" in text
        assert not re.search("视频|片长|画面|屏幕文字|时间线|出镜|语音", text)


def test_speech_beside_an_imagelabel_is_shown_and_no_image_is_told_of() -> None:
    person = {"name": "甲", "category": "celebrity", "score": 0.9}
    said = {"details": [{"from": 1.0, "to": 2.0, "content": "大家好"}]}
    results = [{"Type": "ImageLabel", "Data": {"persons": [person]}}, {"Type": "ASR", "Data": said}]
    analysis = analyse(orjson.dumps({"JobStatus": "Success", "Results": results}))
    assert (analysis.summary.media.kind, analysis.summary.media.durationMs) == ("unknown", 2000)
    page = Page(render(analysis))
    assert "一张图片" not in page.text
    assert "甲" in page.text
    assert "大家好" in page.text


def test_2500_lines_of_speech_are_folded() -> None:
    page = render(samples.three_hours()).decode()
    words = page.split('id="words"')[1]
    first, folded = words.split("<details", 1)
    assert first.count("<li>") == view.FOLD
    assert folded.split("</details>")[0].count("<li>") == 2_500 - view.FOLD
    assert "展开其余 2,440 句语音" in folded


SIGNED = (
    ("Expires=1893456000&OSSAccessKeyId=AK1&Signature=c2VjcmV0", "2030-01-01 00:00 UTC"),
    ("x-oss-date=20261126T081600Z&x-oss-expires=86400&x-oss-signature=c2VjcmV0", "2026-11-27 08:16 UTC"),
    ("x-oss-date=yesterday&x-oss-expires=86400&x-oss-signature=c2VjcmV0", ""),
    ("Expires=99999999999999999&Signature=c2VjcmV0", ""),
    ("auth_key=c2VjcmV0", ""),
)


@pytest.mark.parametrize(("query", "until"), SIGNED)
def test_signatures_of_the_vendor_are_not_shown_but_when_they_end(query: str, until: str) -> None:
    url = f"https://b.oss-cn-shanghai.aliyuncs.com/a.txt?{query}"
    page = Page(render(changed(samples.small(), links=(Link("Subtitle", "allResultUrl", url),))))
    assert "https://b.oss-cn-shanghai.aliyuncs.com/a.txt?…" in page.text
    assert "c2VjcmV0" not in page.text
    assert url in page.attributes("a", "href")
    assert "约半年后失效" in page.text
    assert (f"签名有效至 {until}" in page.text) is bool(until)


def test_warnings_are_told_in_both_languages() -> None:
    """Every code that the parsing core notes has its Chinese."""
    core = [path.read_text("utf-8") for path in (ROOT / "shared" / "smarttag").rglob("*.py")]
    codes = {code for text in core for code in re.findall(r'\.(?:add|warn)\(\s*"([a-z]+(?:-[a-z]+)*)",', text)}
    assert len(codes) > 20
    assert codes <= labels.WARNINGS.keys()
    odd = RECORDED["odd"]
    text = Page(render(analyse(odd.response, odd.job_id))).text
    for warning in summarise(odd.response).warnings:
        assert f"{warning.code} {labels.WARNINGS[warning.code]} {warning.message}" in text


class Pairs(HTMLParser):
    """What stands in Chinese before each ``<small lang="en">`` of one element, and what it says in English."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._texts: list[str] = [""]
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("p", "li", "dd", "dt", "h2", "h3", "summary", "td", "th", "tr"):
            self._texts = [""]
        elif tag in ("small", "span") and ("lang", "en") in attrs:
            self._texts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("small", "span") and len(self._texts) > 1:
            english = self._texts.pop()
            self.found.append((self._texts[0], english))

    def handle_data(self, data: str) -> None:
        self._texts[-1] += data


@pytest.mark.parametrize("name", sorted(samples.everything().keys() - {"hostile", "wordy"}))
def test_both_languages_of_a_pair_say_the_same_numbers(name: str) -> None:
    page, *_ = render(samples.everything()[name], ("summary.json",)).split(b'class="warnings"')
    pairs = Pairs(page).found
    number = re.compile(r"\d+(?:[,.:]\d+)*")
    numbers = [(number.findall(zh), number.findall(en), en) for zh, en in pairs]
    assert len(pairs) > 5
    assert [en for chinese, english, en in numbers if not set(english) <= set(chinese)] == []


def test_a_text_on_screen_within_one_second_has_one_time() -> None:
    def told(first: int, last: int) -> list[str]:
        text = samples.ScreenTextItem("字", 2, first, last, 0.9, "0")
        page = render(changed(samples.bare(), screenText=samples.ScreenText(2, 2, 1, (text,)))).decode()
        return re.findall(r"<time [^>]*>([^<]*)</time>", page)

    assert (told(100, 900), told(900, 1_100)) == (["0:00"], ["0:00", "0:01"])


def test_of_one_nothing_is_said_in_the_plural() -> None:
    text, spoken = samples.ScreenTextItem("字", 1, 0, 0, 0.9, "0"), Segment(0, 900, "字")
    few = {"transcript": Transcript(1, 1, 900, "字"), "screenText": samples.ScreenText(1, 1, 1, (text,))}
    people = tuple(samples.person(f"人{i}", ((i, i + 9),)) for i in range(51))
    many = {"persons": people, "alerts": tuple(Alert("politician", person.name, "") for person in people[:13])}
    many |= {"nlp": samples.Nlp("", ("词",) * 101, (), (), (), (), {})}
    for segments, fields in (((spoken,), few), ((spoken,) * 61, many)):
        told = [en for _, en in Pairs(render(Analysis(changed(samples.bare(), **fields).summary, segments, ()))).found]
        assert [en for en in told if re.search(r"\b1 (?:more |different )?[a-z]+s\b", en)] == []
        assert [en for en in told if re.search(r"\b1\b", en)]


@pytest.mark.parametrize(
    ("ms", "at_least", "zh", "en"),
    [
        (400, False, "0.4 秒", "0.4 s"),
        (48_164, False, "48 秒", "48 s"),
        (59_900, False, "1 分钟", "1 min"),
        (59_900, True, "59 秒", "59 s"),
        (185_400, False, "3 分 5 秒", "3 min 5 s"),
        (2_520_000, False, "42 分钟", "42 min"),
        (7_199_000, False, "2 小时", "2 h"),
        (7_199_000, True, "1 小时 59 分钟", "1 h 59 min"),
        (3_605_000, False, "1 小时", "1 h"),
    ],
)
def test_a_rough_length_is_told_as_people_do(ms: int, at_least: bool, zh: str, en: str) -> None:  # noqa: FBT001 - a case
    assert times.about(ms, at_least=at_least) == (zh, en)


# Geometry


def bars(path: str) -> list[tuple[int, int]]:
    """Read the bars back from a path."""
    found, at = [], 0
    for gap, width in re.findall(r"m(-?\d+) [08]h(\d+)", path):
        start = at + int(gap)
        at = start + int(width)
        found.append((start, at))
    return found


spans = st.integers(1, 10**9)
moments = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60)


@given(spans, moments)
def test_bars_lie_where_the_times_say(span: int, fractions: list[tuple[float, float]]) -> None:
    """Every range is covered, and nothing is drawn farther than the least width from a range."""
    ranges = sorted((int(min(pair) * span), int(max(pair) * span)) for pair in fractions)
    drawn = bars(geometry.path(ranges, span))
    scale = geometry.COLUMNS / span
    near = geometry.HAIR + 1
    for start, end in ranges:
        assert any(left <= start * scale + near and end * scale - near <= right for left, right in drawn)
    for left, right in drawn:
        assert 0 <= left < right <= geometry.COLUMNS
        assert any(abs(start * scale - left) <= near for start, _ in ranges)
        assert any(abs(end * scale - right) <= near for _, end in ranges)
    assert all(after[0] - before[1] >= geometry.HAIR for before, after in pairwise(drawn))


@given(st.integers(0, 10**12))
def test_ticks_are_few_even_and_inside(span: int) -> None:
    axis = geometry.axis(span)
    assert 1 <= len(axis.ticks) <= 10
    assert all(0 <= tick.percent <= 100 for tick in axis.ticks)
    assert len({tick.label for tick in axis.ticks}) == len(axis.ticks)
    steps = [(after.percent - before.percent) / axis.stepPercent for before, after in pairwise(axis.ticks)]
    assert all(abs(step - round(step)) < 0.01 for step in steps)
    assert not steps or max(steps) - min(steps) < 0.01


@given(st.integers(1, 10**9), st.integers(min(geometry.WIDTHS), 900))
def test_labels_that_are_shown_do_not_overlap(span: int, width: int) -> None:
    """For an axis of any width; what the browser makes of it is measured in test_report_browser."""
    shown = [tick for tick in geometry.axis(span).ticks if tick.needs <= width]
    assert shown[0].percent == 0
    edges = []
    for tick in shown:
        size, at = 6.4 * len(tick.label), tick.percent * width / 100
        left = at if not tick.percent else at - size if tick.percent > geometry.LAST else at - size / 2
        edges.append((left, left + size))
    assert all(before[1] + 4 < after[0] for before, after in pairwise(edges))


@pytest.mark.parametrize(
    ("ms", "clock", "length"),
    [
        (0, "0:00.00", "0.00 s"),
        (12_120, "0:12.12", "12.12 s"),
        (59_994, "0:59.99", "59.99 s"),
        (59_996, "1:00.00", "1 min 00 s"),
        (185_000, "3:05.00", "3 min 05 s"),
        (3_599_999, "1:00:00.00", "1 h 00 min"),
        (7_325_500, "2:02:05.50", "2 h 02 min"),
        (7_199_000, "1:59:59.00", "2 h 00 min"),
        (-1_500, "-0:01.50", None),
    ],
)
def test_times_are_written_for_people(ms: int, clock: str, length: str | None) -> None:
    assert times.clock(ms) == clock
    assert length is None or times.length(ms) == length


# Size


def test_80_rows_and_12000_ranges_are_shown_in_full() -> None:
    analysis = samples.large()
    html = render(analysis)
    page = Page(html)
    assert len(html) < MAX_BYTES
    drawn = [bars(path) for path in page.attributes("path", "d")]
    assert len(drawn) == 80 + 1  # and the speech
    assert sum(len(row) for row in drawn[1:]) == 12_000
    assert "未显示" not in page.text


def test_more_is_capped_and_counted() -> None:
    html = render(samples.large(rows=600, ranges=400, lines=20_000))
    page = Page(html)
    text = " ".join(page.text.split())
    assert len(html) <= MAX_BYTES
    rows = page.attributes("th", "scope").count("row") - 1  # the speech
    left_out = [int(n.replace(",", "")) for n in re.findall(r"另有 ([\d,]+) 行", text)]
    assert sum(left_out) + rows == 600
    assert "summary.json" in text
    lines = int(re.search(r"另有 ([\d,]+) 句语音未显示", text)[1].replace(",", ""))  # type: ignore[index]  # it is said
    assert lines + len([1 for tag, attrs in page.elements if tag == "time"]) == 20_000


def test_a_sensitive_person_is_never_left_out_for_room() -> None:
    summary = samples.large(rows=400, ranges=2).summary
    hidden = samples.person("要复核的人", ((0, 40),), "sensitive")
    page = Page(render(samples.analysis(dataclasses.replace(summary, persons=(*summary.persons, hidden)))))
    assert "要复核的人" in page.text


@pytest.mark.parametrize("length", [10_000, 3_000_000])
def test_monstrous_texts_stay_within_the_limit(length: int) -> None:
    monster = "<&>\"'" * (length // 5)
    analysis = samples.small(*(monster + str(i) for i in range(3)))
    many = dataclasses.replace(analysis.summary, textTags=tuple(TextTag("t", (monster,) * 300) for _ in range(300)))
    assert len(render(dataclasses.replace(analysis, summary=many))) <= MAX_BYTES


# Purity


def test_the_same_bytes_in_another_process() -> None:
    program = (
        "import sys; from tests.smarttag import report_samples as s; from shared.smarttag.report import render;"
        "sys.stdout.buffer.write(render(s.large(), ('summary.json',)))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] == render(samples.large(), ("summary.json",))


def test_two_reports_share_nothing() -> None:
    alone = render(samples.small("second"))
    render(samples.small("job-A-secret"), ("a.json",))
    after = render(samples.small("second"))
    assert after == alone
    assert b"job-A-secret" not in after


# Colours

TEXT = [
    *((ink, ground) for ink in ("ink", "muted", "accent", "alert", "good") for ground in ("page",)),
    *((ink, ground) for ink in ("ink", "muted", "alert") for ground in ("hover", "sheet", "alert-bg")),
    *((ink, "wait-bg") for ink in ("ink", "muted")),
    ("ink", "chip"),
    ("accent", "hover"),
    ("alert-bg", "alert"),
]
SHAPES = [
    (bar, ground)
    for bar in ("person", "unknown", "tag", "concept", "speech", "alert")
    for ground in ("sheet", "hover", "page")
]


def palettes() -> list[dict[str, str]]:
    """Return the colours of the light, dark and printed page."""
    css = (ROOT / "shared/smarttag/report/base.css").read_text("utf-8")
    return [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark", "print"])
def test_colours_can_be_told_apart(palette: dict[str, str]) -> None:
    weak = [(a, b, contrast(palette[a], palette[b])) for a, b in TEXT if contrast(palette[a], palette[b]) < 4.5]
    faint = [(a, b, contrast(palette[a], palette[b])) for a, b in SHAPES if contrast(palette[a], palette[b]) < 3]
    assert (weak, faint) == ([], [])


def test_every_palette_names_every_colour() -> None:
    light, dark, printed = (palette.keys() for palette in palettes())
    css = "".join(path.read_text("utf-8") for path in (ROOT / "shared/smarttag/report").glob("*.css"))
    assert light == dark
    assert set(re.findall(r"var\(--([\w-]+)\)", css)) - {"step", "all", "name", "num"} == set(light)
    assert printed == light


def test_an_empty_summary_needs_no_detail() -> None:
    """Every part of the page copes with the least summary there can be."""
    least = Summary("", "", "", "", samples.bare().summary.media)
    assert render(Analysis(least, None, ())).startswith(b"<!doctype html>")


def test_the_packaged_template_is_compiled_beforehand(tmp_path: Path) -> None:
    """A copy without template sources writes the same page: nothing is left to parse at a cold start."""
    shutil.copytree(ROOT / "shared", tmp_path / "shared", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "smarttag", tmp_path / "tests" / "smarttag")
    folder = tmp_path / "shared" / "smarttag" / "report"
    compile_in(folder, FILTERS)
    for source in (*folder.glob("*.j2"), *folder.glob("*.css")):
        source.unlink()
    program = (
        "import sys; sys.path.insert(0, '.'); from tests.smarttag import report_samples as s;"
        "from shared.smarttag.report import render; sys.stdout.buffer.write(render(s.small()))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
    assert run.stdout == render(samples.small())
