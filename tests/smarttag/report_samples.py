"""Analyses made by hand, for what no recorded job shows: exact positions, sizes, and names that mean harm."""

from __future__ import annotations

import dataclasses

from local.recorded import jobs
from shared.smarttag import analyse
from shared.smarttag.model import (
    Alert,
    Analysis,
    BestFrame,
    Chapter,
    Classification,
    Concept,
    Link,
    Media,
    Nlp,
    Notice,
    Person,
    Range,
    ScreenText,
    ScreenTextItem,
    Segment,
    Summary,
    Tag,
    TextTag,
    Transcript,
    TypeState,
)

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title><h1>free</h1>",
    "{{ 7*7 }}{% raw %}",
    "&lt;b&gt;&amp;",
    "\u202egnp.exe\u202c",
    "\u200b\u200b",
    "\u2067\u0627\u0633\u0645\u2066 mixed",
    "Z\u0335\u0321\u0353a\u0336\u0322l\u0334\u0323g\u0337o" * 4,
    "名" * 200,
    "W" * 200,
    "nul\x00bell\x07",
    "javascript:alert(1)",
    "two\nlines --> <!-- ",
)


def person(name: str, ranges: tuple[Range, ...], category: str = "celebrity", ratio: float | None = None) -> Person:
    """Return a person seen in ``ranges`` (disjoint, in order)."""
    seen = sum(end - start for start, end in ranges)
    return Person(
        ratio=ratio,
        seenMs=seen,
        sumMs=seen,
        firstMs=ranges[0][0] if ranges else None,
        lastMs=ranges[-1][1] if ranges else None,
        appearances=ranges,
        appearanceCount=len(ranges),
        bestScore=None if category == "unknown" else 0.958,
        name=name,
        category=category,
        sensitive=category in ("sensitive", "politician"),
        shots={"medium-closeUp": len(ranges)},
        bestFrame=BestFrame(
            ranges[0][0] if ranges else 0, 0.958, "medium-closeUp", {"leftTop": [455, 51], "rightBottom": [1117, 389]}
        ),
    )


def tag(group: str, name: str, ranges: tuple[Range, ...], ratio: float | None = None) -> Tag:
    """Return a tag seen in ``ranges`` (disjoint, in order)."""
    seen = sum(end - start for start, end in ranges)
    first, last = (ranges[0][0], ranges[-1][1]) if ranges else (None, None)
    return Tag(ratio, seen, seen, first, last, ranges, len(ranges), 0.776, group, name)


def concept(kind: str, levels: tuple[str, str], label: str, ranges: tuple[Range, ...]) -> Concept:
    """Return a concept seen in ``ranges`` (disjoint, in order)."""
    seen = sum(end - start for start, end in ranges)
    known = {"name": label, "description": "亚洲四大瀑布之一"} if kind == "entity" else None
    return Concept(
        0.067, seen, seen, ranges[0][0], ranges[-1][1], ranges, len(ranges), 0.9, kind, *levels, label, known
    )


def spread(count: int, span: int, offset: int, length: int) -> tuple[Range, ...]:
    """Return ``count`` disjoint ranges over ``span`` ms."""
    step = span // (count + 1)
    starts = (offset % step + index * step for index in range(count))
    return tuple((start, start + min(length, step - 1)) for start in starts)


def analysis(summary: Summary, segments: tuple[Segment, ...] | None = None) -> Analysis:
    """Return an analysis without the rows of the timeline, which the report does not use."""
    return Analysis(summary, segments, ())


def small(*names: str, duration: int = 48_160) -> Analysis:
    """Return a job whose every text is one of ``names`` (or a plain one)."""
    text = names or ("万立骏",)

    def pick(index: int) -> str:
        return text[index % len(text)]

    ranges = ((2_440, 5_320), (11_440, 13_560), (42_600, 45_080))
    summary = Summary(
        jobId="88c6ca184c0e47098a5b665e2a126797",
        status="Success",
        userData=pick(0),
        message=pick(1),
        media=Media("video", duration, "inferred", 9),
        persons=(
            *(person(name, ranges, "politician", 0.252) for name in text),
            person(pick(2), ((0, 0),), "unknown"),
            person(pick(3), ranges, pick(4)),
        ),
        tags=tuple(tag(pick(i + 1), name, ((40_200, 42_440),), 0.047) for i, name in enumerate(text)),
        classifications=(Classification(pick(5), pick(6), 0.688),),
        textTags=(TextTag(pick(7), text),),
        transcript=Transcript(len(text), 100, 9_000, pick(0)),
        screenText=ScreenText(2, 2, len(text), tuple(ScreenTextItem(name, 2, 0, 4_000, 0.9, "1") for name in text)),
        concepts=tuple(concept(pick(i + 2), (pick(i), pick(i + 1)), name, ranges) for i, name in enumerate(text)),
        chapters=tuple(Chapter(0, 9_000, name, name) for name in text),
        nlp=Nlp(
            pick(0),
            text,
            text,
            text,
            tuple({"question": n, "answer": n} for n in text),
            ({"id": "1", "name": pick(1), "summary": pick(2)},),
            {pick(0): 0.9},
        ),
        title=pick(0),
        links=tuple(Link(pick(1), pick(2), name) for name in text),
        alerts=(Alert(pick(3), pick(4), pick(5)), Alert("politician", pick(0), pick(1))),
        types={name: TypeState(1, "ok") for name in ("VideoLabel", *text)},
        warnings=tuple(Notice(pick(6), name, name) for name in text),
    )
    return analysis(summary, tuple(Segment(1_000 * i, 1_000 * i + 900, name) for i, name in enumerate(text)))


