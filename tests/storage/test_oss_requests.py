"""Our own requests to OSS, judged by the official SDK: the same URL, headers and signature for any request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.credentials import Credentials
from shared.service_calls import Request
from shared.storage.oss_requests import Bucket
from tests.storage.sdk_store import sdk_client

REQUESTS = 5000 if os.environ.get("SOAK") else 200
WHO = Credentials("LTAI5tSomebody", "a secret of somebody", "a token of somebody")
NOW = datetime(2026, 11, 26, 13, 0, 5, tzinfo=timezone.utc)

any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
keys = any_text.filter(lambda key: not key.startswith(("/", "\\")))
plain = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
header_values = st.builds(str.strip, st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1)).filter(
    bool
)
header_names = st.one_of(
    st.sampled_from(["content-type", "content-md5", "x-oss-forbid-overwrite", "x-oss-storage-class", "range"]),
    st.from_regex(r"x-oss-meta-[a-z0-9-]{1,12}", fullmatch=True),
)
# Not among them: http://[::1], of which the SDK makes http://smarttag-results.[::1].
endpoints = st.sampled_from(
    [
        ("https://oss-cn-shanghai-internal.aliyuncs.com", False),
        ("http://oss-cn-shanghai-internal.aliyuncs.com:80", False),
        ("https://oss-accelerate.aliyuncs.com", False),
        ("http://127.0.0.1:8080", False),
        ("https://media.example.com", True),
        ("https://媒体.example.com:8443", True),
    ]
)


class Sent(Exception):
    """Raised instead of sending."""


class Recorder:
    """An HTTP client of the SDK that keeps the request."""

    def send(self, request: Any, **_options: object) -> Any:
        self.request = request
        raise Sent

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""


def official(
    endpoint: str, region: str, who: Credentials, operation: Mapping[str, Any], *, cname: bool, now: datetime
) -> tuple[str, str, dict[str, str]]:
    """Return method, URL and signed headers of the SDK's request."""
    import alibabacloud_oss_v2 as sdk

    recorder = Recorder()
    client = sdk_client(endpoint, region, who, http_client=recorder, use_cname=cname)
    headers = {**operation["headers"], "x-oss-date": format_datetime(now, usegmt=True)}
    asked = sdk.OperationInput(op_name="Any", **{**operation, "headers": headers})
    with suppress(sdk.exceptions.OperationError):
        client.invoke_operation(asked)
    return recorder.request.method, recorder.request.url, signed(recorder.request.headers)


def signed(headers: Mapping[str, str]) -> dict[str, str]:
    lower = {name.lower(): value for name, value in headers.items()}
    return {name: lower[name] for name in lower if name.startswith(("x-oss-", "content-")) or name == "authorization"}


def url_of(bucket: Bucket, request: Request) -> tuple[str, str, str, list[tuple[str, str]]]:
    return split(bucket.address()[0] + request.target)


def split(url: str) -> tuple[str, str, str, list[tuple[str, str]]]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc, parts.path, sorted(parse_qsl(parts.query, keep_blank_values=True))


@settings(max_examples=REQUESTS, deadline=None)
@given(
    st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"]),
    st.none() | keys,
    st.dictionaries(any_text, st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5),
    st.dictionaries(header_names, header_values, max_size=5),
    st.builds(Credentials, plain, plain, st.just("") | plain),
    st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=st.just(timezone.utc)),  # noqa: DTZ001 - bounds are naive
    st.tuples(endpoints, st.sampled_from(["cn-shanghai", "ap-southeast-1", "cn-shanghai-finance-1"])),
)
def test_the_sdk_signs_every_request_as_we_do(
    method: str,
    key: str | None,
    query: dict[str, str],
    headers: dict[str, str],
    who: Credentials,
    now: datetime,
    place: tuple[tuple[str, bool], str],
) -> None:
    (url, cname), region = place
    bucket = Bucket("smarttag-results", region, url)
    ours = bucket.sign(method, key or "", query, headers, b"", who, now)
    operation = {"method": method, "bucket": bucket.name, "key": key, "parameters": query, "headers": headers}
    theirs = official(url, region, who, operation, cname=cname, now=now)
    assert (ours.method, url_of(bucket, ours), signed(ours.headers)) == (theirs[0], split(theirs[1]), theirs[2])


@pytest.mark.parametrize(
    ("endpoint", "url", "target"),
    [
        ("https://oss-cn-beijing.aliyuncs.com", "https://b-1.oss-cn-beijing.aliyuncs.com", "/a%20%2B/%E6%8A%A5"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80", "/b-1/a%20%2B/%E6%8A%A5"),
        ("http://localhost:80", "http://localhost:80", "/b-1/a%20%2B/%E6%8A%A5"),
        ("http://[::1]:80", "http://[::1]:80", "/b-1/a%20%2B/%E6%8A%A5"),
        ("https://media.example.com", "https://media.example.com", "/a%20%2B/%E6%8A%A5"),
    ],
)
def test_where_a_bucket_is_asked(endpoint: str, url: str, target: str) -> None:
    bucket = Bucket("b-1", "cn-beijing", endpoint)
    assert bucket.address()[0] == url
    assert bucket.sign("GET", "a +/报", {}, {}, b"", WHO, NOW).target == target
