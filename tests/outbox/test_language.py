"""How the outbox and the webhooks are written: states are compared as enums, and nothing hides in lambdas."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.jobs import JobStatus
from shared.outbox.outcome import State
from shared.outbox.records import AttemptKind
from shared.outbox.task import TaskKind

SHARED = Path(__file__).parents[2] / "shared"
ROOMS = [SHARED / "outbox", SHARED / "webhooks", SHARED / "publishing"]
FILES = [path for room in ROOMS for path in sorted(room.glob("*.py"))]
STATES = {each.value for kind in (State, AttemptKind, TaskKind, JobStatus) for each in kind}


def compared(tree: ast.AST) -> Iterator[tuple[str, set[str]]]:
    """Yield each comparison and each case of a match, with the texts that are spelled out in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(
            isinstance(each, (ast.Eq, ast.NotEq, ast.In, ast.NotIn)) for each in node.ops
        ):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        else:
            continue
        yield ast.unparse(node), {text for side in sides for text in spelled_out(side)}


def spelled_out(side: ast.expr) -> Iterator[str]:
    """Yield a literal, or those of a literal collection; an argument or an index inside is not what is compared."""
    if isinstance(side, ast.Constant) and isinstance(side.value, str):
        yield side.value
    elif isinstance(side, (ast.Tuple, ast.List, ast.Set)):
        for element in side.elts:
            yield from spelled_out(element)
    elif isinstance(side, ast.Call) and isinstance(side.func, ast.Name) and side.func.id in {"set", "frozenset"}:
        for argument in side.args:
            yield from spelled_out(argument)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SHARED)))
def test_states_that_are_compared_are_enums(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert {text: texts & STATES for text, texts in compared(tree) if texts & STATES} == {}


@pytest.mark.parametrize(
    "code",
    [
        "state == 'delivered'",
        "'dead' != record.state",
        "kind in ('publish', 'fanout')",
        "status not in {'Success'}",
        "state in frozenset(['gone'])",
        "match state:\n    case 'told' | 'skipped': pass",
    ],
)
def test_a_comparison_with_a_bare_state_is_found(code: str) -> None:
    assert any(texts & STATES for _, texts in compared(ast.parse(code)))


@pytest.mark.parametrize("code", ["state is State.DEAD", "name == 'succeeded'", "found['state'] == State.DEAD.value"])
def test_other_comparisons_are_not(code: str) -> None:
    assert not any(texts & STATES for _, texts in compared(ast.parse(code)))


def test_there_are_at_most_two_lambdas_in_a_thousand_lines() -> None:
    sources = [path.read_text("utf-8") for room in ROOMS for path in room.glob("*.py")]
    lines = sum(len(source.splitlines()) for source in sources)
    lambdas = sum(isinstance(node, ast.Lambda) for source in sources for node in ast.walk(ast.parse(source)))
    assert lines > 1000
    assert lambdas <= 2 * lines / 1000, f"{lambdas} in {lines} lines"
