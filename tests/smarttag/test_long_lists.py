"""Decoding in batches gives what decoding the whole gives, wherever it is cut and however odd the rows are."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import BadResponse
from shared.smarttag import decode, long_lists
from shared.smarttag.model import Analysis
from tests.smarttag import strategies

WHOLE = 1 << 40


def read(response: bytes, batch: int) -> Analysis | str:
    try:
        return decode.read(response, "job", details=True, batch=batch)
    except BadResponse as error:
        return str(error)


def both_ways(response: bytes, batch: int) -> bool:
    """Assert that both ways say the same, warnings in any order; return whether anything was cut out."""
    whole, cut = read(response, WHOLE), read(response, batch)
    if isinstance(whole, str) or isinstance(cut, str):
        assert whole == cut
    else:
        assert replace(cut.summary, warnings=()) == replace(whole.summary, warnings=())
        assert (cut.segments, cut.occurrences) == (whole.segments, whole.occurrences)
        assert Counter(cut.summary.warnings) == Counter(whole.summary.warnings)
    return bool(long_lists.find(response, batch))


def respond(**data: bytes) -> bytes:
    results = [{"Type": name, "Data": text.decode()} for name, text in data.items()]
    return orjson.dumps({"JobStatus": "Success", "Results": {"Result": results}})


def frames(count: int = 40, **more: Any) -> list[dict[str, Any]]:
    box = {"content": '字",{"timestamp":[]}]', "score": 0.5}  # holds what cuts are made at
    return [
        {"timestamp": at / 4, "info": [box, {"content": f"文{at % 7}", "score": 0.25}], **more} for at in range(count)
    ]


@settings(max_examples=40)
@given(st.data(), st.integers(1, 400))
def test_any_documented_response_reads_the_same(data: st.DataObject, batch: int) -> None:
    names = data.draw(st.lists(st.sampled_from(["VideoLabel", "OCR", "ASR", "TextLabel", "ImageLabel"]), min_size=1))
    results = [{"Type": name, "Data": orjson.dumps(data.draw(strategies.DATA[name])).decode()} for name in names]
    both_ways(orjson.dumps({"JobStatus": "Success", "Results": {"Result": results}}), batch)


@settings(max_examples=40)
@given(strategies.anything, st.integers(1, 400))
def test_any_bytes_read_the_same(response: bytes, batch: int) -> None:
    both_ways(response, batch)


PLAIN = respond(OCR=orjson.dumps({"details": frames()}))
ODD = {
    "rows that are none": PLAIN.replace(b'{\\"timestamp\\":2.5', b'7,null,\\"{}\\",{\\"timestamp\\":\\"2.5\\"'),
    "rows of another first key": respond(OCR=orjson.dumps({"details": [*frames(), {"info": []}, *frames()]})),
    "a number that stands for no list": respond(OCR=orjson.dumps({"details": frames(), "x": [-46116860184270000]})),
    "a list twice": PLAIN.replace(b'{\\"details\\":[', b'{\\"details\\":[{\\"timestamp\\":1}],\\"details\\":[', 1),
    "a list inside a list": respond(OCR=orjson.dumps({"x": {"details": frames()}, "details": frames()})),
    "the same rows below": respond(OCR=orjson.dumps({"details": frames(info=frames())})),
    "two results": respond(OCR=orjson.dumps({"details": frames()}), VideoLabel=orjson.dumps({"tags": frames()})),
    "a Type that nobody knows": respond(Other=orjson.dumps({"details": frames()})),
    "a result that breaks off": respond(OCR=orjson.dumps({"details": frames()})[:-40]),
    "a broken row": PLAIN.replace(b'{\\"timestamp\\":2.5', b'{\\"timestamp\\":+2.5'),
    "a control character": PLAIN.replace(b"2.5,", b"2.5\\u0001,"),
    "half of a surrogate pair": PLAIN.replace(b"2.5,", b'2.5,\\"\\\\ud800\\":1,'),
    "no UTF-8": PLAIN.replace("文".encode(), b"\xff"),
    "GB18030": PLAIN.decode().encode("gb18030"),
    "a byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "cut off": PLAIN[:-30],
}


@pytest.mark.parametrize("name", ODD)
def test_odd_lists_read_the_same(name: str) -> None:
    assert both_ways(ODD[name], 500), "nothing was cut out"


def test_a_large_result_is_never_in_memory_as_a_whole() -> None:
    response = respond(OCR=orjson.dumps({"details": frames(5_000)}))
    assert long_lists.find(response, 8192)
    tracemalloc.start()
    try:
        decode.read(response, "job", details=False, batch=8192)
        assert tracemalloc.get_traced_memory()[1] < len(response)
    finally:
        tracemalloc.stop()
