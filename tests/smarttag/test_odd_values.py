"""One oddity at a time: what becomes of it, and which warning says so where."""

from __future__ import annotations

import gc
import json
import threading
import time
import weakref
from typing import Any

import pytest

from shared.errors import BadResponse
from shared.smarttag import analyse, gc_pause, summarise
from shared.smarttag.model import Segment, Summary, TextTag

DATA = "$.Results.Result[0].Data"


def answer(*results: tuple[str, Any], **fields: Any) -> bytes:
    found = [{"Type": name, "Data": data if isinstance(data, str) else json.dumps(data)} for name, data in results]
    return json.dumps({"JobStatus": "Success", "Results": {"Result": found}, **fields}).encode()


def codes(summary: Summary) -> list[tuple[str, str]]:
    return [(warning.code, warning.path.removeprefix(DATA)) for warning in summary.warnings]


def person(*occurrences: Any, **fields: Any) -> dict[str, Any]:
    return {"name": "甲", "category": "celebrity", "occurrences": list(occurrences), **fields}


def seen(first: Any, last: Any, **fields: Any) -> dict[str, Any]:
    return {"from": first, "to": last, "score": 0.5, **fields}


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (b"", "nothing"),
        (b" \r\n", "nothing"),
        (b" " * 300 + b"<html/>", "XML or HTML"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><QuerySmarttagJobResponse/>", "XML or HTML"),
        (b"\n<html><body>502</body></html>", "XML or HTML"),
        (b'{"JobStatus": "Success", "Results"', "not JSON"),
        (b"[1]", "a list"),
        (b'"x"', "text"),
        (b"null", "null"),
        (b"{}", "without a JobStatus"),
        (b'{"JobStatus": "Paused"}', "without a JobStatus"),
        (b"\xff\xfe", "nothing"),
        (b'{"JobStatus": 5, "Results": {"Result": []}}', "without a JobStatus"),
        (b'{"Code": "Throttling.User", "Message": "slow down", "RequestId": "r"}', "the error 'Throttling.User'"),
    ],
)
def test_what_is_no_job_is_one_documented_error(response: bytes, says: str) -> None:
    with pytest.raises(BadResponse, match=says):
        summarise(response)


def test_the_vendors_error_message_is_not_repeated() -> None:
    signed = b'{"Code": "SignatureDoesNotMatch", "Message": "server string to sign is: GET&AccessKeyId=LTAIx"}'
    with pytest.raises(BadResponse) as raised:
        summarise(signed)
    assert "LTAIx" not in raised.value.message
    assert raised.value.fields["code"] == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "results",
    [
        {"Result": [{"Type": "Meta", "Data": '{"title": "T"}'}]},
        {"result": [{"Type": "Meta", "Data": '{"title": "T"}'}]},
        {"Result": {"Type": "Meta", "Data": '{"title": "T"}'}},
        [{"Type": "Meta", "Data": '{"title": "T"}'}],
        [{"Type": "meta", "Data": {"title": "T"}}],
        {"Type": "Meta", "Data": [{"title": "T"}]},
    ],
)
def test_every_shape_of_results_is_read(results: Any) -> None:
    summary = summarise(json.dumps({"JobStatus": "Success", "Results": results}).encode())
    assert summary.title == "T"
    assert {name: (state.count, state.state) for name, state in summary.types.items()} == {"Meta": (1, "ok")}


def test_an_answer_as_sdks_that_begin_names_with_a_small_letter_print_it_is_read() -> None:
    data = json.dumps({"details": [{"from": 1.0, "to": 2.0, "content": "你好"}, {"from": 2.0, "content": "?"}]})
    body = {"jobStatus": "Success", "userData": "u", "results": {"result": [{"type": "ASR", "data": data}]}}
    summary = summarise(json.dumps({"headers": {}, "statusCode": 200, "body": body}).encode())
    assert summary.transcript is not None
    assert (summary.transcript.excerpt, summary.userData, summary.types["ASR"].state) == ("你好", "u", "ok")
    at = "$.body.results.result[0].data.details[1].to"
    assert codes(summary) == [("sdk-envelope", "$"), ("no-time", at)]


def test_rows_and_links_without_details_around_them_are_read_and_said_to_be_so() -> None:
    said = [{"from": 0.5, "to": 1.0, "content": "好"}, {"from": 1.0, "to": 2.0, "content": "吗"}]
    shown = [{"timestamp": 1.0, "info": [{"content": "字", "score": 0.5}]}]
    files = {"chResultUrl": "https://example.com/ch.txt", "success": True, "message": "SUCCESS"}
    summary = summarise(
        answer(("ASR", said), ("OCR", shown), ("Subtitle", files), ("TextLabel", [{"name": "地域", "value": "北京"}]))
    )
    assert summary.textTags == (TextTag("地域", ("北京",)),)
    assert summary.transcript is not None
    assert summary.transcript.excerpt == "好 吗"
    assert summary.screenText is not None
    assert [item.text for item in summary.screenText.items] == ["字"]
    assert [(link.name, link.url) for link in summary.links] == [("chResultUrl", "https://example.com/ch.txt")]
    assert {state.state for state in summary.types.values()} == {"ok"}
    assert [code for code, _ in codes(summary)] == ["no-details"] * 4
    assert summarise(answer(("Subtitle", {"success": True}))).warnings == ()
    assert {state.state for state in summarise(answer(("ASR", [7]), ("OCR", [{"a": 1}]))).types.values()} == {"invalid"}


