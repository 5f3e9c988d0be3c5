"""MPS on this machine: QuerySmarttagJob of Mts 2014-06-18, answering recorded jobs byte for byte, and SearchPipeline.

Every request is checked as the real gateway would: product parameters, RPC signature version 1.0, STS token, time
and nonce (help.aliyun.com, "RPC request signature").
"""

from __future__ import annotations

import base64
import hmac
import re
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from math import inf
from time import monotonic
from urllib.parse import quote

import orjson

from local.cloud.accounts import ACCOUNTS, ENDED
from local.cloud.server import Fault, Refusal, Request, Response, StandIn

_SKEW = timedelta(minutes=15)
_JOB_ID = re.compile(r"[0-9a-f]{32}")
_THROTTLED = ("Throttling.User", "Request was denied due to user flow control.")
_REQUIRED = (
    *("AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce"),
    *("Timestamp", "Version", "Action"),
)


class MpsStandIn(StandIn):
    """MPS with some finished jobs.

    Args:
        jobs: what to answer for each job ID, byte for byte.
        port: the port to listen on, 0 for any.
        pipelines: what SearchPipeline answers; named as in its documentation.
        per_second: how many requests of one second are taken; the others are throttled. None: all.

    Attributes:
        throttled: how many were refused for that.
    """

    def __init__(
        self,
        jobs: Mapping[str, bytes],
        port: int = 0,
        pipelines: Sequence[Mapping[str, object]] = (),
        per_second: int | None = None,
    ) -> None:
        super().__init__(port)
        self._pipelines = list(pipelines)
        self.throttled = 0
        self._latest: deque[float] | None = None if per_second is None else deque([-inf] * per_second, per_second)
        self._jobs = {job_id: [body] for job_id, body in jobs.items()}
        self._nonces: set[str] = set()

    def set_answers(self, job_id: str, answers: Sequence[bytes]) -> None:
        """Let a job change: each query takes the next answer, and the last one stays."""
        self._jobs[job_id] = list(answers)

    def set_pipelines(self, pipelines: Sequence[Mapping[str, object]]) -> None:
        """Let there be other pipelines."""
        self._pipelines = list(pipelines)

    def queried(self, job_id: str) -> int:
        """Return how often a job was asked for, refused and failed requests included."""
        return sum(request.query.get("JobId") == job_id for request in self.requests)

    def throttle(self, times: int = 1) -> None:
        """Refuse the next requests as the account's limit of 100 a second would: with status 400."""
        self.refuse(400, *_THROTTLED, times=times)

    def break_down(self, times: int = 1) -> None:
        """Answer the next requests with an internal error."""
        self.refuse(500, "InternalError", "The request processing has failed due to some unknown error.", times)

    def refuse(self, status: int, code: str, message: str, times: int = 1) -> None:
        """Answer the next requests with this error document."""
        self.say(_document(Refusal(status, code, message)), times)

    def say(self, response: Response, times: int = 1) -> None:
        """Answer the next requests with anything at all."""
        self.fail(Fault("answer", times, response=response))

    def stall(self, seconds: float, times: int = 1) -> None:
        """Keep silent for ``seconds``, then hang up."""
        self.fail(Fault("stall", times, seconds=seconds))

    def reset(self, times: int = 1) -> None:
        """Reset the connection of the next requests."""
        self.fail(Fault("reset", times))

    def answer(self, request: Request) -> Response:
        """Check the request, then answer the recorded job."""
        try:
            self._check(request, datetime.now(timezone.utc))
            self._count(monotonic())
            found = (
                self._result(request.query.get("JobId", ""))
                if request.query["Action"] == "QuerySmarttagJob"
                else self._page(int(request.query.get("PageNumber", 1)), int(request.query.get("PageSize", 10)))
            )
            return Response(200, found, {"Content-Type": "application/json"})
        except Refusal as refused:
            return _document(refused)

    def _check(self, request: Request, now: datetime) -> None:
        query = request.query
        for name in _REQUIRED:
            if not query.get(name):
                raise Refusal(400, f"Missing{name}", f"{name} is mandatory for this action.")
        if query["Version"] != "2014-06-18":
            raise Refusal(400, "InvalidVersion", "Specified parameter Version is not valid.")
        if query["Action"] not in {"QuerySmarttagJob", "SearchPipeline"}:
            raise Refusal(404, "InvalidAction.NotFound", "The specified action is not found.")
        if query.get("Format", "XML") != "JSON":
            raise Refusal(400, "UnsupportedFormat", "The local MPS answers JSON only; the default Format is XML.")
        self._check_signature(request)
        try:
            signed_at = datetime.strptime(query["Timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        except ValueError:
            raise Refusal(400, "InvalidTimeStamp.Format", "Specified time stamp or date value is malformed.") from None
        if abs(now - signed_at) > _SKEW:
            raise Refusal(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
        with self._lock:
            if query["SignatureNonce"] in self._nonces:
                raise Refusal(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
            self._nonces.add(query["SignatureNonce"])

    def _count(self, now: float) -> None:
        with self._lock:
            if self._latest is None:
                return
            if now - self._latest[0] < 1:
                self.throttled += 1
                raise Refusal(400, *_THROTTLED)
            self._latest.append(now)

    def _check_signature(self, request: Request) -> None:
        query = request.query
        if query["AccessKeyId"] == ENDED.access_key_id:
            raise Refusal(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")
        account = ACCOUNTS.get(query["AccessKeyId"])
        if account is None:
            raise Refusal(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if query.get("SecurityToken", "") != account.security_token:
            raise Refusal(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
        text = string_to_sign(request.method, query)
        expected = base64.b64encode(hmac.digest(f"{account.access_key_secret}&".encode(), text.encode(), "sha1"))
        known = (query["SignatureMethod"], query["SignatureVersion"]) == ("HMAC-SHA1", "1.0")
        if not known or not hmac.compare_digest(expected, query["Signature"].encode()):
            message = "Specified signature is not matched with our calculation. server string to sign is:" + text
            raise Refusal(400, "SignatureDoesNotMatch", message)

    def _page(self, number: int, size: int) -> bytes:
        page = self._pipelines[(number - 1) * size :][:size]
        found = {"TotalCount": len(self._pipelines), "PageNumber": number, "PageSize": size}
        return orjson.dumps({**found, "PipelineList": {"Pipeline": page}, "RequestId": str(uuid.uuid4()).upper()})

    def _result(self, job_id: str) -> bytes:
        if not job_id:
            raise Refusal(400, "MissingJobId", "JobId is mandatory for this action.")
        with self._lock:
            answers = self._jobs.get(job_id)
            if answers:
                return answers.pop(0) if len(answers) > 1 else answers[0]
        if not _JOB_ID.fullmatch(job_id):
            raise Refusal(400, "InvalidParameter.UUIDFormatInvalid", f'The parameter "{job_id}" is not a UUID.')
        raise Refusal(404, "InvalidParameter.ResourceNotFound", f'The resource "{job_id}" can not be found.')


def string_to_sign(method: str, query: Mapping[str, str]) -> str:
    """Return what RPC signature 1.0 signs: method and sorted parameters, percent-encoded, then encoded once more."""
    pairs = sorted((name, value) for name, value in query.items() if name != "Signature")
    line = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
    return f"{method}&%2F&{quote(line, safe='~')}"


def _document(refused: Refusal) -> Response:
    """Return an error as the gateway documents it."""
    request_id = str(uuid.uuid4()).upper()
    fields = {"RequestId": request_id, "HostId": "mts.local", "Code": refused.code, "Message": refused.message}
    return Response(refused.status, orjson.dumps(fields), {"Content-Type": "application/json"})
