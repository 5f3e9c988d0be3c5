"""Write ``shared/http/openapi.json``: ``openapi.source.yaml`` with what the code already says put in.

The source holds what only a person can write. Added here: the problem responses, with an example for each row of the
table in ``shared/http/problems.py``; the summary's schema, each of its ``$defs`` as a component, because generators of
clients drop types that stand elsewhere; and ``X-Request-Id`` in every response. Run it with ``make openapi``: PyYAML is
installed for tests only.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from shared.http import problems
from shared.http.problems import BY_ERROR, Problem, ProblemType

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("openapi.source.yaml")
SUMMARY = ROOT / "shared/smarttag/summary.schema.json"
TARGET = ROOT / "shared/http/openapi.json"
REQUEST_ID = "6f1c0d2a4b7e4c5d8e9f0a1b2c3d4e5f"  # of every example

Json = dict[str, Any]


def main() -> None:
    """Write the document and say where it lies."""
    TARGET.write_text(render(), encoding="utf-8")
    print(TARGET.relative_to(ROOT))


def render() -> str:
    """Return the document as JSON text; the same sources give the same text.

    Raises:
        ValueError: a component has two definitions, or a status of the table has no description in the source.
    """
    document: Json = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    described: dict[int, Json] = document.pop("problems")
    components = document["components"]
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        refused = {status: _reference("responses", described[status]["name"]) for status in operation.pop("problems")}
        answered = {status: _identified(response) for status, response in operation["responses"].items()}
        operation["responses"] = {str(status): response for status, response in (answered | refused).items()}
    responses = {name: _identified(response) for name, response in components["responses"].items()}
    components["responses"] = _united(_problem_responses(described), responses)
    components["schemas"] = _united(components["schemas"], _summary_schemas())
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _problem_responses(described: dict[int, Json]) -> Json:
    types = _problem_types()
    undescribed = {found.status for found in types} - set(described)
    if undescribed:
        raise ValueError(f"describe the statuses {sorted(undescribed)} under 'problems' in {SOURCE}")
    return {
        about["name"]: _problem_response(about, [found for found in types if found.status == status])
        for status, about in described.items()
    }


def _problem_response(about: Json, types: list[ProblemType]) -> Json:
    headers = dict(about.get("headers", {}))
    if any(found.retry_after for found in types):
        headers["Retry-After"] = _reference("headers", "RetryAfter")
    examples = {
        found.slug: {"summary": found.title, "value": problems.document(Problem(found), REQUEST_ID)} for found in types
    }
    content = {problems.MEDIA_TYPE: {"schema": _reference("schemas", "Problem"), "examples": examples}}
    return _identified({"description": about["description"], "headers": headers, "content": content})


def _problem_types() -> list[ProblemType]:
    rows = [*vars(problems).values(), *BY_ERROR.values()]
    return list(dict.fromkeys(row for row in rows if isinstance(row, ProblemType)))


def _summary_schemas() -> Json:
    text = SUMMARY.read_text(encoding="utf-8")
    moved = re.sub(r'"#/\$defs/(\w)', lambda found: f'"#/components/schemas/{found[1].upper()}', text)
    schema: Json = json.loads(moved)
    parts = schema.pop("$defs")
    summary = {key: value for key, value in schema.items() if key not in {"$schema", "$id", "title"}}
    return {"Summary": summary, **{name[0].upper() + name[1:]: part for name, part in parts.items()}}


def _identified(response: Json) -> Json:
    if "$ref" in response:
        return response
    headers = {"X-Request-Id": _reference("headers", "RequestId"), **response.get("headers", {})}
    return response | {"headers": headers}


def _reference(group: str, name: str) -> Json:
    return {"$ref": f"#/components/{group}/{name}"}


def _united(one: Json, other: Json) -> Json:
    twice = one.keys() & other.keys()
    if twice:
        raise ValueError(f"{sorted(twice)} of {SOURCE} are also made from the code; rename them")
    return one | other


if __name__ == "__main__":
    main()
