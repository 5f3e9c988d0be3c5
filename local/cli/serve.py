"""``smarttag serve``: keep the local cloud up, for trying requests and for watching what subscribers get."""

from __future__ import annotations

import errno
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.text import Text

from local import recorded
from local.cli.files import must_be_writable
from local.cli.printing import console, printable, say
from local.cloud.world import ALLOWED, TOKEN, World, secret, world
from local.responses import fault, job_id_of
from shared.errors import BadInput, BadResponse, TargetRefused
from shared.smarttag import summarise
from shared.webhooks.address_guard import AddressGuard

PUBLISHED = ("documented", "image", "nlp")  # so that the library shows something; the others wait
_NOT_IN_JOB_ID = re.compile(r"[^A-Za-z0-9_-]+")


def serve(
    job: Annotated[
        list[Path] | None,
        typer.Option(help="A response of QuerySmarttagJob to publish, besides the recorded ones; may be repeated."),
    ] = None,
    subscribe: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Where webhooks are sent, besides; may be repeated.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the HTTP API on 127.0.0.1; 0: any.")] = 8080,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where objects and logs stay; else a folder for this start only."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Stop by itself after so many seconds; 0: never.")] = 0,
) -> None:
    """Keep the local cloud running until Ctrl-C, with jobs waiting to be published."""
    own = dict(map(_read, job or ()))
    others = {f"own-{number}": _checked(url) for number, url in enumerate(subscribe or (), 1)}
    responses = {each.job_id: each.response for each in recorded.jobs().values()} | own
    with _folder(output) as folder, _running(folder, responses, port, others) as cloud:
        try:
            for name in PUBLISHED:
                cloud.notify(recorded.jobs()[name].job_id, "Success")
            _introduce(cloud, [*own], others)
            if output is None:
                say("Everything is removed at the end; --output FOLDER keeps it.")
            say()
            say("Webhooks show here as they come; Ctrl-C ends.")
            watch(cloud, seconds)
        except KeyboardInterrupt:
            say("stopped")


def _read(path: Path) -> tuple[str, bytes]:
    """Return the job ID that a file stands for, and the response in it."""
    name = _NOT_IN_JOB_ID.sub("-", job_id_of(path)).strip("-")[:64] or "own-job"
    try:
        response = path.read_bytes()
        summarise(response)
    except OSError as error:
        raise BadInput(f"--job {path}: {error.strerror}") from error
    except BadResponse as error:
        raise BadInput(f"--job {path}: {fault(error)}") from error
    return name, response


def _checked(url: str) -> str:
    try:
        AddressGuard(tuple(map(ip_network, ALLOWED.split(","))), ()).target(url)
    except TargetRefused as error:
        raise BadInput(f"--subscribe {url}: {error.message}") from error
    return url


@contextmanager
def _folder(output: Path | None) -> Iterator[Path]:
    if output is not None:
        must_be_writable(output)
        yield output
    else:
        with tempfile.TemporaryDirectory(prefix="smarttag-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)


@contextmanager
def _running(folder: Path, responses: Mapping[str, bytes], port: int, others: Mapping[str, str]) -> Iterator[World]:
    with ExitStack() as stack:
        try:
            cloud = stack.enter_context(world(folder, responses, port=port, sweep_seconds=10, subscribe=others))
        except OSError as error:
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
            reason = f"port {port} cannot be had ({error.strerror}); choose another one with --port"
            raise BadInput(reason) from error
        yield cloud


def _introduce(cloud: World, own: list[str], others: Mapping[str, str]) -> None:
    jobs = recorded.jobs()
    say(f"library    {cloud.http.url}/ in a browser; sign in with the token {TOKEN}")
    say(f"objects    {cloud.objects}")
    for name, url in others.items():
        say(f"subscriber {name}: {url}")
        say(f"           its webhooks are signed with the secret {secret(name)}")
    say("jobs")
    for job_id in own:
        say(f"  {job_id}  yours")
    for name, each in jobs.items():
        say(f"  {each.job_id}  {name}: {each.description}")
    say()
    say("Try, from another terminal:")
    say(f"  export RELAY={cloud.http.url} TOKEN={TOKEN} JOB={own[0] if own else jobs[recorded.SHOWN].job_id}")
    for command in ("-X POST $RELAY/jobs/$JOB/publish", "$RELAY/jobs/$JOB", "$RELAY/jobs/$JOB/deliveries"):
        say(f'  curl -H "Authorization: Bearer $TOKEN" {command}')
    say("docs/http-api.md has more of them.")


def watch(cloud: World, seconds: float) -> None:
    """Print what comes to the receivers; after so many seconds that is enough, unless they are 0."""
    shown = dict.fromkeys(cloud.receivers, 0)
    pause = threading.Event()
    ticks = int(seconds / 0.2) if seconds else None
    while ticks is None or ticks > 0:
        pause.wait(0.2)
        ticks = ticks if ticks is None else ticks - 1
        for name, receiver in cloud.receivers.items():
            for delivery in receiver.deliveries[shown[name] :]:
                shown[name] += 1
                body = orjson.loads(delivery.body)
                mark = ("verified", "green") if delivery.verified else ("NOT VERIFIED", "red")
                told = printable(f"{name:8} {body['type']:24} {body['data']['jobId']}  ")
                console().print(Text.assemble(told, mark), soft_wrap=True)
