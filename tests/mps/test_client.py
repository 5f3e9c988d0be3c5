"""The MPS client against the local MPS, over real sockets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from local.cloud.accounts import ROLE, USER
from local.cloud.mps import MpsStandIn
from local.cloud.server import Fault, Response
from shared import __version__
from shared.credentials import Credentials
from shared.errors import (
    AccessRefused,
    BadInput,
    BadResponse,
    BadSettings,
    JobNotFound,
    NotAdmitted,
    PermanentError,
    RelayError,
    ResponseTooLarge,
    RetryableError,
    Throttled,
    TimedOut,
    Unavailable,
)
from shared.mps.client import MpsClient
from shared.retrying import Pace
from tests.mps.recorded import JOB, RESPONSE


@dataclass
class Time:
    """Time that passes by sleeping only."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def paced(mps: MpsStandIn, rng: float = 1.0) -> tuple[MpsClient, Time]:
    time = Time()
    pace = Pace(time.clock, time.sleep, lambda: rng)
    return MpsClient(mps.url, "cn-shanghai", lambda: ROLE, 1 << 20, pace=pace), time


def test_the_answer_comes_through_byte_for_byte(mps: MpsStandIn, client: MpsClient) -> None:
    assert client.query(JOB, 10) == RESPONSE
    (request,) = mps.requests
    assert (request.method, request.path, request.body) == ("POST", "/", b"")
    asked = {name: request.query[name] for name in ("Action", "Version", "Format", "JobId", "RegionId")}
    assert asked == {
        "Action": "QuerySmarttagJob",
        "Version": "2014-06-18",
        "Format": "JSON",
        "JobId": JOB,
        "RegionId": "cn-shanghai",
    }
    assert request.headers["user-agent"] == f"smarttag-relay/{__version__}"


@pytest.mark.parametrize("who", [ROLE, USER])
def test_the_request_names_what_one_of_the_sdk_names(who: Credentials) -> None:
    from aliyunsdkcore.auth.credentials import AccessKeyCredential, StsTokenCredential
    from aliyunsdkcore.client import AcsClient
    from aliyunsdkcore.request import CommonRequest

    with MpsStandIn({JOB: RESPONSE}) as mps:
        MpsClient(mps.url, "cn-shanghai", lambda: who, 1 << 20).query(JOB, 10)
        key, token = (who.access_key_id, who.access_key_secret), who.security_token
        credential = StsTokenCredential(*key, token) if token else AccessKeyCredential(*key)
        request = CommonRequest("127.0.0.1", "2014-06-18", "QuerySmarttagJob", product="Mts")
        request.set_method("POST")
        request.add_query_param("JobId", JOB)
        AcsClient(region_id="cn-shanghai", port=mps.port, credential=credential).do_action_with_exception(request)
        ours, theirs = (each.query for each in mps.requests)
    assert ours.keys() == theirs.keys()
    changing = {"Signature", "SignatureNonce", "Timestamp"}
    assert [name for name in ours if ours[name] != theirs[name] and name not in changing] == []


def test_a_large_answer_is_left_to_who_decodes_it(mps: MpsStandIn, client: MpsClient) -> None:
    """Parsing it here as well would double the work; the SDK did."""
    large = b'{"JobStatus":"Success","Message":"' + b"x" * 100_000 + b'" cut'
    mps.set_answers(JOB, [large])
    assert client.query(JOB, 10) == large


def test_a_job_may_change_between_queries(mps: MpsStandIn, client: MpsClient) -> None:
    mps.set_answers(JOB, [b'{"JobStatus":"Submitted"}', b'{"JobStatus":"Processing"}', RESPONSE])
    seen = [client.query(JOB, 10) for _ in range(4)]
    assert seen == [b'{"JobStatus":"Submitted"}', b'{"JobStatus":"Processing"}', RESPONSE, RESPONSE]


def test_connections_are_reused_and_credentials_asked_for_each_time(mps: MpsStandIn) -> None:
    keys = iter([ROLE, USER, ROLE, USER])
    client = MpsClient(mps.url, "cn-shanghai", lambda: next(keys), 1 << 20)
    for _ in range(3):
        assert client.query(JOB, 10) == RESPONSE
    with pytest.raises(JobNotFound):
        client.query("f" * 32, 10)
    assert mps.connections == 1
    tokens = [request.query.get("SecurityToken") for request in mps.requests]
    assert tokens == [ROLE.security_token, None, ROLE.security_token, None]


def test_one_client_serves_many_threads(client: MpsClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.query(JOB, 30), range(80)))
    assert answers == [RESPONSE] * 80


