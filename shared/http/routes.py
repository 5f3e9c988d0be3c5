"""The routes: what each one takes, asks of the service, and answers. ``openapi.json`` describes the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import orjson
from werkzeug.wrappers import Request, Response

from shared.credentials import end_if_stranded
from shared.errors import BadInput, ObjectNotFound, RelayError
from shared.http import problems
from shared.http.problems import MALFORMED, MEDIA, Problem
from shared.http.push import PushVerifier
from shared.http.represent import REVALIDATE, answer
from shared.http.service import Service
from shared.http.tokens import TokenAuth
from shared.jobs import ARTIFACTS, JOB_ID_RULE, MANIFEST, REPORT, RESPONSE, SUMMARY, JobStatus, is_job_id
from shared.links import LONGEST, SHORTEST, Links, Sessions
from shared.logs import log_error
from shared.outbox.partitions import side_by_side
from shared.outbox.records import iso
from shared.publishing.reports import Word
from shared.settings import ApiToken

if TYPE_CHECKING:
    from shared.catalogue.search import Page

LINKED = "/s/{token}/{artifact}"
POLL_SECONDS = 15
MAX_JOBS = 1000
JOBS_PER_PAGE, MOST_JOBS_PER_PAGE = 50, 200
IMMUTABLE = "private, max-age=86400, immutable"
SUBSCRIBER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATH_SAFE = "/:@!$&'()*+,;=-._~"
_JSON = "application/json"


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
class Dependencies:
    """What the routes work with; ``service_for`` gets the FC context of each request that needs the service."""

    service_for: Callable[[Any], Service]
    token_auth: TokenAuth
    push: PushVerifier = field(default_factory=PushVerifier)
    links: Links | None = None
    sessions: Sessions | None = None  # without them there are no pages
    media_url: str = ""  # MEDIA_URL

    def linked_job(self, token: str) -> str:
        """Return the job that the token in a path opens; ``Problem`` 404."""
        job_id = None if self.links is None else self.links.job(token)
        if job_id is None:
            raise Problem(problems.NO_LINK)
        return job_id


@dataclass
class RequestContext:
    """One request: what came in, who sent it, and what its route works with."""

    dependencies: Dependencies
    request: Request
    request_id: str
    args: Mapping[str, str]
    caller: str
    token: ApiToken | None = None  # that the session of a page was begun with

    @cached_property
    def service(self) -> Service:
        """The use cases, made at the first use: some routes need none."""
        return self.dependencies.service_for(self.request.environ.get("fc.context"))

    @property
    def redelivery_id(self) -> str:
        """The name of a redelivery: repeated by the same caller under the same key, it sends nothing again."""
        return f"{self.caller}/{self.request.headers.get('Idempotency-Key') or self.request_id}"

    @cached_property
    def job_id(self) -> str:
        """The job in the path; ``Problem`` 400 unless it is well-formed."""
        if not is_job_id(self.args["jobId"]):
            raise Problem(MALFORMED, f"A job ID must be {JOB_ID_RULE}.")
        return self.args["jobId"]

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter; ``Problem`` 400 unless it is true, false or absent."""
        values = self.request.args.getlist(name)
        if values not in ([], ["true"], ["false"]):
            raise Problem(MALFORMED, f"Send {name}=true or {name}=false, once, or leave it out.")
        return values == ["true"]

    def body(self, *allowed: str) -> dict[str, Any]:
        """Return the JSON object in the body, {} if it is empty; ``Problem`` 400, 413 or 415 otherwise."""
        raw = self.request.get_data()
        if not raw:
            return {}
        if self.request.mimetype != _JSON:
            raise Problem(MEDIA)
        try:
            found = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Problem(MALFORMED, "The body must be JSON in UTF-8, nested less than 1,000 levels deep.") from None
        if not isinstance(found, dict) or not found.keys() <= set(allowed):
            raise Problem(MALFORMED, f"The body must be a JSON object with these members only: {', '.join(allowed)}.")
        for name in ("redeliver", "refresh", "restore"):
            if not isinstance(found.get(name, False), bool):
                raise Problem(MALFORMED, f'Send "{name}" as true or false, or leave it out.')
        return found

    def json(self, value: object, status: int = 200, **headers: str) -> Response:
        """Answer a JSON value that is not to be cached; ``retry_after`` becomes ``Retry-After``."""
        named = {name.title().replace("_", "-"): text for name, text in headers.items()}
        return answer(self.request, orjson.dumps(value), status=status, headers=named)


def health(context: RequestContext) -> Response:
    """Say that the application runs and that its settings were accepted."""
    return context.json({"status": "ok"})


def openapi(context: RequestContext) -> Response:
    """Answer the description of this API."""
    body = Path(__file__).with_name("openapi.json").read_bytes()
    return answer(context.request, body, cache="public, max-age=300")