def test_blanks_around_a_type_are_none_of_its_name() -> None:
    assert summarise(answer((" Meta\n", {"title": "T"}))).types.keys() == {"Meta"}


@pytest.mark.parametrize("results", [None, {}, [], {"Result": None}, {"Result": []}])
def test_no_results_are_an_empty_summary(results: Any) -> None:
    summary = summarise(json.dumps({"JobStatus": "processing", "Results": results}).encode())
    assert (summary.status, summary.types, summary.warnings) == ("Processing", {}, ())


def test_results_without_a_status_are_read_and_doubted() -> None:
    summary = summarise(json.dumps({"Results": [{"Type": "Meta", "Data": '{"title": "T"}'}]}).encode())
    assert (summary.status, summary.title, codes(summary)) == ("Success", "T", [("no-status", "$.JobStatus")])


@pytest.mark.parametrize(
    ("data", "state"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("null", "empty"),
        ("{}", "empty"),
        ("[]", "empty"),
        ('{"details": []}', "empty"),
        ('{"details": null}', "empty"),
        ("{", "invalid"),
        ("7", "invalid"),
        ('"x"', "invalid"),
        ("[7]", "invalid"),
        ("<html>", "invalid"),
        ('{"details": [{"from": 0.5, "to": 1.0, "content": "好"}]}', "ok"),
    ],
)
def test_states_of_a_type(data: str, state: str) -> None:
    summary = summarise(answer(("ASR", data), ("Meta", {"title": "T"})))
    assert summary.types["ASR"].state == state
    assert summary.title == "T"
    assert (summary.transcript is None) == (state == "invalid")
    assert (summary.warnings == ()) == (state != "invalid")


def test_several_results_of_one_type_are_united_and_the_worst_state_is_told() -> None:
    first, second = ({"details": [{"from": f, "to": f + 1.0, "content": t}]} for f, t in ((5.0, "二"), (0.0, "一")))
    summary = summarise(answer(("ASR", first), ("ASR", "{"), ("ASR", second)))
    assert (summary.types["ASR"].count, summary.types["ASR"].state) == (3, "invalid")
    assert summary.transcript is not None
    assert (summary.transcript.excerpt, summary.transcript.spokenMs) == ("一 二", 2000)


@pytest.mark.parametrize(
    ("row", "expected", "warned"),
    [
        (seen(1.0, 2.0), [(1000, 2000)], []),
        (seen(1, 2), [(1000, 2000)], []),
        (seen("1.0", "2"), [(1000, 2000)], [("number-as-text", "from"), ("number-as-text", "to")]),
        ({"startTime": 1.0, "endTime": 2.0}, [(1000, 2000)], []),
        (seen(2.0, 2.0), [(2000, 2000)], []),
        (seen(0.0005, 0.0015), [(0, 2)], []),
        (seen(2.0, 1.0), [], [("reversed-range", "")]),
        (seen(-1.0, -2.0), [], [("reversed-range", "")]),
        (seen("NaN", 1.0), [], [("not-finite", "from")]),
        (seen(0.0, "1e400"), [], [("not-finite", "to")]),
        (seen(0.0, 1e300), [], [("absurd-time", "to")]),
        (seen(-0.04, 1.0), [(0, 1000)], [("negative-time", "from")]),
        (seen(True, 2.0), [], [("wrong-type", "from")]),
        (seen(None, 2.0), [], [("no-time", "from")]),
        (seen("1_0", 20.0), [], [("wrong-type", "from")]),
        (None, [], [("wrong-type", "")]),
    ],
)
def test_one_range(row: Any, expected: list[tuple[int, int]], warned: list[tuple[str, str]]) -> None:
    summary = summarise(answer(("VideoLabel", {"persons": [person(row)]})))
    (found,) = summary.persons
    assert list(found.appearances) == expected
    assert found.appearanceCount == len(expected)
    at = ".persons[0].occurrences[0]"
    assert codes(summary) == [(code, f"{at}.{where}" if where else at) for code, where in warned]


def test_an_object_whose_names_are_numbers_is_the_list_of_what_they_name() -> None:
    rows = {str(at): person(name=name) | {"occurrences": {"0": seen(1.0, 2.0)}} for at, name in enumerate("甲乙")}
    summary = summarise(answer(("VideoLabel", {"persons": rows, "tags": {}})))
    assert [(found.name, found.seenMs) for found in summary.persons] == [("乙", 1000), ("甲", 1000)]
    assert codes(summary) == [
        ("numbered-object", ".persons"),
        ("numbered-object", ".persons[0].occurrences"),
        ("numbered-object", ".persons[1].occurrences"),
    ]
    assert summary.tags == ()


