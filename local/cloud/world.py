"""The local cloud put together: every stand-in, both functions, three subscribers, and the recorded jobs."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from local.cloud.accounts import ROLE
from local.cloud.fc import Function, FunctionCompute
from local.cloud.fc_triggers import FcHttpTrigger, Timer
from local.cloud.mns import Topic
from local.cloud.mps import MpsStandIn
from local.cloud.oss import BUCKET, REGION, OssStandIn
from local.cloud.receiver import Receiver
from shared.storage.directory import DirectoryStore

ROOT = Path(__file__).parents[2]
CALLBACK, API = "smarttag-callback", "smarttag-api"
PREFIX = "smarttag"
SUBSCRIBERS = "config/subscribers.json"
ALLOWED = "127.0.0.0/8,::1/128"  # besides public addresses
TOKEN = "local-write-token"
LINK_KEY = base64.b64encode(hashlib.sha256(b"local links").digest()).decode()  # made up too
_RETRIES = 8  # as template.yml has it
PUSH_TOKEN = "local-push-token"


def secret(name: str) -> str:
    """Return the ``whsec_`` secret of a local subscriber; made up, and the same at every start."""
    return "whsec_" + base64.b64encode(hashlib.sha256(f"local {name}".encode()).digest()).decode()


SECRETS = {name: secret(name) for name in ("cms", "review", "archive")}


@dataclass(frozen=True)
class World:
    """What is running.

    Attributes:
        failed: the failure destination: events that the callback failed at nine times.
        objects: the folder in which the bucket's objects lie as plain files.
    """

    mps: MpsStandIn
    oss: OssStandIn
    topic: Topic
    functions: FunctionCompute
    http: FcHttpTrigger
    failed: list[bytes]
    receivers: Mapping[str, Receiver]
    timer: Timer
    objects: Path
    logs: Path

    def job(self, job_id: str) -> Path:
        """Return the folder that a job's artifacts lie in."""
        return self.objects / "jobs" / job_id

    def notify(self, job_id: str, state: str, *, duplicates: int = 1) -> None:
        """Publish MPS's message about a job, as often as asked."""
        message = orjson.dumps({"Type": "smarttag", "JobId": job_id, "State": state, "UserData": ""})
        for _ in range(duplicates):
            self.topic.publish(message)

    def settle(self, seconds: float = 60.0) -> bool:
        """Wait until every message has been handled; False if some still are being after ``seconds``."""
        return self.topic.drain(seconds) and self.functions.drain(seconds)


@contextmanager
def world(
    folder: Path,
    jobs: Mapping[str, bytes],
    *,
    port: int = 0,
    sweep_seconds: float = 60.0,
    subscribe: Mapping[str, str] | None = None,
    code: Path = ROOT,
    python: str = sys.executable,
    **more: Any,  # noqa: ANN401 - as dataclasses.replace
) -> Iterator[World]:
    """Start everything on loopback below ``folder``; stop all of it at the end.

    Args:
        folder: gets ``oss/`` (objects) and ``logs/`` (what the functions print).
        jobs: job ID to the response MPS answers.
        port: of the HTTP trigger; 0 for any.
        sweep_seconds: between timer events.
        subscribe: subscribers besides the three, ID to URL; each is told of everything, signed with ``secret(ID)``.
        code: the functions' code folder: this project, or the deployable package.
        python: the interpreter that runs them.
        more: what else of both functions is not as usual: fields of ``Function``, such as ``runtime``.
    """
    with ExitStack() as stack:
        mps = stack.enter_context(MpsStandIn(dict(jobs)))
        oss = stack.enter_context(OssStandIn(folder / "oss"))
        receivers = {name: stack.enter_context(Receiver(value)) for name, value in SECRETS.items()}
        bucket = DirectoryStore(folder / "oss" / BUCKET)
        bucket.put(SUBSCRIBERS, _subscribers(receivers, subscribe or {}))
        environment = {
            "MPS_ENDPOINT": mps.url,
            "OSS_ENDPOINT": oss.url,
            "OUTPUT_URL": f"oss://{BUCKET}/{PREFIX}",
            "SUBSCRIBERS_URL": f"oss://{BUCKET}/{SUBSCRIBERS}",
            "WEBHOOK_ALLOW_CIDRS": ALLOWED,
            "SUBSCRIBER_ARCHIVE_SECRET": SECRETS["archive"],
            "LINK_KEYS": f"local:{LINK_KEY}",
            "API_TOKENS": f"local:write:{_hash(TOKEN)},pusher:push:{_hash(PUSH_TOKEN)}",
        }
        failed: list[bytes] = []
        deployed = [replace(each, **more) for each in _functions(environment, code, python, failed)]
        functions = stack.enter_context(
            FunctionCompute(deployed, credentials=ROLE, logs=folder / "logs", region=REGION)
        )
        topic = stack.enter_context(Topic("smarttag-events"))
        topic.to_function(partial(functions.invoke_async, CALLBACK))
        http = stack.enter_context(FcHttpTrigger(functions, API, port))
        environment["PUBLIC_URL"] = http.url  # before the first instance of a function starts
        timer = stack.enter_context(Timer(functions, CALLBACK, sweep_seconds))
        objects = folder / "oss" / BUCKET / PREFIX
        yield World(mps, oss, topic, functions, http, failed, receivers, timer, objects, folder / "logs")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _functions(environment: Mapping[str, str], code: Path, python: str, failed: list[bytes]) -> list[Function]:
    names = {CALLBACK: "functions/mns_callback", API: "functions/http_api"}
    return [
        Function(
            *(name, f"{module}.handler", code, environment, f"{module}.initializer"),
            python=python,
            timeout=300.0,
            http=name == API,
            retries=_RETRIES,
            on_failure=failed.append,
        )
        for name, module in names.items()
    ]


def _subscribers(receivers: Mapping[str, Receiver], others: Mapping[str, str]) -> bytes:
    """Return subscribers.json: a CMS told of everything, reviewers told of alerts, an archive that wants it all."""
    entries: list[dict[str, object]] = [
        {"id": "cms", "secrets": [SECRETS["cms"]], "events": ["smarttag.job.*"]},
        {"id": "review", "secrets": [SECRETS["review"]], "when": "alerts"},
        {
            "id": "archive",
            "secrets": ["env:SUBSCRIBER_ARCHIVE_SECRET"],
            "events": ["smarttag.job.succeeded"],
            "payload": "full",
        },
    ]
    for entry in entries:
        entry["url"] = f"{receivers[str(entry['id'])].url}/hooks/smarttag"
    entries += [{"id": name, "url": url, "secrets": [secret(name)]} for name, url in others.items()]
    return orjson.dumps({"version": 1, "subscribers": entries}, option=orjson.OPT_INDENT_2)
