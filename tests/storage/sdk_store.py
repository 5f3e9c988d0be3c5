"""The object store over alibabacloud-oss-v2: what the conformance suite holds our own requests against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import alibabacloud_oss_v2 as sdk

from shared.credentials import Credentials
from shared.errors import ObjectNotFound
from shared.storage.base import ObjectInfo, check_key


def sdk_client(endpoint: str, region: str, who: Credentials, **options: object) -> Any:
    config = sdk.config.load_default()
    config.region, config.endpoint = region, endpoint
    config.credentials_provider = sdk.credentials.StaticCredentialsProvider(
        who.access_key_id, who.access_key_secret, who.security_token or None
    )
    config.retryer = sdk.retry.NopRetryer()
    for name, value in options.items():
        setattr(config, name, value)
    return sdk.Client(config)


class SdkStore:
    """As simple as the SDK allows; it neither retries nor explains."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, f"{prefix}/"

    def create(self, key: str, body: bytes, content_type: str = "application/json") -> bool:
        try:
            self._put(key, body, content_type, forbid_overwrite="true")
        except sdk.exceptions.OperationError as error:
            if _code(error) != "FileAlreadyExists":
                raise
            return self.get(key) == body
        return True

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        self._put(key, body, content_type)

    def get(self, key: str) -> bytes:
        answer = _found(key, self._client.get_object, sdk.GetObjectRequest(bucket=self._bucket, key=self._full(key)))
        with answer.body:
            return bytes(answer.body.read())

    def head(self, key: str) -> ObjectInfo | None:
        request = sdk.HeadObjectRequest(bucket=self._bucket, key=self._full(key))
        try:
            found = _found(key, self._client.head_object, request)
        except ObjectNotFound:
            return None
        return ObjectInfo(key, found.content_length, found.etag.strip('"'), found.content_type, 0.0)

    def list(self, prefix: str, start_after: str = "") -> Iterator[str]:
        if folder := prefix.rpartition("/")[0]:
            check_key(folder)
        return self._pages(start_after, prefix=self._prefix + prefix)

    def children(self, folder: str, start_after: str = "") -> Iterator[str]:
        check_key(folder.rstrip("/"))
        return self._pages(start_after, prefix=self._prefix + folder, delimiter="/")

    def _pages(self, start_after: str, **what: str) -> Iterator[str]:
        request = sdk.ListObjectsV2Request(bucket=self._bucket, max_keys=1000, **what)
        request.start_after = self._prefix + start_after if start_after else None
        for page in self._client.list_objects_v2_paginator().iter_page(request):
            keys = [entry.key for entry in page.contents or ()]
            keys += [entry.prefix for entry in page.common_prefixes or ()]
            for key in sorted(keys):
                yield key[len(self._prefix) :]

    def delete(self, key: str) -> None:
        self._client.delete_object(sdk.DeleteObjectRequest(bucket=self._bucket, key=self._full(key)))

    def _put(self, key: str, body: bytes, content_type: str, **more: str) -> None:
        request = sdk.PutObjectRequest(
            bucket=self._bucket, key=self._full(key), body=body, content_type=content_type, **more
        )
        self._client.put_object(request)

    def _full(self, key: str) -> str:
        return self._prefix + check_key(key)


def _found(key: str, call: Callable[[Any], Any], request: object) -> Any:
    try:
        return call(request)
    except sdk.exceptions.OperationError as error:
        if _code(error) != "NoSuchKey":
            raise
    raise ObjectNotFound(f"there is no {key}")


def _code(error: Any) -> str:
    return str(getattr(error.unwrap(), "code", ""))