@pytest.mark.parametrize(
    ("score", "expected", "warned"),
    [(-1, None, 0), (-1.0, None, 0), (None, None, 0), ("0.5", 0.5, 1), (-0.5, None, 1), (1, 1.0, 0), (True, None, 1)],
)
def test_scores(score: Any, expected: float | None, warned: int) -> None:
    summary = summarise(answer(("VideoLabel", {"persons": [person(seen(1.0, 2.0) | {"score": score})]})))
    assert (summary.persons[0].bestScore, len(summary.warnings)) == (expected, warned)


def test_a_warning_about_a_face_box_names_its_own_row() -> None:
    rows = [seen(2.0, 1.0), seen(1.0, 2.0, position=7)]
    summary = summarise(answer(("VideoLabel", {"persons": [person(*rows)]})))
    at = ".persons[0].occurrences"
    assert codes(summary) == [("reversed-range", f"{at}[0]"), ("wrong-type", f"{at}[1].position")]


def test_json_that_orjson_refuses_is_mended_value_by_value() -> None:
    data = (
        '{"persons": [{"name": "a\\ud800b\\ud83d\\ude00\tc", "category": "x", "ratio": NaN, "occurrences": ['
        '{"from": 1e400, "to": 2.0}, {"from": 1.0, "to": 2.0, "score": -Infinity}]}]}'
    )
    summary = summarise(answer(("VideoLabel", data)))
    (found,) = summary.persons
    assert (found.name, found.seenMs, found.ratio) == ("a\ufffdb😀\tc", 1000, None)
    assert codes(summary) == [("mended-json", ""), ("no-time", ".persons[0].occurrences[0].from")]


def test_the_envelope_is_mended_too() -> None:
    response = b'{"JobStatus":"Success","UserData":"\\ud800","Quota":NaN,"Results":{"Result":[]}}'
    summary = summarise(response)
    assert (summary.userData, codes(summary)) == ("\ufffd", [("mended-json", "$")])


def test_a_byte_order_mark_is_told_as_just_that() -> None:
    inside = answer(("Meta", '\ufeff{"title": "题"}'))
    for response, path in ((b"\xef\xbb\xbf" + answer(("Meta", {"title": "题"})), "$"), (inside, DATA)):
        summary = summarise(response)
        assert summary.title == "题"
        assert [(warning.code, warning.path) for warning in summary.warnings] == [("byte-order-mark", path)]


CHINESE = {"persons": [person(seen(1.0, 2.0), name=name) for name in ("万立骏", "国家大剧院主持人")]}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "gbk"])
def test_other_encodings_are_read_and_told(encoding: str) -> None:
    plain = json.dumps(json.loads(answer(("VideoLabel", json.dumps(CHINESE, ensure_ascii=False)))), ensure_ascii=False)
    summary = summarise(plain.encode(encoding))
    assert [found.name for found in summary.persons] == ["万立骏", "国家大剧院主持人"]
    (warning,) = summary.warnings
    assert warning.code == ("byte-order-mark" if encoding == "utf-8-sig" else "encoding")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Café Ünal", "latin-1"),
        ("東京テレビのアナウンサー", "shift_jis"),
        ("東京テレビのアナウンサー", "euc_jp"),
        ("電視臺的主持人與國家", "big5"),
        ("회의에서 담당자에게 문의하라는 안내가", "euc_kr"),
        ("Ведущий программы новостей", "cp1251"),
        ("Ведущий программы новостей", "koi8_r"),
    ],
)
def test_no_encoding_is_guessed_at(text: str, encoding: str) -> None:
    plain = json.dumps({"JobStatus": "Success", "UserData": text}, ensure_ascii=False)
    assert summarise(plain.encode()).userData == text
    with pytest.raises(
        BadResponse, match=r"no UTF-8 \(byte \d+\) and no Chinese in GB18030; save the response as UTF-8"
    ):
        summarise(plain.encode(encoding))


def test_a_byte_that_is_no_utf8_is_refused_and_never_becomes_part_of_a_name() -> None:
    good = json.dumps({"JobStatus": "Success", "UserData": "国家大剧院|国家"}, ensure_ascii=False).encode()
    with pytest.raises(BadResponse, match="no UTF-8"):
        summarise(good.replace(b"|", b"\xff"))
    with pytest.raises(BadResponse, match="broken UTF-16"):
        summarise(good.decode().encode("utf-16-le").replace("|".encode("utf-16-le"), b"\x00\xd8"))


