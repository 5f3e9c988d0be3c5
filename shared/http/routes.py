"""The routes: what each one takes, asks of the service, and answers. ``openapi.json`` describes the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
from werkzeug.wrappers import Request, Response

from shared import keys
from shared.errors import BadInput, ObjectNotFound
from shared.http import problems
from shared.http.bulk import Bulk
from shared.http.limits import Limiter
from shared.http.problems import MALFORMED, MEDIA, Problem
from shared.http.push import PushVerifier
from shared.http.represent import REVALIDATE, answer
from shared.http.service import Service
from shared.http.tokens import TokenAuth
from shared.logs import log_error

PATIENCE = 2.0  # seconds a single request waits for its turn to query
POLL_SECONDS = 15
MAX_JOBS = 1000
_SUBSCRIBER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_JOB_ID = "1 to 64 characters of A-Z, a-z, 0-9, _ and -"
_PATH_SAFE = "/:@!$&'()*+,;=-._~"
_JSON = "application/json"


class Served(NamedTuple):
    """How an artifact is served."""

    content_type: str
    shown: bool  # in the browser, rather than saved
    cache: str = REVALIDATE


ARTIFACTS = {
    "summary.json": Served(_JSON, shown=True),
    "report.html": Served("text/html; charset=utf-8", shown=True),
    "subtitles.vtt": Served("text/vtt; charset=utf-8", shown=False),
    "subtitles.srt": Served("application/x-subrip; charset=utf-8", shown=False),
    "transcript.txt": Served("text/plain; charset=utf-8", shown=False),
    "timeline.ndjson": Served("application/x-ndjson", shown=False),
    # the first final response stored is never replaced
    "response.json": Served(_JSON, shown=False, cache="private, max-age=86400, immutable"),
    "manifest.json": Served(_JSON, shown=True),
}
_REPORT_HEADERS = {
    # The report is one file without scripts; whatever got into it reaches neither the network nor this origin.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox allow-downloads allow-popups"
    ),
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class Parts:
    """What the routes work with; ``service_for`` gets the FC context of each request that needs the service."""

    service_for: Callable[[Any], Service]
    guard: TokenAuth
    push: PushVerifier = field(default_factory=PushVerifier)
    limiter: Limiter = field(default_factory=Limiter)
    bulk: Bulk = field(default_factory=Bulk)


@dataclass
class Call:
    """One request on its way through a route."""

    parts: Parts
    request: Request
    request_id: str
    args: Mapping[str, str]
    caller: str

    @cached_property
    def service(self) -> Service:
        """The use cases, made at the first use: some routes need none."""
        return self.parts.service_for(self.request.environ.get("fc.context"))

    @property
    def round(self) -> str:
        """What names a redelivery: repeated by the same caller under the same key, it sends nothing again."""
        return f"{self.caller}/{self.request.headers.get('Idempotency-Key') or self.request_id}"

    @cached_property
    def job_id(self) -> str:
        """The job in the path; ``Problem`` 400 unless it is well-formed."""
        if not _is_job_id(self.args["jobId"]):
            raise Problem(MALFORMED, f"A job ID is {_JOB_ID}.")
        return self.args["jobId"]

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter; ``Problem`` 400 unless it is true, false or absent."""
        values = self.request.args.getlist(name)
        if values not in ([], ["true"], ["false"]):
            raise Problem(MALFORMED, f"Send {name}=true or {name}=false, once, or leave it out.")
        return values == ["true"]

    def body(self, *allowed: str) -> dict[str, Any]:
        """Return the JSON object in the body, {} if it is empty; ``Problem`` 400, 413 or 415 if it is none."""
        raw = self.request.get_data()
        if not raw:
            return {}
        if self.request.mimetype != _JSON:
            raise Problem(MEDIA)
        try:
            found = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Problem(MALFORMED, "The body is no JSON text in UTF-8 of sensible depth.") from None
        if not isinstance(found, dict) or not found.keys() <= set(allowed):
            raise Problem(MALFORMED, f"The body is a JSON object with no other members than {', '.join(allowed)}.")
        if not isinstance(found.get("redeliver", False), bool):
            raise Problem(MALFORMED, 'Send "redeliver" as true or false, or leave it out.')
        return found

    def json(self, value: object, status: int = 200, **headers: str) -> Response:
        """Answer a JSON value that is not to be cached; ``retry_after`` becomes ``Retry-After``."""
        named = {name.title().replace("_", "-"): text for name, text in headers.items()}
        return answer(self.request, orjson.dumps(value), status=status, headers=named)


def health(call: Call) -> Response:
    """Say that the application runs and that its settings were accepted."""
    return call.json({"status": "ok"})


def openapi(call: Call) -> Response:
    """Answer the description of this API."""
    body = Path(__file__).with_name("openapi.json").read_bytes()
    return answer(call.request, body, cache="public, max-age=300")


def get_job(call: Call) -> Response:
    """Answer the stored summary, or else what MPS says now."""
    job_id, fresh = call.job_id, call.flag("fresh")
    if not fresh:
        try:
            return answer(call.request, call.service.stored_summary(job_id), cache=REVALIDATE)
        except ObjectNotFound:
            pass
    with call.parts.limiter.slot(PATIENCE):
        summary = call.service.live(job_id)
    if summary.status in {"Submitted", "Processing"}:
        return answer(call.request, summary.to_json(), status=202, headers={"Retry-After": str(POLL_SECONDS)})
    return answer(call.request, summary.to_json(), cache=REVALIDATE)


