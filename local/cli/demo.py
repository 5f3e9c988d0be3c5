"""``smarttag demo``: play the recorded jobs through both functions, check what came out, say where to look."""

from __future__ import annotations

import hashlib
import shutil
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Column
from rich.text import Text

from local import recorded
from local.cli.files import must_be_writable
from local.cli.printing import console, printable, say, say_table
from local.cloud.accounts import ROLE
from local.cloud.server import Fault, Response
from local.cloud.world import LINK_KEY, SECRETS, TOKEN, World, world

DOCUMENTED = "documented"
_FINAL = {"Success", "Fail"}
_COUNTED = {
    "persons": "person",
    "tags": "tag",
    "concepts": "concept",
    "chapters": "chapter",
    "textTags": "keyword group",
    "links": "link",
    "alerts": "alert",
}
COLUMNS = (
    Column("job", no_wrap=True),
    Column("status", no_wrap=True),
    Column("found", overflow="fold"),
    Column("files", no_wrap=True),
    Column("told", overflow="fold"),
)


@dataclass(frozen=True)
class Check:
    """One thing the demo shows, and whether it is so."""

    claim: str
    holds: bool


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where objects and logs are left.")] = Path(
        "demo-output"
    ),
) -> None:
    """Play recorded jobs of every result type through both functions on this machine, and check the outcome."""
    _clear(output)
    must_be_writable(output)
    jobs = recorded.jobs()
    with world(output, {job.job_id: job.response for job in jobs.values()}) as cloud:
        say(f"Local cloud is up: MPS {cloud.mps.url}, OSS {cloud.oss.url}, HTTP API {cloud.http.url}")
        _play(cloud, jobs.values())
        say_table(COLUMNS, rows(cloud, jobs), frame=False)
        checks = [*_checks(cloud, jobs)]
    say()
    for check in checks:
        mark = ("ok    ", "green") if check.holds else ("FAILED", "red")
        console().print(Text.assemble(mark, f" {printable(check.claim)}"), soft_wrap=True)
    folder = cloud.job(jobs[recorded.SHOWN].job_id)
    say()
    say("Open the report in a browser:")
    console().print(Text(printable((folder / "report.html").resolve().as_uri()), "bold"), soft_wrap=True)
    say(f"Everything the jobs left behind: {cloud.objects / 'jobs'}")
    if not all(check.holds for check in checks):
        raise typer.Exit(1)


def _clear(output: Path) -> None:
    """Remove what an earlier run left; a folder that holds anything else is somebody's."""
    if not output.exists():
        return
    if not output.is_dir() or {path.name for path in output.iterdir()} - {"oss", "logs"}:
        raise typer.BadParameter(
            f"{output} holds other things than an earlier demo: name a folder that is empty or new",
            param_hint="--output",
        )
    shutil.rmtree(output)


def _play(cloud: World, jobs: Iterable[recorded.RecordedJob]) -> None:
    """Notify about each job; the documented one twice, and one receiver is down for a moment."""
    cloud.receivers["archive"].fail(Fault("answer", response=Response(503)))
    for job in jobs:
        state = orjson.loads(job.response).get("JobStatus", "Success")
        cloud.notify(job.job_id, state, duplicates=2 if job.name == DOCUMENTED else 1)
    cloud.topic.publish(b'{"Type":"Transcode","JobId":"0ceb045cd8df4db49f1c5bd4ace50000","State":"Success"}')
    if not cloud.settle():
        raise typer.Exit(1)


def rows(cloud: World, jobs: dict[str, recorded.RecordedJob]) -> Iterator[tuple[object, ...]]:
    """Yield for each job what stands in ``COLUMNS``."""
    for name, job in jobs.items():
        path = cloud.job(job.job_id) / "summary.json"
        if not path.exists():
            yield name, "-", job.description, 0, _told(cloud, job.job_id)
            continue
        summary = orjson.loads(path.read_bytes())
        files = sum(1 for each in path.parent.iterdir() if each.is_file())
        yield name, summary["status"], _found(summary) or job.description, files, _told(cloud, job.job_id)