@pytest.mark.parametrize(
    "stretch", [b'"\\', b'\\"', b'"', b'"a\\\n', b"1", b"1.", b"1" * 250 + b",", b"-N", b"[", b"-Infinity "]
)
def test_mending_takes_time_in_proportion(stretch: bytes) -> None:
    hostile = b'{"JobStatus":"Success","UserData":' + stretch * (400_000 // len(stretch))
    started = time.process_time()
    with pytest.raises(BadResponse):
        summarise(hostile)
    assert time.process_time() - started < 30  # two seconds at most; many minutes if it were quadratic


def test_user_data_that_is_no_text_becomes_canonical_json() -> None:
    summary = summarise(answer(UserData={"b": 1, "a": "片"}, Message=7))
    assert (summary.userData, summary.message) == ('{"a":"片","b":1}', "7")
    assert codes(summary) == [("not-text", "$.UserData"), ("not-text", "$.Message")]


def test_one_person_in_two_rows_is_one_and_two_unknown_faces_are_two() -> None:
    rows = [person(seen(f, f + 2.0), ratio=0.1, category=c) for f in (0.0, 1.0) for c in ("celebrity", "unknown")]
    named, *unknown = summarise(answer(("VideoLabel", {"persons": rows}))).persons
    assert (named.seenMs, named.sumMs, named.ratio, named.appearanceCount) == (3000, 4000, 0.2, 2)
    assert [face.seenMs for face in unknown] == [2000, 2000]


def test_two_people_without_a_name_are_two() -> None:
    rows = [person(seen(0.0, 2.0), name=name) for name in ("", None, " ", " ")]
    assert len(summarise(answer(("VideoLabel", {"persons": rows}))).persons) == 4


@pytest.mark.parametrize("category", ["Unknown", " unknown", "未知人脸"])
@pytest.mark.parametrize("name", ["VideoLabel", "ImageLabel"])
def test_unknown_faces_are_those_of_every_spelling(name: str, category: str) -> None:
    rows = [person(seen(0.0, 2.0), category=category, name="未知人脸") for _ in range(2)]
    found = summarise(answer((name, {"persons": rows}))).persons
    assert [face.category for face in found] == ["unknown", "unknown"]


def test_ratios_that_share_no_duration_are_doubted() -> None:
    rows = [person(seen(0.0, 10.0), ratio=0.1), person(seen(0.0, 10.0), ratio=0.5, name="乙")]
    summary = summarise(answer(("VideoLabel", {"persons": rows})))
    assert [warning.code for warning in summary.warnings] == ["ratios-disagree"]
    assert (summary.media.durationMs, summary.media.durationSource) == (10_000, "maxTo")


def test_a_duration_that_ends_before_its_ranges_is_doubted() -> None:
    summary = summarise(answer(("VideoLabel", {"persons": [person(seen(90.0, 95.0), ratio=0.1)]})))
    assert [warning.code for warning in summary.warnings] == ["ratios-disagree"]


@pytest.mark.parametrize(
    ("end", "low", "high"),
    [
        (1.0, 1_200_000, 3_600_000),  # all that the ratio says
        (3000.0, 2_999_900, 3_600_000),
        (3650.0, 1_200_000, 3_600_000),  # they contradict each other; the ratio is believed
    ],
)
def test_speech_narrows_the_duration_down(end: float, low: int, high: int) -> None:
    seldom = {"persons": [person(seen(10.0, 11.8), ratio=0.001)]}
    said = {"details": [{"from": 0.0, "to": end, "content": "好"}]}
    media = summarise(answer(("VideoLabel", seldom), ("ASR", said))).media
    assert media.durationMs is not None
    assert media.durationErrorMs is not None
    assert (media.durationMs - media.durationErrorMs, media.durationMs + media.durationErrorMs) == (low, high)


@pytest.mark.parametrize("lost", [seen(20.0, 15.0), seen(20.0, None), seen(-5.0, 1.0), None])
def test_a_row_that_lost_time_tells_no_duration(lost: Any) -> None:
    """Its ratio counts the range that was dropped or cut."""
    summary = summarise(answer(("VideoLabel", {"persons": [person(seen(0.0, 10.0), lost, ratio=0.5)]})))
    assert (summary.media.durationMs, summary.media.durationSource) == (10_000, "maxTo")


@pytest.mark.parametrize("ratio", [0.0005000000000000001, 0.000500001])
def test_a_ratio_that_bounds_nothing_tells_no_duration(ratio: float) -> None:
    summary = summarise(answer(("VideoLabel", {"persons": [person(seen(0.0, 1e6), ratio=ratio)]})))
    assert b'"durationMs":1000000000,"durationSource":"maxTo"' in summary.to_json()


def test_text_in_a_picture_has_no_duration() -> None:
    text = ("OCR", {"details": [{"timestamp": 0.0, "info": [{"content": "甲", "score": 0.9}]}]})
    for results, kind in (((("ImageLabel", {}), text), "image"), ((text,), "unknown")):
        media = summarise(answer(*results)).media
        assert (media.kind, media.durationMs, media.durationSource) == (kind, None, None)


def test_blanks_around_the_json_are_nothing() -> None:
    assert summarise(b" " * 300 + answer(("Meta", {"title": "题"})) + b"\n").title == "题"


def test_an_alert_counts_in_words() -> None:
    rows = [
        person(*[seen(float(i), i + 0.5) for i in range(count)], name=str(count), category="sensitive")
        for count in (2, 1)
    ]
    assert [alert.detail for alert in summarise(answer(("VideoLabel", {"persons": rows}))).alerts] == [
        "2 appearances, first at 0.000 s, 1.000 s in all",
        "1 appearance, first at 0.000 s, 0.500 s in all",
    ]


def test_sensitive_people_of_both_generations_are_alerts() -> None:
    entity = {"labelLevel1": "人脸", "labelLevel2": "敏感人物,名人", "label": "乙", "detailInfo": []}
    persons = [
        person(seen(1.0, 2.0), category=category, name=category) for category in ("sensitive", "politician", "x")
    ]
    summary = summarise(answer(("VideoLabel", {"persons": persons}), ("CPVLabel", {"entities": [entity]})))
    assert sorted((alert.kind, alert.name) for alert in summary.alerts) == [
        ("politician", "politician"),
        ("sensitive-person", "sensitive"),
        ("sensitive-person", "乙"),
    ]


def test_only_web_addresses_become_links() -> None:
    links = {"a": "https://example.com/a", "b": "javascript:alert(1)", "c": None, "d": {"e": 1}}
    summary = summarise(answer(("Process", links), ("Process", "https://example.com/raw.json")))
    assert [(link.name, link.url) for link in summary.links] == [
        ("a", "https://example.com/a"),
        ("", "https://example.com/raw.json"),
    ]
    assert [path for _, path in codes(summary)] == [".b", ".d"]


def test_a_url_is_all_that_a_type_of_links_needs_and_blanks_around_it_do_not_count() -> None:
    given = (
        ("Process", " https://e.com/p\n"),
        ("Subtitle", "https://e.com/s"),
        ("Subtitle", {"a": " https://e.com/a "}),
    )
    summary = summarise(answer(*given))
    assert [link.url for link in summary.links] == ["https://e.com/p", "https://e.com/s", "https://e.com/a"]
    assert {state.state for state in summary.types.values()} == {"ok"}
    assert {code for code, _ in codes(summary)} == {"no-details"}
    (links,) = summarise(answer(("ASR", "\nhttps://e.com/asr.json"))).links
    assert links.url == "https://e.com/asr.json"


def test_a_process_that_failed_is_told() -> None:
    summary = summarise(answer(("Process", {"success": False, "message": "x"})))
    assert (summary.types["Process"].state, codes(summary)) == ("failed", [("vendor-failed", "")])


def test_a_text_is_shown_as_first_spelled_though_a_frame_in_between_is_odd() -> None:
    boxes = [{"content": text, "score": 0.5} for text in ("别", "字 幕", "字幕")]
    frames = [{"timestamp": float(at), "info": [box]} for at, box in enumerate(boxes)]
    frames[0]["info"][0]["textType"] = ["2"]
    screen = summarise(answer(("OCR", {"details": frames}))).screenText
    assert screen is not None
    assert [(item.text, item.count, item.textType) for item in screen.items] == [("字 幕", 2, None), ("别", 1, None)]


def test_a_text_with_a_nul_is_not_the_one_with_what_replaces_it() -> None:
    odd = [{"content": text, "score": 1} for text in ("a\0", "a\ufffd", "a\0")]
    summary = summarise(answer(("OCR", {"details": [{"timestamp": 0, "info": [box]} for box in odd]})))
    assert summary.screenText is not None
    assert [(item.text, item.count) for item in summary.screenText.items] == [("a\ufffd", 2), ("a\ufffd", 1)]
    assert [code for code, _ in codes(summary)] == ["nul", "nul"]


def test_screen_text_is_grouped_by_what_it_says() -> None:
    boxes = [(2.0, " 字 ", 0.5), (1.0, "字", 0.9), (4.0, "字", -1.0), (3.0, "别", 0.1)]
    details = [{"timestamp": t, "info": [{"content": c, "score": s, "textType": 2}]} for t, c, s in boxes]
    screen = summarise(answer(("OCR", {"details": details}))).screenText
    assert screen is not None
    assert (screen.frames, screen.detections, screen.distinct) == (4, 4, 2)
    assert [(i.text, i.count, i.firstMs, i.lastMs, i.bestScore, i.textType) for i in screen.items] == [
        ("字", 3, 1000, 4000, 0.9, "2"),
        ("别", 1, 3000, 3000, 0.1, "2"),
    ]


def test_a_frame_that_is_its_only_box_is_read() -> None:
    summary = summarise(answer(("OCR", {"details": [{"timestamp": 1.0, "content": "字", "score": 0.5}]})))
    assert summary.screenText is not None
    assert [(item.text, item.firstMs, item.bestScore) for item in summary.screenText.items] == [("字", 1000, 0.5)]
    assert codes(summary) == [("single-object", ".details[0].info")]


def test_text_tags_split_trim_and_keep_each_value_once() -> None:
    tags = [{"name": "地域", "value": " 北京，上海,北京 ,,"}, {"name": "地域", "value": "广州"}]
    (tag,) = summarise(answer(("TextLabel", {"tags": tags}))).textTags
    assert tag.values == ("北京", "上海", "广州")


@pytest.mark.parametrize(
    ("tags", "state", "warned"),
    [
        ([{"name": "地域", "value": " ,"}], "empty", ["no-text"]),
        ([{"name": "地域", "values": ["北京"]}], "invalid", ["wrong-type"]),
        ({"地域": "北京,上海"}, "invalid", ["single-object", "wrong-type"]),
    ],
)
def test_a_text_tag_without_a_value_is_none(tags: Any, state: str, warned: list[str]) -> None:
    summary = summarise(answer(("TextLabel", {"tags": tags})))
    assert (summary.textTags, summary.types["TextLabel"].state) == ((), state)
    assert [code for code, _ in codes(summary)] == warned


def test_a_title_of_blanks_is_none() -> None:
    summary = summarise(answer(("Meta", {"title": "  "}), ("Meta", {"title": "T"})))
    assert summary.title == "T"
    assert summarise(answer(("Meta", {"title": " \n"}))).types["Meta"].state == "empty"


def test_warnings_are_bounded_and_count_the_rest() -> None:
    rows = [seen(2.0, 1.0) for _ in range(5000)] + [seen("1.0", 2.0)]
    summary = summarise(answer(("VideoLabel", {"persons": [person(*rows)]})))
    assert [warning.code for warning in summary.warnings] == ["reversed-range"] * 20 + ["number-as-text", "more"]
    assert summary.warnings[-1].message == "and 4980 more; in all: 5000 reversed-range"


def test_two_results_of_the_language_model_are_put_together() -> None:
    parts = [
        {
            "summarization": {"paragraphSummary": text, "mindMapSummary": [{"title": text}]},
            "meetingAssistance": {"keywords": [text, text], "classifications": {text: 0.5, "odd": -1}},
            "translation": {"paragraphs": {"sentences": [{"sentenctId": 1, "text": "Yes."}, {"text": "Yes."}]}},
        }
        for text in ("一", "二")
    ]
    nlp = summarise(answer(("NLP", parts[0]), ("NLP", parts[1]))).nlp
    assert nlp is not None
    assert (nlp.summary, nlp.keywords, nlp.topics) == ("一\n二", ("一", "一", "二", "二"), ("一", "二"))
    assert (nlp.scenes, nlp.translation) == ({"一": 0.5, "二": 0.5}, "Yes.\nYes.\nYes.\nYes.")


def test_every_title_of_a_mind_map_is_kept_each_before_those_below_it() -> None:
    below: list[Any] = [{"title": "历史", "topic": [{"title": "百年"}]}, 7, {"title": "修复", "topic": []}]
    deep: dict[str, Any] = {"title": "底"}
    for _ in range(300):
        deep = {"topic": [deep]}
    maps = [{"title": "老码头", "topic": below}, {"title": "街区"}, deep]
    summary = summarise(answer(("NLP", {"summarization": {"mindMapSummary": maps}})))
    assert summary.nlp is not None
    assert summary.nlp.topics == ("老码头", "历史", "百年", "修复", "街区", "底")
    assert codes(summary) == [("wrong-type", ".summarization.mindMapSummary[0].topic[1]")]


def test_a_failed_part_is_told() -> None:
    summary = summarise(answer(("TextLabel", {"success": False, "message": "x", "tags": []})))
    assert codes(summary) == [("vendor-failed", "")]
    assert summary.types["TextLabel"].state == "failed"


def test_nobody_knows_what_was_said_where_the_analysis_failed() -> None:
    nothing = summarise(answer(*((kind, {"success": False, "details": []}) for kind in ("ASR", "OCR"))))
    assert (nothing.transcript, nothing.screenText) == (None, None)
    assert {state.state for state in nothing.types.values()} == {"failed"}
    some = summarise(answer(("ASR", {"success": False, "details": [{"from": 0.5, "to": 1.0, "content": "好"}]})))
    assert some.types["ASR"].state == "ok"
    assert some.transcript is not None


def words(*given: tuple[Any, int, int, str]) -> dict[str, Any]:
    names = ("sentenceId", "start", "end", "text")
    return {"transcription": {"paragraphs": [{"words": [dict(zip(names, word, strict=True)) for word in given]}]}}


def test_the_words_of_nlp_are_the_speech_of_a_job_without_asr() -> None:
    said = words(
        (1, 500, 700, "大家"), (1, 700, 900, "好。"), (2, 950, 990, "Hello,"), (2, 990, 1200, "world"), (3, 5, 1, "x")
    )
    for others in ((), (("ASR", {"details": []}),)):
        analysis = analyse(answer(("NLP", said), *others))
        assert analysis.segments == (Segment(500, 900, "大家好。"), Segment(950, 1200, "Hello, world"))
        assert [(row.kind, row.name) for row in analysis.occurrences] == [
            ("speech", "大家好。"),
            ("speech", "Hello, world"),
        ]
    heard = analyse(answer(("NLP", said), ("ASR", {"details": [{"from": 0.5, "to": 0.9, "content": "大家好"}]})))
    assert heard.segments == (Segment(500, 900, "大家好"),)
    assert len(heard.occurrences) == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            "ch\u00e0o th\u1ebf gi\u1edbi , b\u1ea1n",
            "ch\u00e0o th\u1ebf gi\u1edbi, b\u1ea1n",
        ),  # Vietnamese, as one types it
        ("cafe\u0301 noir", "cafe\u0301 noir"),
        ("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd .", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd."),
        (
            "\u0645\u0631\u062d\u0628\u0627 \u060c \u0628\u0643\u0645",
            "\u0645\u0631\u062d\u0628\u0627\u060c \u0628\u0643\u0645",
        ),
        (
            "\u0928\u092e\u0938\u094d\u0924\u0947 \u091c\u0940 \u0964",
            "\u0928\u092e\u0938\u094d\u0924\u0947 \u091c\u0940\u0964",
        ),
        ("\u0e2a\u0e27\u0e31\u0e2a \u0e14\u0e35", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35"),  # Thai, which has none
    ],
)
def test_words_of_every_script_that_has_spaces_are_parted(given: str, sentence: str) -> None:
    said = words(*((1, at, at + 1, word) for at, word in enumerate(given.split(" "))))
    assert [segment.text for segment in analyse(answer(("NLP", said))).segments or ()] == [sentence]


