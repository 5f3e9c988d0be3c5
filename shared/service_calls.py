"""Signed requests to a service of Alibaba Cloud: kept connections, one retry loop, one explanation of failures."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import IncompleteRead
from typing import TypeVar

from shared import __version__, metrics
from shared.connections import FAILURES, Connections
from shared.errors import RelayError, RetryableError, TimedOut, Unavailable
from shared.refusals import Answer, Service, Subject
from shared.retrying import Limits, Pace, retry

USER_AGENT = f"smarttag-relay/{__version__}"
_LARGEST_REFUSAL = 65536  # bytes of an error document that are read
_PIECE = 1 << 18  # bytes read between two looks at the clock
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Request:
    """One signed request; ``target`` is path and query, percent-encoded."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


def up_to(most: int) -> Callable[[int], bool]:
    """Return what takes bodies of ``most`` bytes at most."""
    return most.__ge__


_ANY_SIZE = up_to(sys.maxsize)


class _TooSlow(OSError):
    """Pieces of an answer keep coming, past the deadline."""


class ServiceCalls:
    """Calls to one service; safe to share between threads, reuses its connections.

    Args:
        service: its name and what it means by its refusals.
        endpoint: ``https://host[:port]``.
        ca_file: certificate authorities to trust instead of certifi's.
        pace: how time passes.
    """

    def __init__(
        self, service: Service, endpoint: str, *, ca_file: str | None = None, pace: Pace | None = None
    ) -> None:
        self._service = service
        self._endpoint = endpoint
        self._connections = Connections(endpoint, ca_file)
        self._pace = pace or Pace()

    def call(
        self,
        subject: Subject,
        sign: Callable[[], Request],
        accept: Callable[[Answer], _T],
        limits: Limits,
        takes: Callable[[int], bool] = _ANY_SIZE,
    ) -> _T:
        """Return what ``accept`` makes of the answer.

        Args:
            subject: for errors.
            sign: called for each attempt, because signatures carry a time and credentials rotate.
            accept: may raise what else is wrong with a success; where that is retryable, the request is made again.
            limits: for time and attempts.
            takes: says of the size of a success, as far as it is known, whether its body is read on.

        Raises:
            RelayError: by the service's table; ``TimedOut`` or ``Unavailable`` where no answer came.
        """

        def attempt(end: float, patience: float) -> _T:
            return accept(self._answer(subject, sign(), (limits.connect, patience, end), takes))

        def no_time() -> TimedOut:
            return TimedOut(f"no time was left to ask {self._service.name} for {subject.text}", **subject.fields)

        return retry(attempt, limits, self._pace, no_time)

    def _answer(
        self, subject: Subject, request: Request, times: tuple[float, float, float], takes: Callable[[int], bool]
    ) -> Answer:
        failure: RelayError
        try:
            with metrics.stage(self._service.name.lower()) as add:
                answer = self._exchange(request, *times, takes)
                add(len(request.body) + len(answer.body))
        except FAILURES as error:
            failure = self._explain(subject, error)
        else:
            if answer.status // 100 == 2 and "x-fc-error-type" not in answer.headers:  # noqa: PLR2004 - HTTP's success
                return answer
            failure = self._service.explain(subject, answer)
        # Raised here and not above: what failed may quote the URL, and with it a signature and an STS token.
        raise failure

    def _exchange(
        self, request: Request, connect: float, patience: float, end: float, takes: Callable[[int], bool]
    ) -> Answer:
        headers = {"User-Agent": USER_AGENT, **request.headers}
        with self._connections.exchange(
            request.method, request.target, headers, request.body, connect=connect, patience=patience
        ) as response:
            found = {name.lower(): value for name, value in response.headers.items()}
            if response.status // 100 != 2:  # noqa: PLR2004 - as above
                takes = up_to(_LARGEST_REFUSAL)
            elif not takes(size := response.length or 0):
                return Answer(response.status, found, b"", unread=size)
            body = io.BytesIO()  # hands its bytes over without a copy
            while piece := response.read1(_PIECE):
                body.write(piece)
                if not takes(body.tell()):
                    return Answer(response.status, found, body.getvalue(), unread=body.tell())
                if self._pace.clock() > end:
                    raise _TooSlow
            if response.length:
                raise IncompleteRead(b"", response.length)
            return Answer(response.status, found, body.getvalue())

    def _explain(self, subject: Subject, failure: Exception) -> RetryableError:
        where = f"{self._service.name} at {self._endpoint}"
        if isinstance(failure, _TooSlow):
            return TimedOut(f"{where} sends its answer for {subject.text} too slowly; try again", **subject.fields)
        if isinstance(failure, TimeoutError):
            return TimedOut(f"{where} did not answer for {subject.text} in time; try again", **subject.fields)
        return Unavailable(
            f"{where} could not be reached for {subject.text} ({type(failure).__name__}); try again, "
            f"and check {self._service.settings}",
            **subject.fields,
        )
