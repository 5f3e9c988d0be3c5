"""The local MPS, asked by the official SDK's own client and by hand."""

from __future__ import annotations

import hashlib
import hmac
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest

from local.cloud.accounts import ROLE, USER
from local.cloud.mps import MpsStandIn, string_to_sign

JOB = "88c6ca184c0e47098a5b665e2a126797"
RESPONSE = b'{"JobStatus":"Success" }'


@pytest.fixture
def mps() -> Iterator[MpsStandIn]:
    with MpsStandIn({JOB: RESPONSE}) as running:
        yield running


def official(mps: MpsStandIn, secret: str | None = None) -> Any:
    from aliyunsdkcore.auth.credentials import StsTokenCredential
    from aliyunsdkcore.client import AcsClient

    credential = StsTokenCredential(ROLE.access_key_id, secret or ROLE.access_key_secret, ROLE.security_token)
    return AcsClient(region_id="cn-shanghai", credential=credential, port=mps.port)


def query(job_id: str = JOB, version: str = "2014-06-18", action: str = "QuerySmarttagJob") -> Any:
    from aliyunsdkcore.request import CommonRequest

    request = CommonRequest("127.0.0.1", version, action, product="Mts")
    request.set_method("POST")
    request.add_query_param("JobId", job_id)
    return request


def refusal(mps: MpsStandIn, request: Any, secret: str | None = None) -> tuple[int, str]:
    from aliyunsdkcore.acs_exception.exceptions import ServerException

    with pytest.raises(ServerException) as caught:
        official(mps, secret).do_action_with_exception(request)
    return caught.value.get_http_status(), caught.value.get_error_code()


def test_the_official_client_is_answered(mps: MpsStandIn) -> None:
    assert official(mps).do_action_with_exception(query()) == RESPONSE
    assert mps.queried(JOB) == 1


def test_the_official_client_is_refused_what_mps_refuses(mps: MpsStandIn) -> None:
    assert refusal(mps, query("f" * 32)) == (404, "InvalidParameter.ResourceNotFound")
    assert refusal(mps, query("no uuid")) == (400, "InvalidParameter.UUIDFormatInvalid")
    assert refusal(mps, query("")) == (400, "MissingJobId")
    assert refusal(mps, query(version="2010-01-01")) == (400, "InvalidVersion")
    assert refusal(mps, query(action="SubmitJobs")) == (404, "InvalidAction.NotFound")
    assert refusal(mps, query(), secret="wrong") == (400, "SignatureDoesNotMatch")


def sign(parameters: dict[str, str], secret: str = USER.access_key_secret) -> dict[str, str]:
    """Sign as the documentation says, independently of both the SDK and the stand-in."""
    line = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(parameters.items()))
    text = f"GET&%2F&{quote(line, safe='')}"
    digest = hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()
    return {**parameters, "Signature": b64encode(digest).decode()}


def good(**changed: str) -> dict[str, str]:
    return {
        "Format": "JSON",
        "Version": "2014-06-18",
        "AccessKeyId": USER.access_key_id,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": str(time.monotonic_ns()),
        "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "Action": "QuerySmarttagJob",
        "JobId": JOB,
        **changed,
    }


def ask(mps: MpsStandIn, parameters: dict[str, str]) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"{mps.url}/?{urlencode(parameters)}", timeout=10) as response:  # noqa: S310 - loopback
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def code(mps: MpsStandIn, parameters: dict[str, str]) -> str:
    return str(orjson.loads(ask(mps, parameters)[1])["Code"])


def test_a_request_signed_by_the_book_is_answered(mps: MpsStandIn) -> None:
    assert ask(mps, sign(good(Odd="a b*c~d/e+é&="))) == (200, RESPONSE)


def test_everything_signed_counts(mps: MpsStandIn) -> None:
    signed = sign(good())
    for name in ("JobId", "SignatureNonce", "Timestamp"):
        assert code(mps, {**signed, name: signed[name][:-1] + "x"}) == "SignatureDoesNotMatch"
    assert code(mps, {**signed, "Extra": "1"}) == "SignatureDoesNotMatch"
    assert code(mps, sign(good(), USER.access_key_secret + "x")) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"AccessKeyId": "LTAI5tNobody"}, "InvalidAccessKeyId.NotFound"),
        ({"SecurityToken": "one too many"}, "InvalidSecurityToken.Malformed"),
        ({"Timestamp": "2020-01-01T00:00:00Z"}, "InvalidTimeStamp.Expired"),
        ({"Timestamp": "yesterday"}, "InvalidTimeStamp.Format"),
        ({"SignatureMethod": "HMAC-SHA256"}, "SignatureDoesNotMatch"),
        ({"SignatureNonce": ""}, "MissingSignatureNonce"),
        ({"Format": "XML"}, "UnsupportedFormat"),
    ],
)
def test_what_the_gateway_checks(mps: MpsStandIn, changed: dict[str, str], expected: str) -> None:
    assert code(mps, sign(good(**changed))) == expected


def test_a_role_without_its_token_is_refused(mps: MpsStandIn) -> None:
    assert (
        code(mps, sign(good(AccessKeyId=ROLE.access_key_id), ROLE.access_key_secret))
        == "InvalidSecurityToken.Malformed"
    )


def test_a_nonce_works_once(mps: MpsStandIn) -> None:
    signed = sign(good())
    assert ask(mps, signed)[0] == 200
    assert code(mps, signed) == "SignatureNonceUsed"


def test_the_example_of_the_documentation() -> None:
    """DescribeRegions as "RPC request signature" of help.aliyun.com signs it with the secret ``testsecret``."""
    query = {
        "Timestamp": "2016-02-23T12:46:24Z",
        "Format": "XML",
        "AccessKeyId": "testid",
        "Action": "DescribeRegions",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "Version": "2014-05-26",
        "SignatureVersion": "1.0",
        "Signature": "OLeaidS1JvxuMvnyHOwuJ+uX5qY=",
    }
    digest = hmac.new(b"testsecret&", string_to_sign("GET", query).encode(), hashlib.sha1).digest()
    assert b64encode(digest).decode() == query["Signature"]