def test_a_paragraph_without_words_is_read_as_what_it_says_itself() -> None:
    paragraph = {"paragraphId": "1", "start": 0, "end": 900, "text": "大家好"}
    found = analyse(answer(("NLP", {"transcription": {"paragraphs": [paragraph]}})))
    assert found.segments == (Segment(0, 900, "大家好"),)
    assert codes(found.summary) == [("single-object", ".transcription.paragraphs[0].words")]


@pytest.mark.parametrize("sentence", [None, [1], {"a": 1}, "1"])
def test_words_without_a_number_of_their_sentence_stand_together(sentence: Any) -> None:
    analysis = analyse(answer(("NLP", words((sentence, 3, 4, "二"), (sentence, 1, 2, "一"), (sentence, 5, 6, " ")))))
    assert analysis.segments == (Segment(1, 6, "二一"),)


def test_garbage_that_is_made_while_the_collector_rests_is_collected_once_it_is_back() -> None:
    class Knot:
        def __init__(self) -> None:
            self.itself = self

    alive: weakref.WeakSet[Knot] = weakref.WeakSet()
    for _ in range(2_000):
        with gc_pause.paused():
            alive.add(Knot())
        assert [[] for _ in range(1_000)]  # enough for the collector to come by
    assert len(alive) < 200


