"""The local OSS, asked by the official SDK and by hand."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from local.cloud.accounts import ACCOUNTS, ROLE, USER
from local.cloud.oss import BUCKET, REGION, OssStandIn, crc64
from local.cloud.oss_signature import check_signature
from local.cloud.server import Refusal, Request
from shared.credentials import Credentials


@pytest.fixture
def oss(tmp_path: Path) -> Iterator[OssStandIn]:
    with OssStandIn(tmp_path) as running:
        yield running


def official(oss: OssStandIn, who: Credentials = ROLE, region: str = REGION) -> Any:
    import alibabacloud_oss_v2 as sdk

    config = sdk.config.load_default()
    config.region, config.endpoint = region, oss.url
    config.credentials_provider = sdk.credentials.StaticCredentialsProvider(
        who.access_key_id, who.access_key_secret, who.security_token or None
    )
    config.retryer = sdk.retry.NopRetryer()
    return sdk.Client(config)


def refused(call: Any, *args: Any) -> tuple[int, str]:
    import alibabacloud_oss_v2 as sdk

    with pytest.raises(sdk.exceptions.OperationError) as caught:
        call(*args)
    error = caught.value.unwrap()
    return error.status_code, error.code


def put(key: str, body: bytes, **more: Any) -> Any:
    import alibabacloud_oss_v2 as sdk

    return sdk.PutObjectRequest(bucket=BUCKET, key=key, body=body, **more)


def head(key: str, bucket: str = BUCKET) -> Any:
    import alibabacloud_oss_v2 as sdk

    return sdk.HeadObjectRequest(bucket=bucket, key=key)


@pytest.mark.parametrize("key", ["a", "jobs/j/报告 1.html", "a/+*~%41?&=#", "a/'\"<&>"])
def test_objects_are_files(oss: OssStandIn, tmp_path: Path, key: str) -> None:
    import alibabacloud_oss_v2 as sdk

    client = official(oss)
    body = b"123456789"
    answer = client.put_object(put(key, body, content_type="text/html; charset=utf-8"))
    assert answer.etag == f'"{hashlib.md5(body, usedforsecurity=False).hexdigest().upper()}"'
    assert answer.hash_crc64 == str(0x995DC9BBDF1939FA)
    assert (tmp_path / BUCKET / key).read_bytes() == body
    found = client.head_object(head(key))
    assert (found.content_length, found.content_type, found.etag) == (9, "text/html; charset=utf-8", answer.etag)
    assert abs(datetime.now(timezone.utc) - found.last_modified) < timedelta(minutes=1)
    assert client.get_object(sdk.GetObjectRequest(bucket=BUCKET, key=key)).body.read() == body
    client.delete_object(sdk.DeleteObjectRequest(bucket=BUCKET, key=key))
    assert refused(client.head_object, head(key)) == (404, "NoSuchKey")


def test_a_file_placed_by_hand_is_an_object(oss: OssStandIn, tmp_path: Path) -> None:
    (tmp_path / BUCKET).mkdir(parents=True)
    (tmp_path / BUCKET / "subscribers.json").write_text("{}")
    found = official(oss).head_object(head("subscribers.json"))
    assert (found.content_type, found.hash_crc64) == ("application/json", str(crc64(b"{}")))


def test_forbid_overwrite_is_a_409_even_for_the_same_bytes(oss: OssStandIn) -> None:
    client = official(oss)
    client.put_object(put("a", b"1", forbid_overwrite=True))
    assert refused(client.put_object, put("a", b"1", forbid_overwrite=True)) == (409, "FileAlreadyExists")
    client.put_object(put("a", b"2", forbid_overwrite="false"))
    assert refused(client.put_object, put("a", b"3", forbid_overwrite="perhaps")) == (400, "InvalidArgument")


def test_of_many_writers_one_wins(oss: OssStandIn) -> None:
    client = official(oss)

    def attempt(number: int) -> bool:
        from alibabacloud_oss_v2.exceptions import OperationError

        try:
            client.put_object(put("claim", str(number).encode(), forbid_overwrite=True))
        except OperationError:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(attempt, range(12))).count(True) == 1


def test_a_damaged_upload_is_refused_where_an_md5_is_told(oss: OssStandIn, tmp_path: Path) -> None:
    assert refused(official(oss).put_object, put("a", b"1", content_md5="AAAAAAAAAAAAAAAAAAAAAA==")) == (
        400,
        "InvalidDigest",
    )
    assert not (tmp_path / BUCKET / "a").exists()


def test_lists_in_pages(oss: OssStandIn) -> None:
    import alibabacloud_oss_v2 as sdk

    client = official(oss)
    keys = [f"a/{index}&+ é" for index in range(7)]
    for key in (*keys, "b"):
        client.put_object(put(key, key.encode()))
    pages = list(
        client.list_objects_v2_paginator().iter_page(sdk.ListObjectsV2Request(bucket=BUCKET, prefix="a/", max_keys=3))
    )
    assert [[entry.key for entry in page.contents] for page in pages] == [keys[:3], keys[3:6], keys[6:]]
    assert [entry.size for entry in pages[0].contents] == [len(key.encode()) for key in keys[:3]]
    assert pages[0].contents[0].etag == client.head_object(head(keys[0])).etag
    after = client.list_objects_v2(sdk.ListObjectsV2Request(bucket=BUCKET, prefix="a/", start_after=keys[4]))
    assert ([entry.key for entry in after.contents], after.is_truncated) == (keys[5:], False)
    assert not client.list_objects_v2(sdk.ListObjectsV2Request(bucket=BUCKET, prefix="c/")).contents


def test_what_it_cannot_do_it_says(oss: OssStandIn) -> None:
    import alibabacloud_oss_v2 as sdk

    client = official(oss)
    client.put_object(put("a", b"123"))
    assert refused(client.list_objects_v2, sdk.ListObjectsV2Request(bucket=BUCKET, delimiter="/"))[0] == 501
    assert refused(client.get_object, sdk.GetObjectRequest(bucket=BUCKET, key="a", range_header="bytes=0-1"))[0] == 501
    assert (
        refused(client.initiate_multipart_upload, sdk.InitiateMultipartUploadRequest(bucket=BUCKET, key="a"))[0] == 501
    )
    assert refused(client.head_object, head("a", "another-bucket")) == (404, "NoSuchBucket")
    assert refused(client.list_objects_v2, sdk.ListObjectsV2Request(bucket=BUCKET, max_keys=1001)) == (
        400,
        "InvalidArgument",
    )


@pytest.mark.parametrize(
    ("who", "region", "code"),
    [
        (Credentials("LTAI5tNobody", "x"), REGION, "InvalidAccessKeyId"),
        (Credentials(USER.access_key_id, "wrong"), REGION, "SignatureDoesNotMatch"),
        (Credentials(ROLE.access_key_id, ROLE.access_key_secret), REGION, "InvalidSecurityToken"),
        (Credentials(ROLE.access_key_id, ROLE.access_key_secret, "stale"), REGION, "InvalidSecurityToken"),
        (USER, "cn-beijing", "SignatureDoesNotMatch"),
    ],
)
def test_wrong_keys_are_refused(oss: OssStandIn, tmp_path: Path, who: Credentials, region: str, code: str) -> None:
    assert refused(official(oss, who, region).put_object, put("a", b"1")) == (403, code)
    assert not (tmp_path / BUCKET / "a").exists()


def test_nobody_in_particular_is_refused(oss: OssStandIn) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", oss.port, timeout=10)
    connection.request("GET", f"/{BUCKET}/a")
    with connection.getresponse() as response:
        assert (response.status, b"<Code>AccessDenied</Code>" in response.read()) == (403, True)
    connection.close()


def test_an_old_signature_and_the_first_version_are_refused(oss: OssStandIn) -> None:
    official(oss).put_object(put("a", b"1"))
    (request,) = oss.requests
    now = datetime.now(timezone.utc)
    check_signature(request, ACCOUNTS, REGION, now)
    with pytest.raises(Refusal, match="too large"):
        check_signature(request, ACCOUNTS, REGION, now + timedelta(minutes=20))
    with pytest.raises(Refusal, match="invalid"):
        check_signature(altered(request, authorization="OSS LTAI:abc="), ACCOUNTS, REGION, now)


@pytest.mark.parametrize(
    "header", ["x-oss-date", "x-oss-forbid-overwrite", "content-type", "x-oss-content-sha256", "x-oss-security-token"]
)
def test_every_signed_header_counts(oss: OssStandIn, header: str) -> None:
    official(oss).put_object(put("a", b"1", forbid_overwrite=True, content_type="text/plain"))
    (request,) = oss.requests
    changed = altered(request, **{header: request.headers[header][:-1] + "X"})
    with pytest.raises(Refusal):
        check_signature(changed, ACCOUNTS, REGION, datetime.now(timezone.utc))


def altered(request: Request, **headers: str) -> Request:
    return Request(
        request.method,
        request.target,
        request.path,
        request.query,
        {**request.headers, **headers},
        request.body,
    )