def get_artifact(call: Call) -> Response:
    """Answer one artifact with the headers its kind asks for."""
    job_id, name = call.job_id, call.args["artifact"]
    served = ARTIFACTS.get(name)
    if served is None:
        raise Problem(problems.NO_ROUTE, f"A job's artifacts are {', '.join(ARTIFACTS)}.")
    body = call.service.stored(job_id, name)
    disposition = f'{"inline" if served.shown else "attachment"}; filename="{job_id}-{name}"'
    headers = {"Content-Disposition": disposition} | (_REPORT_HEADERS if name == "report.html" else {})
    return answer(call.request, body, served.content_type, cache=served.cache, headers=headers)


def publish(call: Call) -> Response:
    """Publish one job here, or hand it off."""
    job_id, redeliver = call.job_id, call.body("redeliver").get("redeliver", False)
    done = _publish(call, job_id, PATIENCE, redeliver=redeliver)
    if done["outcome"] == "accepted":
        return call.json(done, 202, location=f"/jobs/{job_id}", retry_after=str(POLL_SECONDS))
    return call.json(done)


def publish_many(call: Call) -> Response:
    """Publish up to 1,000 jobs; every one of them is answered, and what time was too short for is owed."""
    body = call.body("jobIds", "redeliver")
    job_ids, redeliver = body.get("jobIds"), body.get("redeliver", False)
    if not isinstance(job_ids, list) or not 1 <= len(job_ids) <= MAX_JOBS:
        raise Problem(MALFORMED, f'Send {{"jobIds": [...]}} with 1 to {MAX_JOBS} job IDs.')
    for index, job_id in enumerate(job_ids):
        if not isinstance(job_id, str) or not _is_job_id(job_id):
            raise Problem(MALFORMED, f"jobIds[{index}] is not {_JOB_ID}.")
    service = call.service  # made once, here, not by the first of many threads

    def now(job_id: str, left: float) -> dict[str, Any]:
        return _publish(call, job_id, left, redeliver=redeliver)

    def later(job_id: str) -> dict[str, Any]:
        service.owe(job_id, redeliver=redeliver, request_id=call.round)
        return {"jobId": job_id, "outcome": "accepted"}

    done = call.parts.bulk.run(job_ids, now, later)
    results = [_result(call, job_id, found) for job_id, found in done.items()]
    outcomes = [str(result["outcome"]) for result in results]
    counts = {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}
    return call.json({"results": results, "counts": counts}, 202 if "accepted" in counts else 200)


def get_deliveries(call: Call) -> Response:
    """Answer how every subscriber fared."""
    return call.json({"jobId": call.job_id, "deliveries": call.service.deliveries(call.job_id)})


def redeliver_one(call: Call) -> Response:
    """Send to one subscriber again."""
    job_id, subscriber_id = call.job_id, call.args["subscriberId"]
    if not _SUBSCRIBER.fullmatch(subscriber_id):
        raise Problem(MALFORMED, "A subscriber ID is 1 to 64 characters of A-Z, a-z, 0-9, _ and -.")
    try:
        return call.json(call.service.redeliver(job_id, subscriber_id, request_id=call.round))
    except ObjectNotFound:
        raise Problem(problems.NO_DELIVERY) from None


def notify(call: Call) -> Response:
    """Take in a topic's push, whose signature must hold, or a call of MPS's NotifyUrl, which carries none."""
    request, body = call.request, call.request.get_data()
    headers = {name.lower(): value for name, value in request.headers.items()}
    if any(name.startswith("x-mns-") for name in headers):
        query = request.query_string.decode("latin-1")
        target = quote(request.path, safe=_PATH_SAFE) + (f"?{query}" if query else "")
        call.parts.push.check(request.method, target, headers, body)
    try:
        with call.parts.limiter.slot(PATIENCE):
            return call.json({"results": call.service.accept(body)})
    except BadInput:
        detail = "Only notifications are taken in here; to publish a job, POST /jobs/{jobId}/publish."
        raise Problem(MALFORMED, detail) from None


def _publish(call: Call, job_id: str, patience: float, *, redeliver: bool) -> dict[str, Any]:
    if call.service.hand_off(job_id, redeliver=redeliver, request_id=call.round):
        return {"jobId": job_id, "outcome": "accepted"}
    with call.parts.limiter.slot(patience):
        return call.service.publish(job_id, redeliver=redeliver, request_id=call.round)


def _result(call: Call, job_id: str, found: dict[str, Any] | Exception) -> dict[str, Any]:
    if not isinstance(found, Exception):
        return found
    log_error("http.job.failed", found, level=problems.level_of(found), jobId=job_id)
    return {"jobId": job_id, "outcome": "failed", "problem": problems.document(found, call.request_id)}


def _is_job_id(text: str) -> bool:
    try:
        return bool(keys.check_job_id(text))
    except BadInput:
        return False


class Route(NamedTuple):
    """One method on one path, written as in ``openapi.json``; scope None needs no token, push has it in the path."""

    method: str
    path: str
    scope: str | None
    run: Callable[[Call], Response]


ROUTES = (
    Route("GET", "/healthz", None, health),
    Route("GET", "/openapi.json", None, openapi),
    Route("GET", "/jobs/{jobId}", "read", get_job),
    Route("POST", "/jobs/publish", "write", publish_many),
    Route("POST", "/jobs/{jobId}/publish", "write", publish),
    Route("GET", "/jobs/{jobId}/deliveries", "read", get_deliveries),
    Route("POST", "/jobs/{jobId}/deliveries/{subscriberId}/redeliver", "write", redeliver_one),
    Route("GET", "/jobs/{jobId}/{artifact}", "read", get_artifact),
    Route("POST", "/notifications/{token}", "push", notify),
)
