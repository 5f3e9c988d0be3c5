"""The tables of refusals: every answer means one thing, and nothing of it is repeated but codes."""

from __future__ import annotations

import base64
import re

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import RelayError, RetryableError
from shared.invoker import FUNCTION_COMPUTE
from shared.mps.answers import MPS
from shared.refusals import Answer, Service, Subject
from shared.storage.oss import OSS

SERVICES = (MPS, OSS, FUNCTION_COMPUTE)
SUBJECT = Subject("job 88c6", {"jobId": "88c6"}, "OUTPUT_URL")
SECRET = "a-secret-that-was-signed"


def xml(**fields: str) -> bytes:
    return f"<Error>{''.join(f'<{name}>{value}</{name}>' for name, value in fields.items())}</Error>".encode()


@given(
    st.sampled_from(SERVICES),
    st.integers(100, 599),
    st.binary(max_size=200) | st.builds(orjson.dumps, st.recursive(st.none() | st.text(), st.lists)),
    st.dictionaries(st.sampled_from(["Retry-After", "x-fc-error-type", "x-oss-err", "x-oss-request-id"]), st.text()),
)
@example(OSS, 403, b"", {"x-oss-err": "é"})
@example(OSS, 403, b"", {"x-oss-err": "A"})
def test_every_answer_has_a_meaning(service: Service, status: int, document: bytes, headers: dict[str, str]) -> None:
    error = service.explain(SUBJECT, Answer(status, headers, document))
    assert isinstance(error, RelayError)
    assert error.message.startswith(f"{service.name} answered {status} ")
    assert "job 88c6" in error.message
    assert (error.fields["jobId"], error.fields["status"]) == ("88c6", status)
    assert error.retry_after is None or 0 <= error.retry_after < 100_000


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_what_may_pass_is_worth_retrying_at_every_service(service: Service, status: int) -> None:
    assert isinstance(service.explain(SUBJECT, Answer(status, {}, b"<html>")), RetryableError)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_no_advice_is_left_unfinished(service: Service) -> None:
    """Each row says what to do, and names nothing but what is known."""
    for rule in service.rules:
        advice = rule.advice.format(setting="OUTPUT_URL", endpoint="oss-cn-beijing.aliyuncs.com")
        assert not re.search(r"[{}]|\.$", advice)
        assert len(advice) > 8
    assert (service.rules[-1].status, service.rules[-1].code) == ("", ""), "the last row fits everything"


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
@pytest.mark.parametrize(
    "document",
    [
        orjson.dumps({"Code": "Odd", "Message": SECRET, "RequestId": "R1"}),
        orjson.dumps({"ErrorCode": f"Odd {SECRET}", "ErrorMessage": SECRET, "RequestId": ["R1"]}),
        xml(Code="Odd", Message=SECRET, StringToSign=SECRET, RequestId="R1"),
        SECRET.encode(),
    ],
)
def test_only_codes_are_repeated(service: Service, document: bytes) -> None:
    error = service.explain(SUBJECT, Answer(403, {}, document))
    assert SECRET not in f"{error.message}{error.fields}"


def test_the_document_of_a_head_is_in_a_header() -> None:
    headers = {"x-oss-err": base64.b64encode(xml(Code="NoSuchBucket", RequestId="R1")).decode()}
    error = OSS.explain(SUBJECT, Answer(404, headers, b""))
    assert (error.fields["code"], error.fields["serviceRequestId"]) == ("NoSuchBucket", "R1")
