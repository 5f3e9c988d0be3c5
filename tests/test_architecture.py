"""docs/architecture.md shows the rooms and the files as they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
ANSWERS = re.findall(r"^\| ([^|]+) \| `([^`]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE)
TOGETHER = {  # what the picture shows as one
    **dict.fromkeys(
        (
            *("jobs", "links", "templates", "settings", "credentials", "metrics", "tracing"),
            *("logs", "errors", "patterns", "shared"),
        ),
        "ground",
    ),
    **dict.fromkeys(("retrying", "refusals"), "service_calls"),
}


@pytest.mark.parametrize(("what", "path", "text"), ANSWERS, ids=[what for what, _, _ in ANSWERS])
def test_what_one_looks_for_stands_where_the_page_says(what: str, path: str, text: str) -> None:
    assert text in (ROOT / path).read_text("utf-8"), f"{what} is somewhere else now"


def test_the_table_answers_what_newcomers_ask() -> None:
    rows = len(re.findall(r"^\| .*\|$", PAGE.partition("## Where do I find")[2], re.MULTILINE)) - 1
    assert rows == len(ANSWERS), "every row has a path and a text"
    asked = {"a retry interval", "a result Type", "a header of the webhook", "a dead letter's text", "a route"}
    assert asked <= {what for what, _, _ in ANSWERS}


def test_every_path_that_the_page_names_exists() -> None:
    paths = set(re.findall(r"`((?:functions|shared|local|tests)/[A-Za-z0-9_./]*)`", PAGE))
    assert len(paths) > 30
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_picture_shows_every_import_between_rooms_and_no_other() -> None:
    """An import may follow from others: there is a way along the arrows."""
    imports = {(one, other) for path in sources() for one, other in imported(path) if one != other}
    arrows = set(drawn())
    assert len(arrows) > 12
    assert {(one, other) for one, other in imports if other not in reached(one, arrows)} == set()
    assert {arrow for arrow in arrows if arrow not in imports} == set()


def sources() -> Iterator[Path]:
    for folder in ("functions", "shared", "local"):
        yield from (ROOT / folder).rglob("*.py")


def room(module: str) -> str:
    """Return the room of a module: what lies in shared/ has rooms of its own."""
    name = module.removeprefix("shared.").partition(".")[0]
    return TOGETHER.get(name, name)


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (room, room that it imports)."""
    here = room(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "shared":
            modules = [f"shared.{alias.name}" for alias in node.names if not alias.name.startswith("_")]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        for module in modules:
            if module.partition(".")[0] in {"functions", "shared", "local"}:
                yield here, room(module)


def drawn() -> Iterator[tuple[str, str]]:
    """Yield the arrows of the picture."""
    picture = re.findall(r"^```mermaid\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
    for one, others in re.findall(r'^ *(\w+)(?:\[".*?"\])? -\.?->? (.+)$', picture, re.MULTILINE):
        for other in others.split(" & "):
            yield one, other


def reached(start: str, arrows: set[tuple[str, str]]) -> set[str]:
    """Return what the arrows lead to from ``start``; the ground lies under everything."""
    found, new = {"ground"}, {start}
    while new:
        found |= new
        new = {other for one, other in arrows if one in new} - found
    return found