@pytest.mark.parametrize("kind", ["reset", "reset-after", "stall", "stall-after", "cut"])
def test_one_failure_of_the_network_changes_nothing(mps: MpsStandIn, client: MpsClient, kind: str) -> None:
    """Silence until the deadline included: an attempt gets half of what is left."""
    mps.fail(Fault(kind, seconds=9))
    assert client.query(JOB, 3) == RESPONSE
    assert len(mps.requests) == 2


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_throttling_and_failures_are_retried_although_the_sdk_would_not(mps: MpsStandIn, status: int) -> None:
    client, time = paced(mps)
    if status == 400:
        mps.throttle(3)
    else:
        mps.say(Response(status, b"<html>busy"), 3)
    assert client.query(JOB, 60) == RESPONSE
    assert time.slept == [0.3, 0.6, 1.2]
    nonces = {request.query["SignatureNonce"] for request in mps.requests}
    assert len(nonces) == 4, "each attempt is signed anew"


def test_waits_are_drawn_from_zero_up(mps: MpsStandIn) -> None:
    client, time = paced(mps, rng=0.25)
    mps.throttle(2)
    client.query(JOB, 60)
    assert time.slept == [0.075, 0.15]


def test_retrying_ends_with_the_deadline(mps: MpsStandIn) -> None:
    client, time = paced(mps)
    mps.break_down(99)
    with pytest.raises(Unavailable, match="InternalError"):
        client.query(JOB, 1.5)
    assert len(mps.requests) == 3
    assert sum(time.slept) < 1.5


def test_retrying_ends_after_six_attempts(mps: MpsStandIn) -> None:
    client, _ = paced(mps)
    mps.throttle(99)
    with pytest.raises(Throttled):
        client.query(JOB, 3600)
    assert len(mps.requests) == 6


def test_retry_after_is_kept_or_handed_on(mps: MpsStandIn) -> None:
    client, time = paced(mps)
    mps.say(Response(429, b"", {"Retry-After": "7"}))
    assert client.query(JOB, 60) == RESPONSE
    assert time.slept == [7]
    mps.say(Response(429, b"", {"Retry-After": "70"}))
    with pytest.raises(Throttled) as caught:
        client.query(JOB, 60)
    assert caught.value.retry_after == 70


def test_no_time_left_is_a_time_out_without_a_request(mps: MpsStandIn, client: MpsClient) -> None:
    with pytest.raises(TimedOut, match=JOB):
        client.query(JOB, 0)
    assert mps.requests == []


def test_a_dripping_answer_ends_at_the_deadline(mps: MpsStandIn, client: MpsClient) -> None:
    mps.fail(Fault("drip", 9, seconds=0.1))
    with pytest.raises(TimedOut, match="too slowly"):
        client.query(JOB, 1)


def test_a_service_that_is_not_there() -> None:
    with MpsStandIn({}) as gone:
        url = gone.url
    client = MpsClient(url, "cn-shanghai", lambda: ROLE, 1 << 20)
    with pytest.raises(Unavailable, match=r"MPS_ENDPOINT and MPS_REGION"):
        client.query(JOB, 1)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "Throttling", Throttled),
        (400, "Throttling.User", Throttled),
        (400, "Throttling.Api", Throttled),
        (500, "InternalError", Unavailable),
        (400, "InternalError", Unavailable),
        (503, "ServiceUnavailable", Unavailable),
        (400, "InvalidSecurityToken.Expired", Unavailable),
        (400, "InvalidTimeStamp.Expired", Unavailable),
        (400, "SignatureNonceUsed", Unavailable),
        (404, "InvalidAccessKeyId.NotFound", AccessRefused),
        (400, "InvalidAccessKeyId.Inactive", AccessRefused),
        (400, "InvalidSecurityToken.MismatchWithAccessKey", AccessRefused),
        (400, "SignatureDoesNotMatch", AccessRefused),
        (403, "Forbidden.RAM", AccessRefused),
        (403, "PermissionDenied.NoPermission", AccessRefused),
        (400, "InvalidIdentity.ServiceDisabled", AccessRefused),
        (404, "InvalidParameter.ResourceNotFound", JobNotFound),
        (400, "InvalidParameter.UUIDFormatInvalid", JobNotFound),
        (404, "JobNotFound", JobNotFound),
        (404, "InvalidAction.NotFound", PermanentError),
        (400, "InvalidVersion", PermanentError),
        (400, "MissingJobId", PermanentError),
        (404, "", BadResponse),
        (403, "", AccessRefused),
        (302, "", BadResponse),
        (502, "", Unavailable),
    ],
)
def test_the_code_decides_and_not_the_status(mps: MpsStandIn, status: int, code: str, kind: type[RelayError]) -> None:
    """Also where the message has no colon, over which the SDK stumbles with an IndexError."""
    client, _ = paced(mps)
    if code:
        mps.refuse(status, code, "a message without one", 99)
    else:
        mps.say(Response(status, b"<html>"), 99)
    with pytest.raises(RelayError) as caught:
        client.query(JOB, 60)
    assert type(caught.value) is kind
    assert JOB in caught.value.message
    assert caught.value.fields["code"] == code
    assert len(mps.requests) == (6 if issubclass(kind, RetryableError) else 1)