def test_the_collector_is_put_back_by_the_last_thread_only() -> None:
    assert gc.isenabled()
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with gc_pause.paused():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    with pytest.raises(BadResponse):
        summarise(b"{}")
    assert not gc.isenabled()
    leave.set()
    thread.join(10)
    assert gc.isenabled()
    gc.disable()
    try:
        summarise(answer())
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("ASR", {"details": [{"from": 2.0, "to": 1.0, "content": "好"}, {"content": "好"}]}),
        ("ASR", {"sentences": [{"begin": 1, "text": "好"}]}),
        ("ASR", {"details": [{"from": 0.5, "to": 1.0, "sentence": "好"}]}),
        ("ASR", {"details": "https://example.com/asr.json"}),
        ("OCR", {"details": [{"timestamp": "soon", "info": [{"content": "字"}]}]}),
        ("OCR", {"details": [{"timestamp": 1.0, "info": [7]}]}),
        ("NLP", {"transcription": {"paragraphs": [{"words": [{"text": "好"}]}]}}),
        ("VideoLabel", {"persons": [7]}),
        ("VideoLabel", {"persons": [{"personName": "甲"}]}),
        ("VideoLabel", {"persons": {"甲": person(seen(1.0, 2.0))}}),
        ("VideoLabel", {"tags": [{"name": "山", "occurrences": [seen(1.0, 2.0)]}]}),
        ("ImageLabel", {"classifications": [{"class": "风光"}]}),
        ("CPVLabel", {"cates": [{"name": "旅游"}]}),
        ("NLP", {"summarization": {"questionsAnsweringSummary": [{"q": "何时"}]}}),
        ("NLP", {"transcription": {"paragraphs": [{"paragraphId": "1", "sentences": [{"text": "好"}]}]}}),
        ("Process", {"url": "javascript:alert(1)"}),
    ],
)
def test_what_nothing_could_be_read_of_is_invalid_and_not_empty(name: str, data: Any) -> None:
    summary = summarise(answer((name, data)))
    assert summary.types[name].state == "invalid"
    assert (summary.transcript, summary.screenText, summary.nlp) == (None, None, None)
    assert summary.warnings


