"""What others make of openapi.json: generators of clients in two languages, and a linter of such documents."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_serve import serving
from tests.http.test_openapi import DOCUMENT, FOLDER
from tests.needs import NODE_FOLDER

OPENAPI = FOLDER / "openapi.json"
TOOLS = NODE_FOLDER / "node_modules" / ".bin"
BIN = Path(sys.executable).parent
# A program as a reader of the API writes it; mypy --strict reads it, then it runs.
USES_IT = """
import sys
from client import AuthenticatedClient
from client.api.deliveries import get_deliveries
from client.api.jobs import get_job, publish, publish_many
from client.models import Delivery, EnqueuedMany, JobDeliveries, Person, Publication
from client.models import PublishMany, PublishOptions, Summary

relay, token, job = sys.argv[1:]
client = AuthenticatedClient(base_url=relay, token=token, raise_on_unexpected_status=True)
published = publish.sync(job, client=client, body=PublishOptions())
assert isinstance(published, Publication), published
summary = get_job.sync(job, client=client)
assert isinstance(summary, Summary), summary
people: list[Person] = summary.persons
delivered = get_deliveries.sync(job, client=client)
assert isinstance(delivered, JobDeliveries), delivered
deliveries: list[Delivery] = delivered.deliveries
many = publish_many.sync(client=client, body=PublishMany(job_ids=[job]))
assert isinstance(many, EnqueuedMany), many
print(published.outcome, people[0].name, len(people[0].appearances), deliveries[0].attempts[0].status)
"""


def run(command: list[str | Path], folder: Path) -> str:
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def class_name(schema: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", schema).lower()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the generator needs Python 3.11")
def test_a_generated_python_client_has_every_type_and_publishes(tmp_path: Path) -> None:
    run(
        [BIN / "openapi-python-client", "generate", "--path", OPENAPI, "--output-path", "client", "--meta", "none"],
        tmp_path,
    )
    made = {path.stem for path in (tmp_path / "client" / "models").iterdir()}
    objects = {name for name, schema in DOCUMENT["components"]["schemas"].items() if schema.get("type") == "object"}
    assert {class_name(name) for name in objects} <= made
    program = tmp_path / "program.py"
    program.write_text(USES_IT, encoding="utf-8")
    # Not its client.py: that is the generator's own text, whatever the document says, and is not strict.
    options = ["--strict", "--config-file=", "--python-version=3.12", "--follow-imports=silent"]
    run([BIN / "mypy", *options, program, "client/models", "client/api"], tmp_path)
    with serving() as (variables, _):
        said = run([sys.executable, program, variables["RELAY"], variables["TOKEN"], variables["JOB"]], tmp_path)
    assert said == "published 示例主持人 2 204\n"


@pytest.mark.needs("node")
def test_typescript_types_compile_strictly(tmp_path: Path) -> None:
    run([TOOLS / "openapi-typescript", OPENAPI, "-o", "relay.d.ts"], tmp_path)
    program = """import type { components } from "./relay";
type Schemas = components["schemas"];
export const seen = (summary: Schemas["Summary"]): number[] => summary.persons.map((person) => person.seenMs);
export const failed = (found: Schemas["JobDeliveries"]) => found.deliveries.filter((each) => each.state === "dead");
"""
    (tmp_path / "program.ts").write_text(program, encoding="utf-8")
    run([TOOLS / "tsc", "--strict", "--noEmit", "program.ts"], tmp_path)
    written = (tmp_path / "relay.d.ts").read_text("utf-8")
    assert all(re.search(rf"^        {name}: ", written, re.MULTILINE) for name in DOCUMENT["components"]["schemas"])


@pytest.mark.needs("node")
def test_spectral_has_nothing_to_say(tmp_path: Path) -> None:
    rules = Path(__file__).with_name("spectral.yaml")
    said = run([TOOLS / "spectral", "lint", "--fail-severity=hint", "--ruleset", rules, OPENAPI], tmp_path)
    assert "No results with a severity of 'hint' or higher found!" in said
