"""What others make of openapi.json: generators of clients in two languages, and a linter of such documents."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
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
from client.api.jobs import get_job, list_jobs, publish, publish_many
from client.models import Delivery, EnqueuedMany, JobDeliveries, JobPage, JobRow, Person, Publication
from client.models import PublishMany, PublishOptions, Summary

relay, token, job = sys.argv[1:]
client = AuthenticatedClient(base_url=relay, token=token, raise_on_unexpected_status=True)
published = publish.sync(job, client=client, body=PublishOptions())
assert isinstance(published, Publication), published
page = list_jobs.sync(client=client, person="示例主持人", limit=5)
assert isinstance(page, JobPage), page
rows: list[JobRow] = page.jobs
(row,) = [row for row in rows if row.job_id == job]
summary = get_job.sync(row.job_id, client=client)
assert isinstance(summary, Summary), summary
people: list[Person] = summary.persons
delivered = get_deliveries.sync(job, client=client)
assert isinstance(delivered, JobDeliveries), delivered
deliveries: list[Delivery] = delivered.deliveries
many = publish_many.sync(client=client, body=PublishMany(job_ids=[job]))
assert isinstance(many, EnqueuedMany), many
print(published.outcome, people[0].name, len(people[0].appearances), deliveries[0].attempts[0].status)
"""
# The same with nothing but the types: tsc --strict reads it, then node runs it.
IN_TYPESCRIPT = """
import type { components, paths } from "./relay";
type Schemas = components["schemas"];
type Query = NonNullable<paths["/jobs"]["get"]["parameters"]["query"]>;
declare const process: { argv: string[] };
const [relay, token, job] = process.argv.slice(2);

async function ask<T>(path: string, method = "GET"): Promise<T> {
  const answer = await fetch(relay + path, { method, headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(((await answer.json()) as Schemas["Problem"]).detail);
  return (await answer.json()) as T;
}

async function main(): Promise<void> {
  const published = await ask<Schemas["Publication"]>(`/jobs/${job}/publish`, "POST");
  const query: Query = { status: "Success", person: "示例主持人" };
  const page = await ask<Schemas["JobPage"]>(`/jobs?${new URLSearchParams(query as Record<string, string>)}`);
  const row = page.jobs.find((each) => each.jobId === job)!;
  const summary = await ask<Schemas["Summary"]>(`/jobs/${row.jobId}`);
  const told = await ask<Schemas["JobDeliveries"]>(`/jobs/${row.jobId}/deliveries`);
  const failed = told.deliveries.filter((each) => each.state === "dead");
  console.log(published.jobId === row.jobId, page.next, summary.persons.map((person) => person.name)[0], failed.length);
}
void main();
"""


@pytest.fixture(scope="module")
def served() -> Iterator[list[str]]:
    """Yield address, token and a job of ``smarttag serve``."""
    with serving() as (variables, _):
        yield [variables[name] for name in ("RELAY", "TOKEN", "JOB")]


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
def test_a_generated_python_client_has_every_type_and_publishes_lists_and_opens(
    served: list[str], tmp_path: Path
) -> None:
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
    said = run([sys.executable, program, *served], tmp_path)
    assert said == "published 示例主持人 2 204\n"


@pytest.mark.needs("node")
def test_typescript_types_compile_strictly_and_publish_list_and_open(served: list[str], tmp_path: Path) -> None:
    run([TOOLS / "openapi-typescript", OPENAPI, "-o", "relay.d.ts"], tmp_path)
    (tmp_path / "program.ts").write_text(IN_TYPESCRIPT, encoding="utf-8")
    options = ["--strict", "--target", "es2022", "--module", "commonjs", "--lib", "es2022,dom,dom.iterable"]
    run([TOOLS / "tsc", *options, "program.ts"], tmp_path)
    assert run(["node", "program.js", *served], tmp_path) == "true null 示例主持人 0\n"
    written = (tmp_path / "relay.d.ts").read_text("utf-8")
    assert all(re.search(rf"^        {name}: ", written, re.MULTILINE) for name in DOCUMENT["components"]["schemas"])


@pytest.mark.needs("node")
def test_spectral_has_nothing_to_say(tmp_path: Path) -> None:
    rules = Path(__file__).with_name("spectral.yaml")
    said = run([TOOLS / "spectral", "lint", "--fail-severity=hint", "--ruleset", rules, OPENAPI], tmp_path)
    assert "No results with a severity of 'hint' or higher found!" in said
