"""What only the OSS store promises, against the local OSS, which fails on purpose."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from local.cloud.accounts import ROLE, USER
from local.cloud.oss import BUCKET, REGION, OssStandIn, crc64
from local.cloud.server import Fault, Request, Response
from shared.credentials import Credentials
from shared.errors import (
    AccessRefused,
    BadSettings,
    ObjectNotFound,
    PermanentError,
    RelayError,
    Throttled,
    TimedOut,
    Unavailable,
)
from shared.retrying import Limits
from shared.storage.oss import OssStore
from tests.storage.sdk_store import SdkStore, sdk_client

KEY = "jobs/88c6ca184c0e47098a5b665e2a126797/summary.json"
ROOT = Path(__file__).parents[2]
QUICK = Limits(connect=5, read=5, total=20, backoff=0.01)
IMPATIENT = Limits(connect=1, read=0.3, total=1, attempts=2, backoff=0.01)


def on_disk(tmp_path: Path) -> bytes:
    return (tmp_path / "oss" / BUCKET / "some/prefix" / KEY).read_bytes()


def is_put(request: Request) -> bool:
    return request.method == "PUT"


def test_objects_lie_under_the_prefix(oss: OssStandIn, oss_store: OssStore, tmp_path: Path) -> None:
    oss_store.put(KEY, b"{}")
    assert on_disk(tmp_path) == b"{}"
    rootless = OssStore(BUCKET, "", REGION, oss.url, lambda: ROLE, limits=QUICK)
    assert list(rootless.list("")) == [f"some/prefix/{KEY}"]
    assert list(oss_store.list("")) == [KEY]


def test_etag_is_the_md5(oss_store: OssStore) -> None:
    oss_store.put("a", b"123456789")
    info = oss_store.head("a")
    assert info is not None
    assert info.etag == "25F9E794323B453885F5181F1B624D0B"
    assert crc64(b"123456789") == 0x995DC9BBDF1939FA


def test_age_is_by_the_clock_of_oss(oss: OssStandIn, oss_store: OssStore) -> None:
    oss_store.put("a", b"1")

    def older(answer: Response) -> Response:
        dates = {"Date": "Sun, 22 Nov 2026 10:00:42 GMT", "Last-Modified": "Sun, 22 Nov 2026 10:00:00 GMT"}
        return replace(answer, headers={**answer.headers, **dates})

    oss.fail(Fault("alter", alter=older))
    info = oss_store.head("a")
    assert info is not None
    assert info.age == 42


@pytest.mark.parametrize("kind", ["reset", "reset-after", "stall", "stall-after"])
@pytest.mark.parametrize("method", ["create", "put", "get", "head", "list", "delete"])
def test_one_failure_at_any_call_changes_nothing(oss: OssStandIn, tmp_path: Path, method: str, kind: str) -> None:
    patient = Limits(connect=1, read=0.3, total=10, attempts=4, backoff=0.01)
    store = OssStore(BUCKET, "some/prefix", REGION, oss.url, lambda: ROLE, limits=patient)
    if method not in {"create", "put"}:
        store.put(KEY, b"body")
    oss.fail(Fault(kind, seconds=1))
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: store.create(KEY, b"body"),
        "put": lambda: store.put(KEY, b"body"),
        "get": lambda: store.get(KEY),
        "head": lambda: getattr(store.head(KEY), "size", None),
        "list": lambda: list(store.list("jobs/")),
        "delete": lambda: store.delete(KEY),
    }
    expected = {"create": True, "put": None, "get": b"body", "head": 4, "list": [KEY], "delete": None}
    assert calls[method]() == expected[method]
    if method == "delete":
        assert store.head(KEY) is None
    else:
        assert on_disk(tmp_path) == b"body"


def test_a_lost_answer_to_create_is_recognised_as_our_own(oss: OssStandIn, oss_store: OssStore) -> None:
    oss.fail(Fault("reset-after", match=is_put))
    assert oss_store.create(KEY, b"nonce 1")
    assert [request.method for request in oss.requests] == ["PUT", "PUT", "GET"]


def test_a_lost_answer_after_somebody_else_won_is_no_success(oss: OssStandIn, oss_store: OssStore) -> None:
    other = OssStore(BUCKET, "some/prefix", REGION, oss.url, lambda: USER, limits=QUICK)
    assert other.create(KEY, b"nonce 2")
    oss.fail(Fault("reset", match=is_put))
    assert not oss_store.create(KEY, b"nonce 1")
    assert oss_store.get(KEY) == b"nonce 2"


def test_an_etag_is_not_needed_to_compare(oss: OssStandIn, oss_store: OssStore) -> None:
    def without(answer: Response) -> Response:
        return replace(answer, headers={k: v for k, v in answer.headers.items() if k != "ETag"})

    oss_store.create(KEY, b"body")
    oss.fail(Fault("alter", 2, lambda request: request.method == "GET", alter=without))
    assert oss_store.create(KEY, b"body")
    assert not oss_store.create(KEY, b"ydob")


def test_a_key_deleted_while_we_compare_is_created_after_all(oss: OssStandIn, oss_store: OssStore) -> None:
    oss_store.put(KEY, b"other")

    def gone(_answer: Response) -> Response:
        oss_store.delete(KEY)
        return Response(404)

    oss.fail(Fault("alter", 1, lambda request: request.method == "GET", alter=gone))
    assert oss_store.create(KEY, b"mine")
    assert oss_store.get(KEY) == b"mine"


class Noisy(OssStandIn):
    """OSS behind a line that damages the first upload; what is refused is not stored."""

    def answer(self, request: Request) -> Response:
        damaged = is_put(request) and sum(map(is_put, self.requests)) == 1
        return super().answer(replace(request, body=b"d@maged") if damaged else request)


@pytest.mark.parametrize("method", ["create", "put"])
def test_an_upload_damaged_on_the_way_is_sent_again(tmp_path: Path, method: str) -> None:
    """OSS checks Content-MD5 before it stores: a create-only retry does not meet its own damage."""
    with Noisy(tmp_path / "oss") as noisy:
        store = OssStore(BUCKET, "some/prefix", REGION, noisy.url, lambda: ROLE, limits=QUICK)
        assert getattr(store, method)(KEY, b"damaged") in {True, None}
        assert len(noisy.requests) == 2
    assert on_disk(tmp_path) == b"damaged"


def test_a_download_damaged_on_the_way_is_fetched_again(oss: OssStandIn, oss_store: OssStore) -> None:
    oss_store.put(KEY, b"whole")
    oss.fail(Fault("alter", alter=lambda answer: replace(answer, body=b"wh0le")))
    assert oss_store.get(KEY) == b"whole"


def test_a_download_damaged_each_time_in_another_way_is_no_object(oss: OssStandIn, oss_store: OssStore) -> None:
    oss_store.put(KEY, b"whole")
    for body in (b"wh0le", b"who1e"):
        oss.fail(Fault("alter", alter=lambda answer, body=body: replace(answer, body=body)))
    with pytest.raises(Unavailable, match="damaged"):
        oss_store.get(KEY)


@pytest.mark.parametrize(
    ("etag", "requests"),
    [('"5B3C1A2E053D763E1B002CC607C5A0FE1F2A-2"', 1), ('"5B3C1A2E053D763E1B002CC607C5A0FE"', 2), (None, 1), ("", 1)],
)
def test_an_etag_that_is_no_md5_is_no_damage(
    oss: OssStandIn, oss_store: OssStore, etag: str | None, requests: int
) -> None:
    """Objects that were uploaded in parts, copied or encrypted; where it only looks like one, two reads must agree."""
    oss_store.put(KEY, b"whole")
    told = {"ETag": etag} if etag is not None else {}

    def others(answer: Response) -> Response:
        kept = {name: value for name, value in answer.headers.items() if name not in {"ETag", "x-oss-hash-crc64ecma"}}
        return replace(answer, headers={**kept, **told})

    oss.fail(Fault("alter", 9, lambda request: request.method == "GET", alter=others))
    assert oss_store.get(KEY) == b"whole"
    assert len(oss.requests) == 1 + requests


def test_half_a_download_is_fetched_again(oss: OssStandIn, oss_store: OssStore) -> None:
    oss_store.put(KEY, b"whole" * 100_000)
    oss.fail(Fault("cut"))
    assert oss_store.get(KEY) == b"whole" * 100_000


def test_a_download_that_takes_too_long_ends_at_the_deadline(oss: OssStandIn, oss_store: OssStore) -> None:
    oss_store.put(KEY, b"x" * 1_000_000)
    hasty = OssStore(BUCKET, "some/prefix", REGION, oss.url, lambda: ROLE, limits=replace(QUICK, total=0.5))
    assert hasty.head(KEY) is not None
    oss.fail(Fault("drip", 9, seconds=0))
    with pytest.raises(TimedOut, match="too slowly"):
        hasty.get(KEY)


def test_an_answer_without_a_date_is_no_description(oss: OssStandIn, oss_store: OssStore) -> None:
    oss_store.put(KEY, b"1")
    oss.fail(Fault("alter", alter=lambda answer: replace(answer, headers={**answer.headers, "Date": "yesterday"})))
    with pytest.raises(Unavailable, match="OSS_ENDPOINT"):
        oss_store.head(KEY)


def test_listing_goes_on_page_by_page(oss: OssStandIn, oss_store: OssStore, tmp_path: Path) -> None:
    folder = tmp_path / "oss" / BUCKET / "some/prefix/outbox"
    folder.mkdir(parents=True)
    for index in range(2100):
        (folder / f"{index:05}").touch()
    keys = oss_store.list("outbox/", "outbox/00004")
    assert next(keys) == "outbox/00005"
    assert len(oss.requests) == 1
    oss.fail(Fault("reset"))
    assert list(keys) == [f"outbox/{index:05}" for index in range(6, 2100)]
    assert len(oss.requests) == 4


def test_children_go_on_page_by_page(oss: OssStandIn, oss_store: OssStore, tmp_path: Path) -> None:
    folder = tmp_path / "oss" / BUCKET / "some/prefix/outbox"
    names = [f"{index:05}" for index in range(2100)]
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "below").touch()
    expected = [f"outbox/{name}/" for name in names]
    assert list(oss_store.children("outbox/")) == expected
    assert len(oss.requests) == 3
    judge = SdkStore(sdk_client(oss.url, REGION, ROLE), BUCKET, "some/prefix")
    assert list(judge.children("outbox/")) == expected


def listing(*parts: str) -> Response:
    return Response(200, f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{"".join(parts)}'.encode())


LAST = "<IsTruncated>false</IsTruncated></ListBucketResult>\n"


def test_keys_are_read_from_a_list_whatever_else_it_says(oss: OssStandIn, oss_store: OssStore) -> None:
    contents = [
        f'<Contents>\n <Key>some%2Fprefix%2F{key}</Key>\n <ETag>"1"</ETag>\n</Contents>'
        for key in ("a%3CKey%3E", "b+c")
    ]
    more = ["<IsTruncated>true</IsTruncated><NextContinuationToken>CgJi%2BA==</NextContinuationToken>", *contents]
    oss.fail(Fault("answer", response=listing(' xmlns="http://doc.example">', *more, "</ListBucketResult>")))
    oss.fail(Fault("answer", response=listing("><KeyCount>0</KeyCount>", LAST)))
    assert list(oss_store.list("")) == ["a<Key>", "b+c"]
    assert oss.requests[1].query["continuation-token"] == "CgJi+A=="


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, b""),
        Response(200, b"<html><Key>a</Key>"),
        listing("><Key>a</Key></ListBucketResult>"),
        listing("><IsTruncated>false</IsTruncated><Key>a</Key>"),
        listing("><IsTruncated>true</IsTruncated><Key>a</Key></ListBucketResult>"),
        listing("><NextContinuationToken>b</NextContinuationToken>", LAST),
        listing("><IsTruncated>maybe</IsTruncated></ListBucketResult>"),
    ],
    ids=["empty", "html", "no-end", "cut", "no-token", "token-too-many", "maybe"],
)
def test_half_a_list_is_no_list(oss: OssStandIn, oss_store: OssStore, answer: Response) -> None:
    """A sweep that took it for the whole would call waiting tasks gone."""
    oss.fail(Fault("answer", 9, response=answer))
    with pytest.raises(Unavailable, match="no list of keys"):
        list(oss_store.list(""))


def refusal(status: int, code: str) -> Response:
    document = f"<Error><Code>{code}</Code><Message>m</Message><RequestId>R1</RequestId></Error>"
    return Response(status, document.encode(), {"Content-Type": "application/xml"})


@pytest.mark.parametrize(
    ("answer", "kind", "attempts"),
    [
        (refusal(403, "AccessDenied"), AccessRefused, 1),
        (refusal(403, "InvalidAccessKeyId"), AccessRefused, 1),
        (refusal(403, "SignatureDoesNotMatch"), AccessRefused, 1),
        (refusal(403, "SecurityTokenExpired"), Unavailable, 4),
        (refusal(403, "RequestTimeTooSkewed"), Unavailable, 4),
        (refusal(404, "NoSuchKey"), ObjectNotFound, 1),
        (refusal(404, "NoSuchBucket"), BadSettings, 1),
        (refusal(409, "FileImmutable"), Unavailable, 4),
        (refusal(429, "TooManyRequests"), Throttled, 4),
        (refusal(503, "SlowDown"), Throttled, 4),
        (refusal(500, "InternalError"), Unavailable, 4),
        (refusal(400, "InvalidArgument"), PermanentError, 1),
        (Response(301, b"", {"Location": "http://127.0.0.1:9/"}), PermanentError, 1),
        (Response(502, b"<html>bad gateway"), Unavailable, 4),
    ],
)
def test_refusals_are_told_apart(
    oss: OssStandIn, oss_store: OssStore, answer: Response, kind: type[RelayError], attempts: int
) -> None:
    oss.fail(Fault("answer", 9, response=answer))
    with pytest.raises(RelayError) as caught:
        oss_store.get(KEY)
    assert type(caught.value) is kind
    assert KEY in caught.value.message
    assert len(oss.requests) == attempts


ELSEWHERE = (
    b"<Error><Code>AccessDenied</Code><Message>must be addressed using the specified endpoint</Message>"
    b"<RequestId>R1</RequestId><Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint></Error>"
)


@pytest.mark.parametrize(
    ("answer", "kind", "advice"),
    [
        (Response(403, ELSEWHERE), BadSettings, r"OSS_ENDPOINT to https://oss-cn-beijing\.aliyuncs\.com"),
        (refusal(403, "InvalidObjectState"), PermanentError, "archived"),
        (refusal(403, "UserDisable"), Unavailable, "arrears"),
        (refusal(403, "InDebtOverdue"), Unavailable, "arrears"),
        (refusal(403, "RequestTimeTooSkewed"), Unavailable, "clock"),
        (refusal(400, "PublicEndpointForbidden"), BadSettings, "-internal address.*OSS_REGION"),
        (refusal(403, "SecondLevelDomainForbidden"), BadSettings, "domain of your own"),
        (refusal(403, "SignatureDoesNotMatch"), AccessRefused, "OSS_REGION"),
        (refusal(403, "AccessDenied"), AccessRefused, "role read and write OUTPUT_URL"),
    ],
)
def test_what_is_no_matter_of_rights_has_advice_of_its_own(
    oss: OssStandIn, oss_store: OssStore, answer: Response, kind: type[RelayError], advice: str
) -> None:
    oss.fail(Fault("answer", 9, response=answer))
    with pytest.raises(kind, match=advice) as caught:
        oss_store.get(KEY)
    assert type(caught.value) is kind
    assert ("role" in caught.value.message) is ("role" in advice)


def test_a_missing_bucket_names_the_setting(oss: OssStandIn) -> None:
    store = OssStore("no-such-bucket", "", REGION, oss.url, lambda: ROLE, setting="SUBSCRIBERS_URL", limits=QUICK)
    with pytest.raises(BadSettings, match=r"no-such-bucket.*SUBSCRIBERS_URL"):
        store.get("subscribers.json")
    with pytest.raises(BadSettings, match="no-such-bucket"):
        store.head("subscribers.json")
    with pytest.raises(BadSettings, match="no-such-bucket"):
        list(store.list(""))


def test_a_bucket_with_versioning_is_refused_since_create_would_overwrite(oss: OssStandIn, oss_store: OssStore) -> None:
    def versioned(answer: Response) -> Response:
        return replace(answer, headers={**answer.headers, "x-oss-version-id": "CAEQ"})

    oss.fail(Fault("alter", alter=versioned))
    with pytest.raises(BadSettings, match=r"versioning.*OUTPUT_URL"):
        oss_store.create(KEY, b"1")


def test_oss_that_is_not_there() -> None:
    with OssStandIn(Path("unused")) as gone:
        url = gone.url
    store = OssStore(BUCKET, "", REGION, url, lambda: ROLE, limits=IMPATIENT)
    with pytest.raises(Unavailable, match="OSS_ENDPOINT"):
        store.get("a")


def test_credentials_are_asked_for_at_each_request(oss: OssStandIn) -> None:
    keys = iter([ROLE, USER, ROLE])
    store = OssStore(BUCKET, "", REGION, oss.url, lambda: next(keys), limits=QUICK)
    store.put("a", b"1")
    store.put("b", b"2")
    store.get("a")
    tokens = [request.headers.get("x-oss-security-token") for request in oss.requests]
    assert tokens == [ROLE.security_token, None, ROLE.security_token]


def test_missing_credentials_stay_a_clear_error(oss: OssStandIn) -> None:
    store = OssStore(BUCKET, "", REGION, oss.url, lambda: Credentials.from_env_or_context({}), limits=QUICK)
    with pytest.raises(BadSettings, match="ALIBABA_CLOUD_ACCESS_KEY_ID"):
        store.put("a", b"1")
    assert oss.requests == []


def test_connections_are_reused(oss: OssStandIn, oss_store: OssStore) -> None:
    for index in range(5):
        oss_store.put(f"a/{index}", b"1")
        oss_store.get(f"a/{index}")
        oss_store.head("a/none")
    assert oss.connections == 1


SECRETS = (ROLE.access_key_secret, ROLE.security_token, "Signature=", "OSS4-HMAC")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset", 9),
        Fault("stall", 9, seconds=1),
        Fault("cut", 9),
        Fault("answer", 9, response=refusal(403, "SignatureDoesNotMatch")),
        Fault("answer", 9, response=Response(500, b"<html>")),
        Fault("answer", 9, response=Response(200, b"<html>")),
    ],
)
def test_no_error_and_no_log_shows_a_credential(
    oss: OssStandIn, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    store = OssStore(BUCKET, "", REGION, oss.url, lambda: ROLE, limits=IMPATIENT)
    store.put("a", b"1" * 100)
    oss.fail(fault)
    with pytest.raises(RelayError) as caught:
        list(store.list("")) if fault.response.status == 200 else store.get("a")
    told = io.StringIO()
    traceback.print_exception(caught.value, file=told)
    text = f"{told.getvalue()}{caught.value.fields}{caplog.text}"
    assert not [secret for secret in SECRETS if secret in text]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_environment_can_neither_redirect_nor_sign_requests(oss: OssStandIn, tmp_path: Path) -> None:
    """A proxy would see the token; requests lets a netrc entry replace our Authorization."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    code = (
        "import sys; from shared.storage.oss import OssStore; from local.cloud.accounts import ROLE\n"
        f"store = OssStore({BUCKET!r}, '', {REGION!r}, sys.argv[1], lambda: ROLE)\n"
        "store.put('a', b'1'); print(store.get('a').decode())"
    )
    nowhere = "http://127.0.0.1:9"
    env = {"NETRC": str(tmp_path / "netrc"), "HTTP_PROXY": nowhere, "http_proxy": nowhere, "ALL_PROXY": nowhere}
    done = subprocess.run(
        [sys.executable, "-c", code, oss.url],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_nothing_heavy_is_imported_before_the_first_request() -> None:
    code = (
        "import sys; from shared.storage.oss import OssStore\n"
        "OssStore('bucket', '', 'cn-shanghai', 'https://oss.invalid', lambda: None)\n"
        "print([name for name in ('alibabacloud_oss_v2', 'requests', 'urllib3') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
