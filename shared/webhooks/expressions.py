"""JMESPath within a budget: what ``when`` and ``select`` of a subscriber may cost. Pure.

The language has no loops, but its results may share parts: each ``[@, @] |`` doubles what has to be written, ``join``
doubles a text, ``[]`` multiplies lists. So everything that takes time or memory is paid for in steps, before it is
done: a visit of a node, an element copied or looked at, ``_CHARACTERS`` characters of a text, a node of the result.
One step costs about a microsecond and at most some 100 bytes.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.errors import BadInput

if TYPE_CHECKING:
    from jmespath.visitor import TreeInterpreter
    from jmespath.visitor import _TreeNode as Node

STEPS = 2_000_000
LONGEST = 2000  # characters of an expression
_DEEPEST = 100  # levels of its tree: each takes three or four frames of Python's stack
_CHARACTERS = 16  # of a text that make one step
_DIGITS = 256  # of a number as text; reading one takes the square of its length
_SAMPLE_STEPS = 20_000
# The least a summary holds, with a row in each list: what is over the budget here is so for every job.
SAMPLE: dict[str, Any] = {
    **dict.fromkeys(("schemaVersion", "jobId", "status", "userData", "message", "title"), ""),
    **{name: [{}] for name in ("persons", "tags", "classifications", "textTags", "concepts", "chapters", "links")},
    **{name: [{}] for name in ("alerts", "warnings")},
    "media": {},
    "transcript": {},
    "screenText": {"items": [{}]},
    "nlp": {"keywords": [""]},
    "types": {"ASR": {}},
}
# One at a time, or the memory of all the costly ones would be needed at once; threads would make none of them faster.
_turn = threading.Lock()


def evaluate(expression: str, value: object, *, written: bool) -> Any:  # noqa: ANN401 - whatever the expression picks
    """Return what the expression picks out of a JSON value.

    Args:
        expression: in JMESPath.
        value: what it is applied to.
        written: whether the result is going to be written out, which has to be paid for too.

    Raises:
        BadInput: it cannot be evaluated over this value, or takes more than ``STEPS``; no part of the value is quoted.
    """
    with _turn:
        return _evaluate(_compile(expression), value, _Budget(STEPS), written=written)


@functools.lru_cache(maxsize=1024)  # subscribers.json is read again and again
def fault(expression: str, *, written: bool) -> str | None:
    """Return what is wrong with an expression whatever it is applied to; None if nothing is."""
    budget = _Budget(_SAMPLE_STEPS)
    try:
        tree = _compile(expression)
    except BadInput as error:
        return error.message
    try:
        _evaluate(tree, SAMPLE, budget, written=written)
    except BadInput as error:
        if budget.left < 0:
            return f"{error.message} (counted over a summary with one row in each list)"
        # Anything else, such as a type that does not fit, may be right for a real summary.
    return None


class _Budget:
    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.left = steps

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise BadInput(f"takes more than {self.steps:,} steps; make it simpler or let it pick less")


def _compile(expression: str) -> Node:
    import jmespath
    from jmespath.functions import Functions

    if not 0 < len(expression) <= LONGEST:
        raise BadInput(f"must be a JMESPath expression of 1 to {LONGEST} characters")
    try:
        tree: Node = jmespath.compile(expression).parsed
    except (ValueError, LookupError, RecursionError) as error:
        raise BadInput(f"is no valid JMESPath: {' '.join(str(error).split())[:200]}") from error
    nodes = [(tree, 1)]
    while nodes:  # the library itself notices an unknown function only when it is called
        node, depth = nodes.pop()
        if node["type"] == "function_expression" and node["value"] not in Functions.FUNCTION_TABLE:
            raise BadInput(f"is no valid JMESPath: there is no function {node['value'][:40]!a}")
        if depth > _DEEPEST:
            raise BadInput(f"is nested more than {_DEEPEST} levels deep; make it simpler")
        nodes += [(child, depth + 1) for child in node["children"] if isinstance(child, dict)]
    return tree


def _evaluate(tree: Node, value: object, budget: _Budget, *, written: bool) -> Any:  # noqa: ANN401 - as above
    from jmespath.exceptions import JMESPathTypeError

    try:
        found = _interpreter()(budget).visit(tree, value)
        budget.spend(_size(found, budget.left) if written else 0)
    except JMESPathTypeError as error:  # its own text quotes the value: personal data, and maybe gigabytes of it
        expected = " or ".join(error.expected_types)
        raise BadInput(f"{error.function_name}() takes {expected}, not {error.actual_type}") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadInput(str(error)[:300]) from None
    return found


@functools.cache
def _interpreter() -> Callable[[_Budget], TreeInterpreter]:
    """Return the library's interpreter, made to pay before it works; loaded when the first expression is."""
    from jmespath.functions import Functions
    from jmespath.visitor import Options, TreeInterpreter

    class PayingFunctions(Functions):
        def __init__(self, budget: _Budget) -> None:
            self._budget = budget

        def call_function(self, function_name: str, resolved_args: Any) -> Any:  # noqa: ANN401 - the library's signature
            self._budget.spend(_cost(function_name, resolved_args, self._budget.left))
            return super().call_function(function_name, resolved_args)

    class PayingInterpreter(TreeInterpreter):
        def __init__(self, budget: _Budget) -> None:
            super().__init__(Options(custom_functions=PayingFunctions(budget)))
            self._budget = budget

        def visit(self, node: Node, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the library's signature
            self._budget.spend(1)
            return super().visit(node, *args, **kwargs)

        def visit_comparator(self, node: Node, value: Any) -> Any:  # noqa: ANN401 - the library's signature
            sides = [self.visit(child, value) for child in node["children"]]
            self._budget.spend(sum(_size(side, self._budget.left) for side in sides))
            return super().visit_comparator({**node, "children": [_literal(side) for side in sides]}, value)

        def visit_flatten(self, node: Node, value: Any) -> Any:  # noqa: ANN401 - the library's signature
            lists = self.visit(node["children"][0], value)
            if isinstance(lists, list):
                self._budget.spend(sum(len(each) if isinstance(each, list) else 1 for each in lists))
            return super().visit_flatten({**node, "children": [_literal(lists)]}, value)

        def visit_slice(self, node: Node, value: Any) -> Any:  # noqa: ANN401 - the library's signature
            self._budget.spend(len(value) if isinstance(value, list) else 0)
            return super().visit_slice(node, value)

    return PayingInterpreter


def _literal(value: object) -> Node:
    """Return a node for what has been evaluated already."""
    return {"type": "literal", "value": value, "children": []}


def _cost(name: str, args: list[Any], most: int) -> int:
    """Return the steps of a function call beyond what its ``&`` expressions are paid for as they are visited."""
    if name in {"to_string", "contains"}:
        return sum(_size(each, most) for each in args)  # they go down to the last node
    steps = sum(_shallow(each) for each in args)
    if name in {"sort", "sort_by"}:
        steps += steps * steps.bit_length() // 16  # a comparison takes far less than a step
    if name == "join" and len(args) > 1 and isinstance(args[0], str) and isinstance(args[1], list):
        steps += len(args[0]) * len(args[1]) // _CHARACTERS
    if name == "to_number" and args and isinstance(args[0], str):
        steps += (len(args[0]) // _DIGITS) ** 2
    return steps


def _shallow(value: object) -> int:
    """Return the steps of looking at a value and the elements right below it."""
    if isinstance(value, list):
        return len(value) + sum(len(each) for each in value if isinstance(each, str)) // _CHARACTERS
    return len(value) // _CHARACTERS if isinstance(value, str) else len(value) if isinstance(value, dict) else 0


def _size(value: object, most: int) -> int:
    """Return the steps of writing a value out, parts that it shares as often as they stand there; or over ``most``."""
    steps, waiting = 1, [value]
    while waiting and steps <= most:
        each = waiting.pop()
        if isinstance(each, str):
            steps += len(each) // _CHARACTERS
        elif isinstance(each, (list, dict)):
            steps += len(each)
            waiting.extend(each if isinstance(each, list) else (*each, *each.values()))
    return steps
