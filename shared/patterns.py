"""Regular expressions that cost nothing until something is matched: a cold start meets few of the many there are."""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


class _Pattern:
    """Compiles itself when a method is first asked for, and keeps that method as its own."""

    def __init__(self, pattern: Any, flags: int) -> None:  # noqa: ANN401 - text or bytes
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever re.Pattern has
        if name.startswith("__"):
            raise AttributeError(name)
        found = self.__dict__[name] = getattr(re.compile(*self._given), name)
        return found


def regex(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return what ``re.compile`` would return, but for its type."""
    return cast("re.Pattern[AnyStr]", _Pattern(pattern, flags))
