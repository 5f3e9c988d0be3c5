"""Publishing thousands of past jobs: whose IDs stand in a file, at what pace, by whom, and what became of each.

The receipts in the bucket say what is done, and nothing else is kept: whatever ends a run, the next one goes on.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from shared.errors import AccessRefused, BadInput, BadSettings, JobNotFound, PermanentError, RelayError
from shared.jobs import JOB_ID_RULE, is_job_id
from shared.publishing.reports import Word
from shared.refusals import AGAIN, SLOWER, Answer, Rule, Service, Subject
from shared.relay import Relay
from shared.retrying import Limits, Pace
from shared.service_calls import Request, ServiceCalls
from shared.settings import Settings

THREADS = 8  # the largest of responses takes hundreds of megabytes while it is decoded
_SECONDS = 150.0  # for one job, with its first webhooks
_COMMENT = re.compile(r"(?:^|\s)#.*")  # an ID with a # in it is a mistake, and no ID before a comment
_TOKEN = re.compile(r"[!-~]+")  # what a header can hold
_API_LIMITS = Limits(connect=5.0, read=_SECONDS, total=2 * _SECONDS, attempts=5, backoff=1.0)
_API = Service(
    "The HTTP API",
    "--api",
    (
        Rule("401|403", "", AccessRefused, "set SMARTTAG_TOKEN to a token of scope write"),
        Rule("404", "", JobNotFound, "MPS knows no such job, or --api is not the address of the API"),
        Rule("429", "", *SLOWER),
        Rule("500|502", "", PermanentError, "the log of the function smarttag-api says why"),
        Rule("5", "", *AGAIN),
        Rule("", "", PermanentError, "check --api"),
    ),
)


class State(str, Enum):
    """What became of one job."""

    PUBLISHED = "published"
    BEFORE = "published before"
    UNFINISHED = "not finished"  # MPS is still at it
    ELSEWHERE = "begun elsewhere"  # by the functions, or by a run that was killed; the sweep finishes it
    FAILED = "failed"


DONE = frozenset({State.PUBLISHED, State.BEFORE})
_STATES = {
    Word.PUBLISHED: (State.PUBLISHED, ""),
    Word.DUPLICATE: (State.BEFORE, ""),
    Word.PROGRESS: (State.UNFINISHED, "MPS has not finished the job"),
    Word.ACCEPTED: (State.ELSEWHERE, "the functions, or a run before, have begun it: look again in three minutes"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job, and why if it is not published."""

    job_id: str
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that holds no job ID, without what surrounds it."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Ids:
    """What a file of job IDs holds: each ID once, in its order; ``repeated`` lines name one that stood before."""

    job_ids: tuple[str, ...]
    bad: tuple[BadLine, ...]
    repeated: int


Publish = Callable[[str], Outcome]


def read_ids(path: Path) -> Ids:
    """Read one job ID a line; blank lines and what follows a ``#`` do not count.

    Raises:
        BadInput: the file cannot be read, or is no text in UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    lines = [(number, _COMMENT.sub("", line).strip()) for number, line in enumerate(text.splitlines(), 1)]
    good = [line for _, line in lines if is_job_id(line)]
    bad = tuple(BadLine(number, line) for number, line in lines if line and not is_job_id(line))
    unique = tuple(dict.fromkeys(good))
    return Ids(unique, bad, len(good) - len(unique))


def failures(bad: Iterable[BadLine], outcomes: Iterable[Outcome]) -> list[str]:
    """Return every line and job that is not published, with the reason, as lines that ``read_ids`` reads again."""
    return [
        *(f"{line.text}  # line {line.number} holds no job ID, which is {JOB_ID_RULE}" for line in bad),
        *(f"{each.job_id}  # {each.state.value}: {each.reason}" for each in outcomes if each.state not in DONE),
    ]


class Pacer:
    """Lets callers through one after the other, evenly, ``rate`` a second."""

    def __init__(self, rate: float, pace: Pace | None = None) -> None:
        self._gap = 1 / rate
        self._pace = pace or Pace()
        self._next = 0.0
        self._lock = threading.Lock()

    def turn(self) -> None:
        """Return when it is the caller's turn."""
        with self._lock:
            now = self._pace.clock()
            at = max(now, self._next)
            self._next = at + self._gap
        self._pace.sleep(at - now)


