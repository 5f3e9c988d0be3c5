"""JSON that is broken in one of the ways that are safe to mend."""

from __future__ import annotations

import json
import math

from shared.patterns import regex

_DIGITS = 15  # of an integer that a float would not hold as exactly
# What may follow a backslash; where nothing of it does, or half a surrogate pair stands alone, it needs mending.
_ESCAPE = regex(
    r"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(?P<half>u[dD][89a-fA-F][\da-fA-F]{2})"
    r'|["\\/bfnrt]|u[\da-fA-F]{4}|(?P<none>))'
)
_INSTEAD = {None: r"\g<0>", "half": "\ufffd", "none": r"\\\\"}


def loads(text: str) -> object:
    r"""Parse JSON that may hold control characters, wrong escapes, halves of surrogate pairs and endless numbers.

    The backslash of a wrong escape, such as ``\N``, is a backslash; a number that is not finite is null.

    Raises:
        ValueError: it is broken beyond that.
    """
    text = _ESCAPE.sub(lambda found: found.expand(_INSTEAD[found.lastgroup]), text)
    try:
        return json.loads(text, strict=False, parse_constant=lambda _: None, parse_int=_integer, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


def _integer(number: str) -> float | None:
    return int(number) if len(number) < _DIGITS else _finite(number)
