"""``smarttag invoke``: hand the deployed event function a message, as its topic would."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import orjson
import typer

from local.cli.printing import say, say_json
from local.packaging.package import ROOT
from local.preflight import Verdict, serverless_devs
from shared.errors import BadInput, BadSettings
from shared.jobs import JobStatus, check_job_id
from shared.triggers import Poison, parse

_MOST = 131072  # bytes of an asynchronous event, which those of triggers are


def invoke(
    job: Annotated[str | None, typer.Argument(help="A job to publish; without it, a message that is skipped.")] = None,
    state: Annotated[JobStatus, typer.Option(help="What MPS is to have said of it.")] = JobStatus.SUCCESS,
    event: Annotated[Path | None, typer.Option(help="Send this event, as a trigger or a queue had it.")] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print the event, and send nothing.")] = False,  # noqa: FBT002 - typer's way to a flag
) -> None:
    """Send the deployed function smarttag-callback a message through the Serverless Devs CLI, and show its answer.

    Without a job it is a message about a transcoding job, which the function acknowledges and skips: that shows that it
    starts and that its settings are right. With one, the job is published.
    """
    if job is not None and event is not None:
        raise typer.BadParameter("name a job or an event, not both")
    body = _read(event) if event is not None else _message(job, state)
    if len(body) > _MOST:
        raise BadInput(f"the event holds {len(body)} bytes; Function Compute takes {_MOST} from a trigger: split it")
    for message in parse(body):
        if isinstance(message, Poison):
            raise BadInput(f"the function would keep this as poison: {message.reason}")
    if only_print:
        say_json(orjson.loads(body)) if body[:1] in b"{[" else say(body.decode(errors="backslashreplace"))
        return
    found = serverless_devs()
    program = shutil.which("s")
    if found.verdict is Verdict.FAULT or program is None:
        raise BadSettings(found.text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "event.json"
        path.write_bytes(body)
        # s wants OUTPUT_URL of template.yml, which an invocation does not use.
        environment = {"OUTPUT_URL": "oss://not-used/here", **os.environ}
        command = [program, "callback", "invoke", "-t", "template.yml", "--event-file", str(path)]
        folder_of_template = Path.cwd() if Path("template.yml").is_file() else ROOT
        done = subprocess.run(command, cwd=folder_of_template, env=environment, check=False)
        raise typer.Exit(done.returncode)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error


def _message(job: str | None, state: JobStatus) -> bytes:
    """Return the event that a topic's trigger makes of a message of MPS."""
    about = (
        {"Type": "Transcode", "JobId": "sample"} if job is None else {"Type": "smarttag", "JobId": check_job_id(job)}
    )
    message = orjson.dumps({**about, "State": state.value, "UserData": ""}).decode()
    topic = os.environ.get("MNS_TOPIC") or "smarttag"
    return orjson.dumps({"TopicName": topic, "MessageId": uuid4().hex.upper(), "Message": message})
