"""OSS on this machine: buckets as directories, objects as plain files ``<root>/<bucket>/<key>``.

Path style only. What the relay does not use (ranges, multipart, delimiters) is refused, never half done.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import uuid
from dataclasses import replace
from datetime import datetime, timezone
from email.utils import formatdate
from itertools import islice
from pathlib import Path
from time import gmtime, strftime, time
from urllib.parse import quote
from xml.sax.saxutils import escape

from local.cloud.accounts import ACCOUNTS
from local.cloud.oss_signature import check_signature
from local.cloud.server import Refusal, Request, Response, StandIn
from shared.errors import BadInput
from shared.storage.base import ObjectInfo
from shared.storage.directory import DirectoryStore

BUCKET = "smarttag-results"
REGION = "cn-shanghai"
_PAGE, _LARGEST_PAGE = 100, 1000  # keys in an answer to ListObjectsV2
_LIST_PARAMETERS = {
    "list-type",
    "encoding-type",
    "prefix",
    "delimiter",
    "start-after",
    "continuation-token",
    "max-keys",
}


class OssStandIn(StandIn):
    """OSS of one region. Every request must be signed with OSS V4 by one of ``ACCOUNTS``."""

    def __init__(
        self, store_root: Path, port: int = 0, buckets: tuple[str, ...] = (BUCKET,), region: str = REGION
    ) -> None:
        super().__init__(port)
        self._buckets = {name: DirectoryStore(store_root / name) for name in buckets}
        self._region = region
        self._digests: dict[tuple[str, str], tuple[str, str, str]] = {}  # (bucket, key): (etag on disk, MD5, CRC64)
        self._busy = threading.Lock()

    def answer(self, request: Request) -> Response:
        """Check the signature, then do what the request says."""
        request_id = uuid.uuid4().hex[:24].upper()
        try:
            check_signature(request, ACCOUNTS, self._region, datetime.now(timezone.utc))
            with self._busy:
                done = self._do(request)
        except BadInput as bad:
            done = _error(Refusal(400, "InvalidObjectName", bad.message), request, request_id)
        except Refusal as refused:
            done = _error(refused, request, request_id)
        return replace(done, headers={"x-oss-request-id": request_id, **done.headers})

    def _do(self, request: Request) -> Response:
        bucket, _, key = request.path[1:].partition("/")
        store = self._buckets.get(bucket)
        if store is None:
            raise Refusal(404, "NoSuchBucket", "The specified bucket does not exist.")
        if not key and request.method == "GET" and request.query.get("list-type") == "2":
            return self._list(store, bucket, request.query)
        if not key or request.query or "range" in request.headers:
            raise Refusal(501, "NotImplemented", "The local OSS has no such operation.")
        if request.method == "PUT":
            return self._put(store, bucket, key, request)
        if request.method in {"GET", "HEAD"}:
            return self._get(store, bucket, key)
        if request.method == "DELETE":
            store.delete(key)
            return Response(204)
        raise Refusal(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")

    def _put(self, store: DirectoryStore, bucket: str, key: str, request: Request) -> Response:
        forbid = request.headers.get("x-oss-forbid-overwrite", "false")
        if forbid not in {"true", "false"}:
            raise Refusal(400, "InvalidArgument", "x-oss-forbid-overwrite is neither true nor false.")
        md5 = base64.b64encode(hashlib.md5(request.body, usedforsecurity=False).digest()).decode()
        if request.headers.get("content-md5", md5) != md5:
            raise Refusal(400, "InvalidDigest", "The Content-MD5 you specified is invalid.")
        content_type = request.headers.get("content-type", "application/octet-stream")
        if forbid == "false":
            store.put(key, request.body, content_type)
        elif not store.create_new(key, request.body, content_type):
            raise Refusal(
                409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten."
            )
        return Response(headers=self._checksums(store, bucket, _there(store, key)))

    def _get(self, store: DirectoryStore, bucket: str, key: str) -> Response:
        info = _there(store, key)
        headers = {
            **self._checksums(store, bucket, info),
            "Content-Type": info.content_type,
            "Last-Modified": formatdate(time() - info.age, usegmt=True),
            "x-oss-object-type": "Normal",
        }
        return Response(200, store.get(key), headers)

    def _checksums(self, store: DirectoryStore, bucket: str, info: ObjectInfo) -> dict[str, str]:
        known = self._digests.get((bucket, info.key))
        if known is None or known[0] != info.etag:
            body = store.get(info.key)
            md5 = hashlib.md5(body, usedforsecurity=False).hexdigest().upper()
            known = self._digests[bucket, info.key] = (info.etag, md5, str(crc64(body)))
        return {"ETag": f'"{known[1]}"', "x-oss-hash-crc64ecma": known[2]}

    def _list(self, store: DirectoryStore, bucket: str, query: dict[str, str]) -> Response:
        unknown = query.keys() - _LIST_PARAMETERS
        if unknown:
            raise Refusal(501, "NotImplemented", f"The local OSS cannot list with {', '.join(sorted(unknown))}.")
        size = int(query.get("max-keys", _PAGE))
        if not 0 < size <= _LARGEST_PAGE:
            raise Refusal(400, "InvalidArgument", "max-keys is not between 1 and 1000.")
        token = query.get("continuation-token")
        after = base64.b64decode(token).decode() if token else query.get("start-after", "")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        if delimiter not in {"", "/"} or (delimiter and not prefix.endswith("/")):
            raise Refusal(501, "NotImplemented", "The local OSS lists with the delimiter / in a folder only.")
        keys = store.children(prefix, after) if delimiter else store.list(prefix, after)
        found = list(islice(keys, size + 1))
        shown = quote if query.get("encoding-type") == "url" else escape
        fields = {"Name": bucket, "Prefix": shown(prefix), "MaxKeys": str(size)}
        fields |= {"KeyCount": str(len(found[:size])), "IsTruncated": "true" if len(found) > size else "false"}
        if "encoding-type" in query:
            fields["EncodingType"] = query["encoding-type"]
        if len(found) > size:
            fields["NextContinuationToken"] = base64.b64encode(found[size - 1].encode()).decode()
        contents = [
            f"<CommonPrefixes><Prefix>{shown(key)}</Prefix></CommonPrefixes>"
            if key.endswith("/")
            else self._entry(store, bucket, key, shown(key))
            for key in found[:size]
        ]
        contents.sort(key=lambda each: each.startswith("<CommonPrefixes>"))
        return _xml(200, f"<ListBucketResult>{_tags(fields)}{''.join(contents)}</ListBucketResult>")

    def _entry(self, store: DirectoryStore, bucket: str, key: str, shown: str) -> str:
        info = _there(store, key)
        written = strftime("%Y-%m-%dT%H:%M:%S.000Z", gmtime(time() - info.age))
        fields = {"Key": shown, "LastModified": written, "ETag": self._checksums(store, bucket, info)["ETag"]}
        return f"<Contents>{_tags({**fields, 'Size': str(info.size), 'StorageClass': 'Standard'})}</Contents>"


def crc64(body: bytes) -> int:
    """Return the CRC-64 of OSS (ECMA-182, reflected; of ``123456789`` it is 0x995DC9BBDF1939FA)."""
    import crcmod

    return int(crcmod.Crc(0x142F0E1EBA9EA3693, 0, True, 0xFFFFFFFFFFFFFFFF).new(body).crcValue)


def _there(store: DirectoryStore, key: str) -> ObjectInfo:
    info = store.head(key)
    if info is None:
        raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
    return info


def _tags(fields: dict[str, str]) -> str:
    return "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())


def _xml(status: int, document: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode()
    return Response(status, body, {"Content-Type": "application/xml"})


def _error(refused: Refusal, request: Request, request_id: str) -> Response:
    fields = {"Code": refused.code, "Message": escape(refused.message), "RequestId": request_id}
    answer = _xml(refused.status, f"<Error>{_tags(fields)}</Error>")
    if request.method == "HEAD":  # the document travels in a header, since HEAD has no body
        return replace(answer, headers={**answer.headers, "x-oss-err": base64.b64encode(answer.body).decode()})
    return answer