def list_jobs(context: RequestContext) -> Response:
    """Answer published jobs, newest first, that all filters want."""
    query = context.request.args
    given = query.to_dict()
    if len(given) != len(list(query.items(multi=True))) or not all(given.values()):
        raise Problem(MALFORMED, "Send each filter once, and leave out what is empty.")
    cursor, limit = given.pop("cursor", ""), given.pop("limit", str(JOBS_PER_PAGE))
    if not re.fullmatch("[0-9]{1,3}", limit, re.ASCII) or not 1 <= int(limit) <= MOST_JOBS_PER_PAGE:
        raise Problem(MALFORMED, f"limit must be a whole number from 1 to {MOST_JOBS_PER_PAGE}.")
    page = find_jobs(context, given, cursor, int(limit))
    rows = [row.to_json() for row in page.rows]
    return context.json({"jobs": rows, "next": page.next, "searchedTo": page.searched_to})


def find_jobs(context: RequestContext, given: Mapping[str, str], cursor: str, limit: int) -> Page:
    """Return published jobs, newest first, that all filters want; ``Problem`` 400 says what to send instead."""
    from shared.catalogue.filters import Filters

    try:
        return context.service.jobs(Filters.read(given), cursor, limit)
    except BadInput as error:  # it names filters and the rules for them, and nothing of ours
        raise Problem(MALFORMED, f"{error.message}.") from None


def get_job(context: RequestContext) -> Response:
    """Answer the stored summary, or else what MPS says now."""
    job_id, fresh = context.job_id, context.flag("fresh")
    if not fresh:
        try:
            return answer(context.request, context.service.stored(job_id, SUMMARY), cache=REVALIDATE)
        except ObjectNotFound:
            pass
    summary = context.service.live(job_id)
    if not JobStatus(summary.status).is_final:
        return answer(context.request, summary.to_json(), status=202, headers={"Retry-After": str(POLL_SECONDS)})
    return answer(context.request, summary.to_json(), cache=REVALIDATE)


def get_artifact(context: RequestContext) -> Response:
    """Answer one artifact with the headers its kind asks for."""
    name = context.args["artifact"]
    return artifact(context, name, IMMUTABLE if name in ARTIFACTS and ARTIFACTS[name].immutable else REVALIDATE)


def get_linked(context: RequestContext) -> Response:
    """Answer one artifact of the job that a link opens."""
    name = context.args["artifact"]
    if name == RESPONSE:
        detail = f"A link does not open {RESPONSE}: get it with a token, at /jobs/{context.job_id}/{RESPONSE}."
        raise Problem(problems.NO_LINK, detail)
    if name not in ARTIFACTS:
        raise Problem(problems.NO_LINK)
    return artifact(context, name, REVALIDATE)


def artifact(context: RequestContext, name: str, cache: str) -> Response:
    """Answer an artifact of the job in the path; ``Problem`` 404 if there is none of that name."""
    if name not in ARTIFACTS:
        raise Problem(problems.NO_ROUTE, f"The artifact must be one of {', '.join(ARTIFACTS)}.")
    job_id, policy = context.job_id, ARTIFACTS[name]
    body = context.service.stored(job_id, name)
    disposition = f'{"inline" if policy.inline else "attachment"}; filename="{job_id}-{name}"'
    headers = {"Content-Disposition": disposition} | (_REPORT_HEADERS if name == REPORT else {})
    return answer(context.request, body, policy.content_type, cache=cache, headers=headers)


def publish(context: RequestContext) -> Response:
    """Publish one job here, or hand it off."""
    job_id, body = context.job_id, context.body("redeliver", "refresh", "restore")
    redeliver, refresh = body.get("redeliver", False), body.get("refresh", False)
    if body.get("restore", False):
        context.service.restore(job_id)
    done = context.service.publish(job_id, redeliver=redeliver, refresh=refresh, request_id=context.redelivery_id)
    if done["outcome"] == Word.ACCEPTED:
        return context.json(done, 202, location=f"/jobs/{job_id}", retry_after=str(POLL_SECONDS))
    return context.json(done)


def erase(context: RequestContext) -> Response:
    """Remove everything of a job."""
    done = context.service.erase(context.job_id, request_id=context.redelivery_id)
    return context.json(done, 202 if done["outcome"] == Word.ACCEPTED else 200)