@pytest.mark.parametrize(
    "data",
    [{"details": [], "requestId": "r"}, {"message": "SUCCESS", "requestId": ""}, {"details": ""}, {"details": None}],
)
def test_what_held_nothing_is_empty(data: Any) -> None:
    summary = summarise(answer(("ASR", data)))
    assert summary.types["ASR"].state == "empty"
    assert summary.transcript is not None
    assert summary.transcript.segments == 0


def test_a_field_given_as_a_url_is_a_link_and_the_rest_is_read() -> None:
    data = {"persons": [person(seen(1.0, 2.0))], "tags": "https://example.com/tags.json"}
    summary = summarise(answer(("VideoLabel", data)))
    assert [(link.type, link.name, link.url) for link in summary.links] == [
        ("VideoLabel", "tags", "https://example.com/tags.json")
    ]
    assert (summary.types["VideoLabel"].state, len(summary.persons)) == ("ok", 1)
    assert codes(summary) == [("result-elsewhere", ".tags"), ("wrong-type", ".tags")]


def test_json_written_as_text_is_read_at_every_level_and_said_so() -> None:
    row = json.dumps(seen(1.0, 2.0, position=json.dumps({"leftTop": [1, 2], "rightBottom": [3, 4]})))
    data = json.dumps({"persons": json.dumps([json.dumps(person(row))])})
    response = json.dumps(
        json.dumps(
            {
                "JobStatus": "Success",
                "Results": json.dumps({"Result": [json.dumps({"Type": "VideoLabel", "Data": json.dumps(data)})]}),
            }
        )
    )
    summary = summarise(response.encode())
    (found,) = summary.persons
    assert (found.name, found.seenMs) == ("甲", 1000)
    assert found.bestFrame is not None
    assert found.bestFrame.position == {"leftTop": [1, 2], "rightBottom": [3, 4]}
    assert {code for code, _ in codes(summary)} == {"json-as-text"}