def _found(summary: dict[str, Any]) -> str:
    """Return the person seen longest, and how much there is of everything."""
    named = [_seen(person) for person in summary["persons"] if person["category"] != "unknown" and person["seenMs"]]
    counts = {
        **{word: len(summary[key]) for key, word in _COUNTED.items()},
        "speech line": (summary["transcript"] or {}).get("segments", 0),
        "screen text": (summary["screenText"] or {}).get("distinct", 0),
    }
    listed = [f"{count} {word}{'s' * (count > 1)}" for word, count in counts.items() if count]
    return "; ".join(filter(None, [*named[:1], ", ".join(listed)]))


def _seen(person: dict[str, Any]) -> str:
    count = len(person["appearances"])
    return f"{person['name']} was seen {person['seenMs'] / 1000:.2f} s in {count} appearance{'s' * (count > 1)}"


def _told(cloud: World, job_id: str) -> str:
    told = [
        name
        for name, receiver in cloud.receivers.items()
        if any(orjson.loads(each.body)["data"]["jobId"] == job_id for each in receiver.deliveries)
    ]
    return ", ".join(told) or "-"


def _checks(cloud: World, jobs: dict[str, recorded.RecordedJob]) -> Iterator[Check]:
    documented = jobs[DOCUMENTED]
    folder = cloud.job(documented.job_id)
    summary = orjson.loads((folder / "summary.json").read_bytes())
    first = summary["persons"][0]
    yield Check(
        f"documented job: {_seen(first)}",
        (first["name"], first["seenMs"], first["appearanceCount"]) == ("万立骏", 12120, 5),
    )
    yield Check(
        f"{folder / 'response.json'} is byte for byte what MPS sent",
        (folder / "response.json").read_bytes() == documented.response,
    )
    yield Check(f"{folder / 'manifest.json'} lists every file with its SHA-256", _manifest_is_true(folder))
    finished = [job for job in jobs.values() if orjson.loads(job.response).get("JobStatus") in _FINAL]
    stored = [job for job in finished if (cloud.job(job.job_id) / "manifest.json").exists()]
    yield Check(f"{len(stored)} of {len(finished)} finished jobs left their files", stored == finished)
    came = [delivery for receiver in cloud.receivers.values() for delivery in receiver.deliveries]
    yield Check(f"{len(came)} webhooks came, every signature verified", bool(came) and all(d.verified for d in came))
    copies = [d for d in cloud.receivers["cms"].deliveries if documented.job_id.encode() in d.body]
    yield Check("the notification that came twice was told once", len(copies) == 1)
    waiting = [path.name for path in (cloud.objects / "outbox").rglob("delivery~*")]
    yield Check(
        "the receiver that was down for a moment has one delivery waiting, for the timer to make", len(waiting) == 1
    )
    yield Check(
        "the HTTP function answers the same summary",
        _over_http(cloud, documented.job_id) == (folder / "summary.json").read_bytes(),
    )
    yield Check(
        "the link in the webhook opens the report without a token",
        _opened(orjson.loads(copies[0].body)["data"]["links"]["report"]) == (folder / "report.html").read_bytes(),
    )
    yield Check("no secret in any log or object", not list(_leaks(cloud)))


def _manifest_is_true(folder: Path) -> bool:
    listed = orjson.loads((folder / "manifest.json").read_bytes())["artifacts"]
    return bool(listed) and all(
        hashlib.sha256((folder / each["name"]).read_bytes()).hexdigest() == each["sha256"] for each in listed
    )


def _over_http(cloud: World, job_id: str) -> bytes:
    request = urllib.request.Request(f"{cloud.http.url}/jobs/{job_id}", headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        return bytes(answer.read())


def _opened(link: str) -> bytes:
    with urllib.request.urlopen(link, timeout=30) as answer:  # noqa: S310 - loopback
        return bytes(answer.read())


def _leaks(cloud: World) -> Iterator[Path]:
    """Yield every file of the run, subscribers.json excepted, that holds a secret."""
    secrets = [
        text.encode() for text in (ROLE.access_key_secret, ROLE.security_token, TOKEN, LINK_KEY, *SECRETS.values())
    ]
    for root in (cloud.objects, cloud.logs):
        for path in root.rglob("*"):
            if path.is_file() and any(secret in path.read_bytes() for secret in secrets):
                yield path