def directly(env: Mapping[str, str], pacer: Pacer) -> Publish:
    """Return what publishes a job from this machine, as the functions would; ``BadSettings`` if settings are wrong."""
    relay = Relay(Settings.from_env(env), pacer.turn)
    relay.begin(env, None)

    def publish(job_id: str) -> Outcome:
        done = relay.publisher.publish(job_id, redeliver=False, request_id="backfill", seconds=_SECONDS)
        return Outcome(job_id, *_state(done["outcome"]))

    return publish


def over_http(url: str, token: str, pacer: Pacer) -> Publish:
    """Return what has the HTTP API at ``url`` publish a job; ``BadSettings`` if that or the token is none."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that is not closed, say
        parts = urlsplit("")
    if not parts.hostname or parts.scheme not in {"https", "http"} or parts.path.strip("/") or parts.query:
        raise BadSettings("--api must be an address such as https://videos.example.com", settings=["--api"])
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise BadSettings("--api must be https://, because a token is sent there", settings=["--api"])
    if not _TOKEN.fullmatch(token := token.strip()):  # Python's own refusal of such a header would repeat it
        raise BadSettings("set SMARTTAG_TOKEN to a token of scope write", settings=["SMARTTAG_TOKEN"])
    calls = ServiceCalls(_API, f"{parts.scheme}://{parts.netloc}")

    def publish(job_id: str) -> Outcome:
        def request() -> Request:
            pacer.turn()
            return Request("POST", f"/jobs/{job_id}/publish", {"Authorization": f"Bearer {token}"})

        return Outcome(job_id, *calls.call(Subject(f"job {job_id}", {"jobId": job_id}), request, _told, _API_LIMITS))

    return publish


def _told(answer: Answer) -> tuple[State, str]:
    try:
        return _state(orjson.loads(answer.body)["outcome"])
    except (ValueError, TypeError, KeyError):
        raise PermanentError("the answer is none of the HTTP API; check --api") from None


def _state(word: str) -> tuple[State, str]:
    return _STATES.get(Word(word)) or (State.FAILED, f"it was {word}")


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run: ``stopped`` is why jobs were left out, if any were."""

    outcomes: tuple[Outcome, ...]
    stopped: str = ""


def run(job_ids: Iterable[str], publish: Publish, told: Callable[[Outcome], object]) -> Run:
    """Publish jobs side by side, ``told`` of each as it ends; what is begun is finished whatever stops the run.

    Ctrl-C stops it, and so does what would refuse every other job as well: wrong settings and missing rights.
    """
    outcomes: dict[Future[Outcome], Outcome] = {}
    stopped = ""
    with ThreadPoolExecutor(THREADS) as pool:
        begun = {pool.submit(publish, job_id): job_id for job_id in job_ids}

        def note(future: Future[Outcome]) -> str:
            error = future.exception()
            why = error.message if isinstance(error, RelayError) else f"a defect of ours: {error!r}"
            outcomes[future] = Outcome(begun[future], State.FAILED, why) if error else future.result()
            told(outcomes[future])
            return why if isinstance(error, AccessRefused | BadSettings) else ""

        try:
            stopped = next(filter(None, map(note, as_completed(begun))), "")
        except KeyboardInterrupt:
            stopped = "interrupted"
        pool.shutdown(cancel_futures=bool(stopped))
        for future in begun:
            if not future.cancelled() and future not in outcomes:
                note(future)
    return Run(tuple(outcomes.values()), stopped)