def test_an_unknown_job(client: MpsClient) -> None:
    with pytest.raises(JobNotFound, match="180 days"):
        client.query("0" * 32, 10)
    with pytest.raises(JobNotFound):
        client.query("no-uuid", 10)


def test_a_job_id_that_could_carry_parameters_is_never_sent(mps: MpsStandIn, client: MpsClient) -> None:
    with pytest.raises(BadInput):
        client.query("a&Action=DeletePipeline", 10)
    assert mps.requests == []


def test_wrong_credentials(mps: MpsStandIn) -> None:
    for wrong in (
        Credentials(ROLE.access_key_id, "not-the-secret-at-all", ROLE.security_token),
        Credentials(ROLE.access_key_id, ROLE.access_key_secret, "stale"),
        Credentials("LTAI5tNobody", "secret"),
    ):
        client = MpsClient(mps.url, "cn-shanghai", partial(replace, wrong), 1 << 20)
        with pytest.raises(AccessRefused, match="credentials"):
            client.query(JOB, 10)


def test_missing_credentials_stay_a_clear_error(mps: MpsStandIn) -> None:
    client = MpsClient(mps.url, "cn-shanghai", lambda: Credentials.from_env_or_context({}), 1 << 20)
    with pytest.raises(BadSettings, match="ALIBABA_CLOUD_ACCESS_KEY_ID"):
        client.query(JOB, 10)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "nothing"),
        (b"  \n", "nothing"),
        (b"<?xml version='1.0'?><QuerySmarttagJobResponse/>", "XML or HTML"),
        (b"<!doctype html><p>Welcome", "XML or HTML"),
        (b"OK", "something else"),
        (b'"text"', "something else"),
        (b"\xff\xfe{\x00}\x00", "something else"),
        (b'{"JobStatus":"Success","Results":', "malformed JSON"),
        (b'{"JobStatus":"\xc4\xe3"}', "malformed JSON"),
    ],
)
def test_a_200_that_is_no_response_is_told(mps: MpsStandIn, body: bytes, told: str) -> None:
    client, _ = paced(mps)
    mps.say(Response(200, body), 99)
    with pytest.raises(BadResponse, match=told) as caught:
        client.query(JOB, 60)
    assert caught.value.fields["jobId"] == JOB


def test_a_gateway_that_answers_html_for_a_moment_is_asked_again(mps: MpsStandIn) -> None:
    client, _ = paced(mps)
    mps.say(Response(200, b"<html>maintenance"))
    assert client.query(JOB, 60) == RESPONSE


@pytest.mark.parametrize(
    ("code", "kind"),
    [("Throttling.User", Throttled), ("InvalidParameter.ResourceNotFound", JobNotFound), ("Odd", PermanentError)],
)
def test_an_error_inside_a_200_counts_as_that_error(mps: MpsStandIn, code: str, kind: type[RelayError]) -> None:
    client, _ = paced(mps)
    mps.refuse(200, code, "message", 99)
    with pytest.raises(kind, match=code):
        client.query(JOB, 60)


def test_an_error_in_xml_is_read_too(mps: MpsStandIn, client: MpsClient) -> None:
    document = b"<Error><RequestId>ABC</RequestId><Code>Forbidden.RAM</Code></Error>"
    mps.say(Response(403, document, {"Content-Type": "text/xml"}))
    with pytest.raises(AccessRefused) as caught:
        client.query(JOB, 10)
    assert (caught.value.fields["code"], caught.value.fields["serviceRequestId"]) == ("Forbidden.RAM", "ABC")


def test_a_response_over_the_limit_is_refused(mps: MpsStandIn) -> None:
    client = MpsClient(mps.url, "cn-shanghai", lambda: ROLE, 1000)
    mps.set_answers(JOB, [b'{"JobStatus":"' + b"x" * 984 + b'"}'])
    assert len(client.query(JOB, 10)) == 1000
    mps.set_answers(JOB, [b'{"JobStatus":"' + b"x" * 985 + b'"}'])
    with pytest.raises(ResponseTooLarge, match="1000 bytes: raise MAX_RESULT_BYTES"):
        client.query(JOB, 10)


def test_a_response_that_is_not_admitted_is_not_read(mps: MpsStandIn, client: MpsClient) -> None:
    large = b'{"JobStatus":"Success","UserData":"' + b"x" * 600_000 + b'"}'
    mps.set_answers(JOB, [large])
    asked: list[int] = []

    def admits(size: int) -> bool:
        asked.append(size)
        return size <= 300_000

    with pytest.raises(NotAdmitted, match="wait for its turn"):
        client.query(JOB, 10, admits)
    assert asked == [len(large)]
    assert len(mps.requests) == 1
    assert client.query(JOB, 10, lambda _size: True) == large