def test_a_text_that_only_looks_like_json_stays_what_it_is() -> None:
    said = {"details": [{"from": 0.5, "to": 1.0, "content": '{"a": 1}'}]}
    summary = summarise(answer(("ASR", said), ("Meta", {"title": "[1]"}), UserData='{"asset": 7}'))
    assert summary.transcript is not None
    assert (summary.transcript.excerpt, summary.title, summary.userData) == ('{"a": 1}', "[1]", '{"asset": 7}')
    assert summary.warnings == ()


@pytest.mark.parametrize("box", [{"leftTop": [1, 2]}, {"leftTop": [1], "rightBottom": [3, 4]}, [1, 2, 3, 4], "1,2,3,4"])
def test_a_face_box_of_another_shape_is_left_out(box: Any) -> None:
    summary = summarise(answer(("VideoLabel", {"persons": [person(seen(1.0, 2.0, position=box))]})))
    assert summary.persons[0].bestFrame is not None
    assert summary.persons[0].bestFrame.position is None
    assert [code for code, _ in codes(summary)] == ["wrong-type"]


def test_nul_and_halves_of_pairs_are_replaced_wherever_they_stand() -> None:
    data = {
        "persons": [person(seen(1.0, 2.0, scene="a\0"), name="甲\0", category="x\0")],
        "tags": [{"mainTagName": "\0", "subTagName": "\0"}],
    }
    entity = {"label": "乙\0", "detailInfo": [], "knowledgeInfo": json.dumps({"k\0": ["v\0"]})}
    minutes = {"meetingAssistance": {"classifications": {"s\0": 0.5}}}
    links = {"l\0": "https://example.com/\0"}
    response = answer(
        ("VideoLabel", data),
        ("CPVLabel", {"entities": [entity]}),
        ("NLP", minutes),
        ("Process", links),
        ("OCR", {"details": [{"timestamp": 1.0, "info": [{"content": "字\0", "score": 0.5}]}]}),
        ("T\0", {}),
        UserData="u\0",
        Message="m\0",
    )
    written = summarise(response, "job\0\udcff").to_json()
    assert b"\\u0000" not in written
    told = json.loads(written)
    assert (told["jobId"], told["userData"], told["message"]) == ("job\ufffd\ufffd", "u\ufffd", "m\ufffd")
    assert told["persons"][0]["name"] == "甲\ufffd"
    assert told["concepts"][0]["knowledge"] == {"k\ufffd": ["v\ufffd"]}
    assert "nul" in {warning["code"] for warning in told["warnings"]}


def test_hot_words_alone_make_no_video_and_other_concepts_do() -> None:
    word = {"label": "词", "detailInfo": [{"startTime": 1.0, "endTime": 2.0, "score": 0.5}]}
    for field, kind in (("hotwords", "unknown"), ("cates", "video")):
        media = summarise(answer(("CPVLabel", {field: [word]}))).media
        assert (media.kind, media.durationMs) == (kind, 2000)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("Note: | this | is | it.", "Note: this is it."),
        ("It | ended. | Then | we | left", "It ended. Then we left"),
        ("1, | 000 | people", "1,000 people"),
        ("Привет, | мир", "Привет, мир"),
        ("회의가 | 끝났습니다. | 다음", "회의가 끝났습니다. 다음"),
        ("大家 | 用 | Python | 写", "大家用Python写"),
        ("a@ | example. | com", "a@example.com"),
    ],
)
def test_words_without_spaces_get_those_that_their_script_needs(given: str, text: str) -> None:
    given_words = [(1, 10 * at, 10 * at + 5, word) for at, word in enumerate(given.split(" | "))]
    analysis = analyse(answer(("NLP", words(*given_words))))
    assert [segment.text for segment in analysis.segments or ()] == [text]
