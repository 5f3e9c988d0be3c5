"""openapi.json says what the code does: routes, scopes, statuses, problems, limits; and its examples hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from werkzeug.test import Client

from local.packaging import openapi
from shared.http import app, fc_adapter, problems, routes
from shared.http.problems import BY_ERROR, Problem, ProblemType
from shared.http.routes import ROUTES
from shared.jobs import ARTIFACTS
from tests.http.fakes import FakeService, make_app

FOLDER = Path(problems.__file__).parent
DOCUMENT: dict[str, Any] = json.loads((FOLDER / "openapi.json").read_bytes())
TYPES = {found for found in [*vars(problems).values(), *BY_ERROR.values()] if isinstance(found, ProblemType)}
EVERYWHERE = {405, 406, 414, 431, 500}
REQUEST_ID = "6f1c0d2a4b7e4c5d8e9f0a1b2c3d4e5f"


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def responses(operation: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {int(status): _resolved(response) for status, response in operation["responses"].items()}


def test_it_is_served_as_it_stands_in_the_repository() -> None:
    answer = Client(make_app(FakeService())).get("/openapi.json")
    assert answer.data == (FOLDER / "openapi.json").read_bytes()


def test_routes_and_scopes_are_the_codes() -> None:
    described = {
        (method, path): next((scope for needed in operation["security"] for scope in needed), None)
        for method, path, operation in operations()
    }
    assert described == {
        (route.method, route.path): None if route.scope in {"push", "link"} else route.scope for route in ROUTES
    }


def test_every_type_of_problem_stands_as_an_example_under_its_status() -> None:
    described = {}
    for response in DOCUMENT["components"]["responses"].values():
        for slug, example in response.get("content", {}).get(problems.MEDIA_TYPE, {}).get("examples", {}).items():
            described[slug] = example["value"]
    assert described == {found.slug: problems.document(Problem(found), REQUEST_ID) for found in TYPES}


def test_every_operation_documents_the_statuses_it_can_answer() -> None:
    for method, path, operation in operations():
        found = set(responses(operation))
        assert found >= EVERYWHERE, path
        assert (401 in found) is bool(operation["security"]), path
        assert (403 in found) is (bool(operation["security"]) or path.startswith("/notifications/")), path
        assert (413 in found) is ("requestBody" in operation), path
        assert {404, 429, 502, 503, 504} <= found or "{jobId}" not in path, path
        assert method == "GET" or 304 not in found, path
    documented = {status for *_, operation in operations() for status in responses(operation) if status >= 400}
    assert documented == {found.status for found in TYPES}


def test_problems_are_problem_documents_with_their_headers() -> None:
    required = {401: "WWW-Authenticate", 405: "Allow", 416: "Content-Range", 429: "Retry-After", 503: "Retry-After"}
    for _method, path, operation in operations():
        for status, response in responses(operation).items():
            if status >= 400:
                assert list(response["content"]) == [problems.MEDIA_TYPE]
            assert "X-Request-Id" in response["headers"], (path, status)
            assert required.get(status, "X-Request-Id") in response["headers"]


@pytest.mark.parametrize("case", list(operations()), ids=lambda case: f"{case[0]} {case[1]}")
def test_examples_satisfy_their_schemas(case: tuple[str, str, dict[str, Any]]) -> None:
    method, _path, operation = case
    seen = 0
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for holder in [*responses(operation).values(), *bodies]:
        for media in holder.get("content", {}).values():
            for example in media.get("examples", {}).values():
                _check(example["value"], media["schema"])
                seen += 1
    for parameter in map(_resolved, operation.get("parameters", [])):
        if "example" in parameter:
            _check(parameter["example"], parameter["schema"])
    assert seen >= len(responses(operation)) - 3, method
    assert operation["operationId"]
    assert operation["description"]


def test_limits_are_the_codes() -> None:
    many = DOCUMENT["components"]["schemas"]["PublishMany"]["properties"]["jobIds"]
    assert many["maxItems"] == routes.MAX_JOBS
    for limit in (app.MAX_BODY, app.MAX_HEADERS, app.MAX_TARGET):
        assert f"{limit:,}" in DOCUMENT["info"]["description"]
        assert any(str(limit) in found.advice for found in TYPES)
    assert fc_adapter.MAX_BODY * 4 / 3 < 32_000_000
    assert fc_adapter.MAX_TEXT * 6 < 32_000_000


def test_artifacts_are_the_codes() -> None:
    schema = DOCUMENT["components"]["parameters"]["Artifact"]["schema"]
    assert schema["enum"] == list(ARTIFACTS)
    served = {policy.content_type.partition(";")[0] for policy in ARTIFACTS.values()}
    operation = DOCUMENT["paths"]["/jobs/{jobId}/{artifact}"]["get"]
    assert set(operation["responses"]["200"]["content"]) == served


def test_every_component_is_used_and_every_reference_leads_somewhere() -> None:
    used = set(_references(DOCUMENT))
    for reference in used:
        assert _resolved({"$ref": reference})
    for group in ("headers", "parameters", "responses", "schemas"):
        assert {f"#/components/{group}/{name}" for name in DOCUMENT["components"][group]} <= used


def test_the_summarys_schema_is_the_published_one() -> None:
    published = json.loads((FOLDER.parent / "smarttag" / "summary.schema.json").read_bytes())
    about = {key: published.pop(key) for key in ("$schema", "$id", "title", "$defs")}
    described = DOCUMENT["components"]["schemas"]["Summary"]
    assert _in_full(described, DOCUMENT) == _in_full(published, about)
    assert "$defs" not in json.dumps(DOCUMENT), "generators of clients drop the types that stand there"


def test_the_committed_document_is_what_the_generator_writes() -> None:
    committed = (FOLDER / "openapi.json").read_text(encoding="utf-8")
    assert committed == openapi.render(), "run make openapi"


def _check(value: Any, schema: dict[str, Any]) -> None:
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def _resolved(found: dict[str, Any], document: dict[str, Any] = DOCUMENT) -> dict[str, Any]:
    while "$ref" in found:
        reference, found = found["$ref"], document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    return found


def _in_full(found: Any, document: dict[str, Any]) -> Any:
    """Put what each reference names in its place."""
    if isinstance(found, dict):
        return {key: _in_full(value, document) for key, value in _resolved(found, document).items()}
    return [_in_full(value, document) for value in found] if isinstance(found, list) else found


def _references(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        for key, value in found.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(found, list):
        for value in found:
            yield from _references(value)
