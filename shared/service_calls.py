"""Signed requests to a service of Alibaba Cloud: one pool of urllib3, one retry loop, one explanation of failures."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from shared import __version__, metrics
from shared.errors import RelayError, RetryableError, TimedOut, Unavailable
from shared.refusals import Answer, Service, Subject
from shared.retrying import Limits, Pace, retry

if TYPE_CHECKING:
    from ssl import SSLContext

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
        self._ca_file = ca_file
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
            timeout = self._urllib3.Timeout(connect=min(limits.connect, patience), total=patience)
            return accept(self._answer(subject, sign(), timeout, end, takes))

        def no_time() -> TimedOut:
            return TimedOut(f"no time was left to ask {self._service.name} for {subject.text}", **subject.fields)

        return retry(attempt, limits, self._pace, no_time)

    def _answer(
        self,
        subject: Subject,
        request: Request,
        timeout: Any,  # noqa: ANN401 - urllib3's
        end: float,
        takes: Callable[[int], bool],
    ) -> Answer:
        failure: RelayError
        try:
            with metrics.stage(self._service.name.lower()) as add:
                answer = self._exchange(request, timeout, end, takes)
                add(len(request.body) + len(answer.body))
        except (OSError, self._urllib3.exceptions.HTTPError) as error:
            failure = self._explain(subject, error)
        else:
            if answer.status // 100 == 2 and "x-fc-error-type" not in answer.headers:  # noqa: PLR2004 - HTTP's success
                return answer
            failure = self._service.explain(subject, answer)
        # Raised here and not above: urllib3's errors may quote the URL, and with it a signature and an STS token.
        raise failure

    def _exchange(self, request: Request, timeout: Any, end: float, takes: Callable[[int], bool]) -> Answer:  # noqa: ANN401 - as above
        with self._pool.urlopen(
            request.method,
            request.target,
            body=request.body or None,
            headers={"User-Agent": USER_AGENT, **request.headers},
            timeout=timeout,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        ) as response:
            if response.status // 100 != 2:  # noqa: PLR2004 - as above
                takes = up_to(_LARGEST_REFUSAL)
            elif not takes(size := response.length_remaining or 0):
                return Answer(response.status, response.headers, b"", unread=size)
            body = io.BytesIO()  # hands its bytes over without a copy
            while piece := response.read1(_PIECE):
                body.write(piece)
                if not takes(body.tell()):
                    return Answer(response.status, response.headers, body.getvalue(), unread=body.tell())
                if self._pace.clock() > end:
                    raise _TooSlow
            return Answer(response.status, response.headers, body.getvalue())

    def _explain(self, subject: Subject, failure: Exception) -> RetryableError:
        kinds = self._urllib3.exceptions
        where = f"{self._service.name} at {self._endpoint}"
        refused = isinstance(failure, kinds.NewConnectionError)  # a kind of time-out, to urllib3
        if isinstance(failure, _TooSlow):
            return TimedOut(f"{where} sends its answer for {subject.text} too slowly; try again", **subject.fields)
        if not refused and isinstance(failure, (kinds.TimeoutError, TimeoutError)):
            return TimedOut(f"{where} did not answer for {subject.text} in time; try again", **subject.fields)
        return Unavailable(
            f"{where} could not be reached for {subject.text} ({type(failure).__name__}); try again, "
            f"and check {self._service.settings}",
            **subject.fields,
        )

    @cached_property
    def _urllib3(self) -> Any:  # noqa: ANN401 - imported late
        import urllib3

        # It logs every URL at DEBUG, and those of MPS are signed.
        logging.getLogger("urllib3.connectionpool").addFilter(_says_nothing_signed)
        return urllib3

    @cached_property
    def _pool(self) -> Any:  # noqa: ANN401 - imported late
        trust = {"ssl_context": _tls(self._ca_file)} if self._endpoint.startswith("https") else {}
        return self._urllib3.connection_from_url(self._endpoint, maxsize=64, **trust)


@cache
def _tls(ca_file: str | None) -> SSLContext:
    """Return the one context of all connections: reading the authorities takes some 20 ms of CPU."""
    import certifi
    from urllib3.util import create_urllib3_context

    context = create_urllib3_context()
    context.load_verify_locations(ca_file or certifi.where())
    return context


def _says_nothing_signed(record: logging.LogRecord) -> bool:
    return "Signature=" not in record.getMessage()