def publish_many(context: RequestContext) -> Response:
    """Enqueue up to 1,000 jobs for the next sweep; every one of them is answered."""
    body = context.body("jobIds", "redeliver")
    job_ids, redeliver = body.get("jobIds"), body.get("redeliver", False)
    if not isinstance(job_ids, list) or not 1 <= len(job_ids) <= MAX_JOBS:
        raise Problem(MALFORMED, f'Send {{"jobIds": [...]}} with 1 to {MAX_JOBS} job IDs.')
    for index, job_id in enumerate(job_ids):
        if not isinstance(job_id, str) or not is_job_id(job_id):
            raise Problem(MALFORMED, f"jobIds[{index}] must be {JOB_ID_RULE}.")
    service = context.service  # made once, here, not by the first of many threads

    def enqueue(job_id: str) -> tuple[str, RelayError | None]:
        try:
            service.enqueue(job_id, redeliver=redeliver, request_id=context.redelivery_id)
        except RelayError as error:
            log_error("http.job.failed", error, level=problems.level_of(error), jobId=job_id)
            return job_id, error
        return job_id, None

    unique = dict.fromkeys(job_ids)
    errors = dict(side_by_side([(name, name) for name in unique], enqueue))
    results = [_enqueued(name, errors[name], context.request_id) for name in unique]
    if failed := [error for error in errors.values() if error]:
        end_if_stranded(failed[-1], context.request.environ.get("fc.context"))
    counts = Counter(done["outcome"] for done in results)
    return context.json({"results": results, "counts": dict(sorted(counts.items()))}, 202)


def _enqueued(job_id: str, error: RelayError | None, request_id: str) -> dict[str, Any]:
    if error is None:
        return {"jobId": job_id, "outcome": Word.ACCEPTED.value}
    return {"jobId": job_id, "outcome": "failed", "problem": problems.document(error, request_id)}


def get_deliveries(context: RequestContext) -> Response:
    """Answer how every subscriber fared."""
    return context.json({"jobId": context.job_id, "deliveries": context.service.deliveries(context.job_id)})


def make_link(context: RequestContext) -> Response:
    """Make a link that opens a published job's report without a token."""
    job_id, seconds, links = context.job_id, context.body("expiresIn").get("expiresIn"), context.dependencies.links
    if isinstance(seconds, float) and seconds.is_integer():
        seconds = int(seconds)  # JSON does not tell 60.0 from 60
    if type(seconds) is not int or not SHORTEST <= seconds <= LONGEST:
        raise Problem(MALFORMED, f'Send {{"expiresIn": seconds}}, a whole number from {SHORTEST} to {LONGEST}.')
    if links is None:
        raise Problem(problems.LINKS_OFF)
    context.service.stored(job_id, MANIFEST)  # written last: where it is not, a link would open nothing
    link = links.make(job_id, seconds)
    return context.json({"links": {"report": link.url}, "expiresAt": iso(link.expires * 1000)})


def redeliver_one(context: RequestContext) -> Response:
    """Send to one subscriber again."""
    job_id, subscriber_id = context.job_id, context.args["subscriberId"]
    if not SUBSCRIBER.fullmatch(subscriber_id):
        raise Problem(MALFORMED, "A subscriber ID must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -.")
    try:
        return context.json(context.service.redeliver(job_id, subscriber_id, request_id=context.redelivery_id))
    except ObjectNotFound:
        raise Problem(problems.NO_DELIVERY) from None


def notify(context: RequestContext) -> Response:
    """Take in a topic's push, whose signature must hold, or a call of MPS's NotifyUrl, which carries none."""
    request, body = context.request, context.request.get_data()
    headers = {name.lower(): value for name, value in request.headers.items()}
    if any(name.startswith("x-mns-") for name in headers):
        query = request.query_string.decode("latin-1")
        target = quote(request.path, safe=_PATH_SAFE) + (f"?{query}" if query else "")
        context.dependencies.push.check(request.method, target, headers, body)
    try:
        return context.json({"results": context.service.accept(body)})
    except BadInput:
        detail = "Only notifications are taken in here; to publish a job, POST /jobs/{jobId}/publish."
        raise Problem(MALFORMED, detail) from None


class Route(NamedTuple):
    """One method on one path, written as in ``openapi.json``.

    Scope None needs no token; push and link have theirs in the path; session is for pages, which look themselves.
    """

    method: str
    path: str
    scope: str | None
    run: Callable[[RequestContext], Response]


ROUTES = (
    Route("GET", "/healthz", None, health),
    Route("GET", "/openapi.json", None, openapi),
    Route("GET", "/jobs", "read", list_jobs),
    Route("GET", "/jobs/{jobId}", "read", get_job),
    Route("DELETE", "/jobs/{jobId}", "write", erase),
    Route("POST", "/jobs/publish", "write", publish_many),
    Route("POST", "/jobs/{jobId}/publish", "write", publish),
    Route("GET", "/jobs/{jobId}/deliveries", "read", get_deliveries),
    Route("POST", "/jobs/{jobId}/links", "read", make_link),
    Route("POST", "/jobs/{jobId}/deliveries/{subscriberId}/redeliver", "write", redeliver_one),
    Route("GET", "/jobs/{jobId}/{artifact}", "read", get_artifact),
    Route("GET", LINKED, "link", get_linked),
    Route("POST", "/notifications/{token}", "push", notify),
)
