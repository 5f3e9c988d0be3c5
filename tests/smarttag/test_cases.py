"""Inputs that people who do this job reported, made up anew under ``cases/``, and what is right for each."""

from __future__ import annotations

from pathlib import Path

from shared.smarttag import analyse
from shared.smarttag.model import Analysis, Link
from tests.smarttag.test_any_input import check

CASES = Path(__file__).parent / "cases"


def read(name: str) -> Analysis:
    analysis = analyse((CASES / f"{name}.json").read_bytes(), "job")
    check(analysis.summary)
    return analysis


def codes(analysis: Analysis) -> list[str]:
    return [warning.code for warning in analysis.summary.warnings]


def spoken(analysis: Analysis) -> list[str]:
    return [segment.text for segment in analysis.segments or ()]


def test_a_recording_without_a_picture_is_no_video() -> None:
    found = read("audio-only")
    media = found.summary.media
    assert (media.kind, media.durationMs, media.durationSource) == ("unknown", 8000, "maxTo")
    assert (spoken(found), found.summary.title, codes(found)) == (["这是一段没有画面的录音"], "访谈录音", [])


def test_a_wrong_escape_costs_nothing() -> None:
    found = read("broken-escape")
    assert found.summary.screenText is not None
    assert [item.text for item in found.summary.screenText.items] == [r"第一行\N第二行", "好的"]
    assert codes(found) == ["mended-json"]


def test_results_that_lie_elsewhere_are_links_and_not_empty_results() -> None:
    summary = read("data-as-url").summary
    at = "https://example.com/result"
    assert summary.links == (
        Link("VideoLabel", "", f"{at}/video.json"),
        Link("ASR", "", f"{at}/asr.json"),
        Link("CPVLabel", "", f"{at}/cpv.json"),
    )
    assert {name: state.state for name, state in summary.types.items()} == dict.fromkeys(
        ("VideoLabel", "ASR", "CPVLabel"), "invalid"
    )
    assert summary.transcript is None
    assert [(warning.code, warning.path) for warning in summary.warnings] == [
        ("result-elsewhere", f"$.Results.Result[{index}].Data") for index in range(3)
    ]


def test_words_are_joined_as_they_carry_their_spaces() -> None:
    found = read("nlp-words")
    assert spoken(found) == ["The fee is $4.50 (about €4.1).", "see www.example.com at 9:30", "圆周率约3.14"]
    media = found.summary.media
    assert (media.kind, media.durationMs, media.durationSource) == ("unknown", 3_600_000, "maxTo")


def test_two_people_of_one_name_are_two_in_the_timeline_too() -> None:
    found = read("same-name")
    rows = [(row.name, row.group, row.instance, row.fromMs) for row in found.occurrences]
    assert rows == [
        ("王示例", "celebrity", 1, 0),
        ("王示例", "lib-7f3a", 1, 20_000),
        ("未知人脸1", "unknown", 1, 1000),
        ("未知人脸1", "unknown", 2, 3000),
    ]
    assert len(found.summary.persons) == 4


def test_texts_that_look_the_same_are_one_and_keep_their_first_spelling() -> None:
    found = read("same-text")
    assert found.summary.screenText is not None
    assert [(item.text, item.count) for item in found.summary.screenText.items] == [("CCTV", 3), ("Cafe\u0301", 2)]
    assert [(row.name, row.fromMs, row.toMs) for row in found.occurrences] == [
        ("CCTV", 1000, 3000),
        ("Cafe\u0301", 4000, 5000),
    ]


def test_an_answer_as_the_vendors_sdk_wraps_it_is_unwrapped() -> None:
    found = read("sdk-map")
    assert (spoken(found), found.summary.userData, codes(found)) == (
        ["这是一段没有画面的录音"],
        "case",
        ["sdk-envelope"],
    )


def test_every_member_of_a_list_of_categories_counts() -> None:
    summary = read("two-categories").summary
    assert [(person.name, person.sensitive) for person in summary.persons] == [("示例甲", True)]
    assert [(alert.kind, alert.name) for alert in summary.alerts] == [("sensitive-person", "示例甲")]


def test_what_a_windows_shell_saved_is_read() -> None:
    found = read("utf16")
    assert (spoken(found), codes(found)) == (["这是一段没有画面的录音"], ["encoding"])
