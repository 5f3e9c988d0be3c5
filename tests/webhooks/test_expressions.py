"""``when`` and ``select`` within their budget: the library's own answers, or a refusal in good time."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import jmespath
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.errors import BadInput
from shared.smarttag import summarise
from shared.webhooks import expressions
from shared.webhooks.expressions import LONGEST, SAMPLE, STEPS

ROOT = Path(__file__).parents[2]
SUMMARY = orjson.loads(summarise((ROOT / "local" / "recorded" / "documented.json").read_bytes(), "a").to_json())
MANY = 20_000 if os.environ.get("SOAK") else 200

evaluate = functools.partial(expressions.evaluate, written=True)
fault = functools.partial(expressions.fault, written=True)

PARTS = (
    *(
        "persons",
        "name",
        "tags",
        "@",
        "*",
        "[]",
        "[*]",
        "[0]",
        "[-1]",
        "[1:]",
        "[::-1]",
        "[::2]",
        "[?",
        "]",
        "[",
        "{a:",
    ),
    *("}", "(", ")", ".", ",", "|", "||", "&&", "!", "==", "!=", "<", ">=", "&", "`1`", "`[1,2]`", '`"x"`', "'x'", ":"),
    *("length(", "sort(", "sort_by(", "map(&", "join(", "to_string(", "to_number(", "contains(", "keys(", "merge("),
    *("max_by(", "reverse(", "sum(", "not_null(", "type(", "0", "-", '"', "`", "'", "\\", " ", "x", "é"),
)


@pytest.mark.filterwarnings("ignore:deprecated string literal")  # the library's, for `x` without quotes
@settings(max_examples=MANY, deadline=None)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=12).map("".join) | st.text(min_size=1, max_size=20))
@example("`" + "[" * 1900)
@example("!" * 1900)
@example("a." * 900 + "a")
@example("'" + "9" * 1900 + "' | to_number(@)")
def test_whatever_is_written_is_told_as_a_fault_or_gives_what_the_library_gives(expression: str) -> None:
    found = fault(expression)
    theirs = outcome(jmespath.search, expression, SUMMARY)
    if found is None:
        assert outcome(evaluate, expression, SUMMARY) == theirs
    elif "is no valid JMESPath" in found and "there is no function" not in found:
        assert theirs == "refused"


def outcome(search: Any, expression: str, value: object) -> str:
    try:
        return json.dumps(search(expression, value), default=lambda _: "an expression")
    except (ValueError, TypeError, OverflowError, RecursionError, LookupError, BadInput):
        return "refused"


# What the library computes from what the summary may hold, for every function and kind of node at least once.
EXPRESSIONS = (
    "persons[?sensitive].name",
    "persons[*].[name, seenMs]",
    "sort_by(persons, &seenMs)[-1].name",
    "max_by(persons, &seenMs).name",
    "min_by(persons, &seenMs).name",
    "persons[].appearances[] | [0]",
    "tags[?contains(name, '人') || ratio > `0.1`] | {n: length(@), names: [].name}",
    "join(', ', sort(persons[].name))",
    "reverse(keys(media)) | sort(@)",
    "values(media)",
    "merge(media, {x: `1`})",
    "types.*.count | sum(@)",
    "avg(persons[].seenMs)",
    "to_string(persons[0])",
    "to_array(status) | [0]",
    "to_number('12.5')",
    "map(&length(appearances), persons)",
    "not_null(title, message, jobId)",
    "starts_with(status, 'S') && ends_with(status, 's')",
    "!persons || status != 'Fail'",
    "[abs(`-1`), ceil(`1.2`), floor(`1.8`), max(`[1, 2]`), min(`[1, 2]`)]",
    "persons[:2].name",
    "type(persons)",
    "@",
)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_budget_changes_no_answer(expression: str) -> None:
    assert fault(expression) is None
    assert evaluate(expression, SUMMARY) == jmespath.search(expression, SUMMARY)


def doubled(start: str, step: str, times: int) -> str:
    return "|".join([start, *[step] * times])


ROWS = {"items": [{"text": f"促销{number}", "n": number} for number in range(50_000)]}
COSTLY: dict[str, str] = {
    "doubling, of 117 characters": doubled("@", "[@,@]", 19) + "|@",
    "doubling, of 150 characters": doubled("@", "[@,@]", 24) + "|@",
    "doubling an object": doubled("@", "{a:@,b:@}", 25),
    "doubling, compared": "({0}) == ({0})".format(doubled("@", "[@,@]", 25)),
    "doubling, compared for order of writing": "({0}) != ({0})".format(doubled("@", "[@,@]", 25)),
    "doubling, as text": doubled("@", "[@,@]", 25) + "|to_string(@)",
    "doubling, searched": "contains({0}, {0})".format(doubled("@", "[@,@]", 25)),
    "doubling a list": doubled("[@]", "[@,@]|[]", 25),
    "flattening a list of one long list": doubled("[@]", "[@,@]|[]", 19)
    + "|[@]|[@[0]]|"
    + doubled("@", "[@,@]|[]", 19),
    "joining": doubled("'x'", "join('',[@,@])", 40),
    "joining with a long separator": doubled("'x'", "join('',[@,@])", 15)
    + "|{s:@,l:[@]}|"
    + doubled("l", "[@,@]|[]", 15)
    + "|join(@[0],@)",
    "joining the rows again and again": "items[].text|" + doubled("join('',@)", "join('',[@,@])", 12),
    "escaping": doubled("'\"'", "to_string([@])", 60),
    "sorting": doubled("items", "[@,@]|[]", 8) + "|sort_by(@,&text)",
    "sorting the sorted": doubled("items[].text", "[@,@]|[]|sort(@)", 20),
    "reading a long number": doubled("'9'", "join('',[@,@])", 20) + "|to_number(@)",
    "reversing": doubled("'x'", "join('',[@,@])|reverse(@)", 40),
    "rows by rows": "items[].[" + ",".join(["text"] * 60) + "]",
}


@pytest.mark.parametrize("expression", COSTLY.values(), ids=COSTLY.keys())
def test_what_costs_too_much_is_refused_and_says_so(expression: str) -> None:
    assert len(expression) <= LONGEST
    with pytest.raises(BadInput, match=f"takes more than {STEPS:,} steps; make it simpler"):
        evaluate(expression, ROWS)


KNOWN_BEFORE = [name for name in COSTLY if "items" not in COSTLY[name]]


@pytest.mark.parametrize("name", KNOWN_BEFORE)
def test_what_costs_too_much_for_any_job_is_known_before_there_is_one(name: str) -> None:
    assert "takes more than 20,000 steps" in str(fault(COSTLY[name]))


def test_it_is_known_of_what_a_summary_is_sure_to_hold() -> None:
    assert fault(doubled("persons", "[@,@]", 25)) is not None
    assert fault(doubled("screenText.items", "[@,@]", 25)) is not None


def test_the_sample_has_the_names_of_a_summary() -> None:
    assert SAMPLE.keys() == SUMMARY.keys()


def test_large_and_honest_is_within_the_budget() -> None:
    found = evaluate("items[?n >= `25000` && contains(text, '促销')].{t: text, n: n}", ROWS)
    assert len(found) == 25_000


def test_only_what_is_written_is_paid_for_as_such() -> None:
    costly = doubled("@", "[@,@]", 25)
    assert expressions.fault(costly, written=False) is None
    assert expressions.evaluate(costly, ROWS, written=False)


@pytest.mark.parametrize("expression", ["|".join(["@"] * 99), "not_null(" * 98 + "@" + ")" * 98, "!" * 99 + "@"])
def test_the_deepest_that_is_taken_can_be_evaluated(expression: str) -> None:
    assert fault(expression) is None
    evaluate(expression, SUMMARY)


def test_no_refusal_quotes_the_job() -> None:
    private = {"name": "a private name", "rows": [{"name": "a private name"}, {"name": 1}]}
    for expression in ("abs(name)", "sort_by(rows, &name)", "abs(@)", doubled("@", "[@,@]", 25) + "|abs(@)"):
        with pytest.raises(BadInput) as caught:
            evaluate(expression, private)
        assert "private" not in caught.value.message
        assert len(caught.value.message) < 200
        assert caught.value.__cause__ is None, "the library's error holds the value"