def large(rows: int = 80, ranges: int = 150, lines: int = 1_500) -> Analysis:
    """Return a two-hour job of ``rows`` times ``ranges`` appearances; half of the rows are persons."""
    span = 7_200_000
    text = "各位观众晚上好，欢迎收看今天的节目，我们来关注一组民生消息。"
    persons = tuple(
        person(f"人物{i:03}", spread(ranges, span, i * 7_919, 9_000), "unknown" if i % 2 else "celebrity")
        for i in range(rows // 2)
    )
    tags = tuple(tag("场景", f"标签{i:03}", spread(ranges, span, i * 6_007, 7_000)) for i in range(rows - rows // 2))
    summary = Summary(
        jobId="large",
        status="Success",
        userData="",
        message="",
        media=Media("video", span, "inferred", 500),
        persons=persons,
        tags=tags,
        transcript=Transcript(lines, lines * len(text), span // 2, text),
        types={"VideoLabel": TypeState(1, "ok"), "ASR": TypeState(1, "ok")},
    )
    return analysis(summary, tuple(Segment(i * span // lines, i * span // lines + 2_000, text) for i in range(lines)))


def alarming(count: int = 60) -> Analysis:
    """Return a job with ``count`` people to be reviewed, the last of them in an English programme's long names."""
    span = 3_600_000
    kinds = ("politician", "sensitive", "celebrity,sensitive")
    people = tuple(
        person(
            f"示例人物{i:02}" if i % 4 else f"Exemplary-Person of the Long Name, number {i}",
            spread(1 + i % 7, span, i * 61_043, 8_000),
            kinds[i % 3],
            0.01,
        )
        for i in range(count)
    )
    alerts = tuple(
        Alert("politician" if p.category == "politician" else "sensitive-person", p.name, "detail") for p in people
    )
    types = {"VideoLabel": TypeState(1, "ok")}
    return analysis(
        Summary("sixty", "Success", "", "", Media("video", span, "inferred", 300), people, alerts=alerts, types=types)
    )


def three_hours() -> Analysis:
    """Return a programme of three hours with 2,500 lines of speech, 200 texts, chapters and names of every length."""
    span, lines = 10_800_000, 2_500
    text = "各位观众晚上好，欢迎收看今天的节目，我们来关注一组民生消息。"
    names = ("示例主持人", "Alexandra Featherstonehaugh-Cholmondeley of Example", "示例评论员")
    people = tuple(
        person(f"{names[i % 3]}{i}", spread(20 + 9 * i, span, i * 7_919, 9_000), ratio=0.1) for i in range(12)
    )
    tags = tuple(tag("场景", f"标签{i:02}", spread(3 + 5 * i, span, i * 6_007, 7_000)) for i in range(30))
    summary = Summary(
        jobId="three-hours",
        status="Success",
        userData='{"asset": "ep-0042", "channel": "示例卫视"}',
        message="",
        media=Media("video", span, "inferred", 500),
        persons=people,
        tags=tags,
        transcript=Transcript(lines, lines * len(text), lines * 2_000, text),
        screenText=ScreenText(
            9_000,
            9_000,
            200,
            tuple(ScreenTextItem(f"字幕第{i}条", 45, i * 54_000, i * 54_000, 0.9, "0") for i in range(200)),
        ),
        chapters=tuple(Chapter(i * span // 12, (i + 1) * span // 12, f"第{i + 1}部分", text) for i in range(12)),
        types={"VideoLabel": TypeState(1, "ok"), "ASR": TypeState(1, "ok"), "OCR": TypeState(1, "ok")},
    )
    spoken = (Segment(i * span // lines, i * span // lines + 2_000, f"{text}第{i}句。") for i in range(lines))
    return analysis(summary, tuple(spoken))


def bare(status: str = "Success", kind: str = "unknown", message: str = "") -> Analysis:
    """Return a job that holds nothing."""
    return analysis(Summary("empty", status, "", message, Media(kind, None, None, None)))


def image() -> Analysis:
    """Return an image job: scores and boxes, no times."""
    at = dataclasses.replace
    people = (person("万立骏", (), "politician"), person("陈亦飞", (), "celebrity"))
    return analysis(
        at(
            bare(kind="image").summary,
            persons=people,
            tags=(tag("场景", "会议室", ()),),
            types={"ImageLabel": TypeState(1, "ok")},
        )
    )


def wordy() -> Analysis:
    """Return a job whose title and names are longer than a page can show at once."""
    title = "江边漫步：" + "老码头的前世今生与一座城市的记忆，" * 12
    long_name = "Alexandra Featherstonehaugh-Cholmondeley " * 9
    job = small(long_name.strip())
    return analysis(dataclasses.replace(job.summary, title=title), job.segments)


def everything() -> dict[str, Analysis]:
    """Return recorded jobs, the documented and the largest among them, and what nobody recorded."""
    recorded = ((name, jobs()[name]) for name in ("documented", "rich", "large", "image", "odd", "fail"))
    return {
        **{name: analyse(job.response, job.job_id) for name, job in recorded},
        "sixty-alerts": alarming(),
        "three-hours": three_hours(),
        "wordy": wordy(),
        "dense": large(rows=80, ranges=150, lines=40),
        "hostile": small(*HOSTILE),
        "empty": bare(),
    }
