"""Objects in an OSS bucket: five signed requests, each with what an answer that got lost means for it."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from hashlib import md5
from typing import TypeVar
from urllib.parse import unquote

from shared.credentials import Credentials
from shared.errors import AccessRefused, BadSettings, ObjectNotFound, PermanentError, Unavailable
from shared.patterns import regex
from shared.refusals import AGAIN, NEW_TOKEN, SLOWER, WRONG_CLOCK, Answer, Rule, Service, Subject
from shared.retrying import Limits
from shared.service_calls import Request, ServiceCalls
from shared.storage.base import ObjectInfo, check_key
from shared.storage.oss_requests import Bucket

_T = TypeVar("_T")
_PAGE = "1000"  # keys per listing request, the most OSS gives
_MD5 = regex('"([0-9A-F]{32})"')
# Keys are percent-encoded by our own request, so none holds markup and a whole XML parser has nothing to add.
_LISTING = regex(r"<ListBucketResult[\s>].*<IsTruncated>(true|false)</IsTruncated>.*</ListBucketResult>\s*", re.DOTALL)
_LISTED = regex(r"<Key>([^<]*)</Key>|<CommonPrefixes>\s*<Prefix>([^<]*)</Prefix>")
_NEXT = regex(r"<NextContinuationToken>([^<]+)</NextContinuationToken>")


class _Taken(PermanentError):
    """OSS answered 409 to a create-only write."""


class _Doubtful(PermanentError):
    """The ETag is not the MD5 of what arrived, which is ``digest``: damage, or an object that was copied."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"the ETag is not {digest}")
        self.digest = digest


_REFUSED = (AccessRefused, "let the function's role read and write {setting}, and check its credentials")
# Codes come first: the HTTP statuses of OSS are coarse, and many a 403 is no matter of rights.
OSS = Service(
    "OSS",
    "OSS_ENDPOINT; an -internal address is reached from its own region only",
    (
        Rule("", "NoSuchBucket", BadSettings, "there is no such bucket; correct {setting}, or OSS_ENDPOINT"),
        Rule(
            "", r"AccessDenied \S* \S", BadSettings, "that bucket is elsewhere; set OSS_ENDPOINT to https://{endpoint}"
        ),
        Rule(
            "",
            "PublicEndpointForbidden|SecondLevelDomainForbidden",
            BadSettings,
            "this account reaches its buckets in this way no more; set OSS_ENDPOINT to the region's -internal address, "
            "or to a domain of your own that is bound to the bucket, and OSS_REGION",
        ),
        Rule(
            "", "InvalidObjectState", PermanentError, "the object is archived; restore it, and let no rule archive it"
        ),
        Rule("", r"UserDisable|InDebt|\S+ 0003-00000806", Unavailable, "the account is in arrears; pay its bill"),
        Rule("", "RequestTimeTooSkewed", *WRONG_CLOCK),
        Rule("", "InvalidSecurityToken|SecurityTokenExpired", *NEW_TOKEN),
        Rule("", "InvalidDigest", Unavailable, "the object arrived damaged and was not stored; try again"),
        Rule("", "FileAlreadyExists", _Taken, "the key is taken"),
        Rule(
            "",
            "SignatureDoesNotMatch",
            AccessRefused,
            "check the credentials, and OSS_REGION where OSS_ENDPOINT does not name the bucket's region",
        ),
        Rule("401|403", "", *_REFUSED),
        Rule("404", "", ObjectNotFound, "there is no such object"),
        Rule("429|503", "", *SLOWER),
        Rule("408|409|5", "", *AGAIN),
        Rule("", "", PermanentError, "check {setting} and OSS_ENDPOINT"),
    ),
)


class OssStore:
    """An ``ObjectStore`` in ``bucket``, every key behind ``prefix``.

    ``create`` relies on ``x-oss-forbid-overwrite``, which OSS ignores in buckets that have, or had, versioning; such
    a bucket is refused at the first ``create``. Credentials are asked for at each request, since they rotate.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        region: str,
        endpoint: str,
        credentials: Callable[[], Credentials],
        *,
        setting: str = "OUTPUT_URL",
        limits: Limits | None = None,
    ) -> None:
        """Open nothing yet; errors name ``setting`` as the place to correct the bucket."""
        self._bucket = Bucket(bucket, region, endpoint)
        self._prefix = f"{prefix}/" if prefix else ""
        self._credentials = credentials
        self._setting = setting
        self._limits = limits or Limits()
        self._calls = ServiceCalls(OSS, self._bucket.address()[0])

    def create(self, key: str, body: bytes, content_type: str = "application/json") -> bool:
        """See ``ObjectStore.create``."""
        for _ in range(self._limits.attempts):
            try:
                answer = self._write(key, body, {"content-type": content_type, "x-oss-forbid-overwrite": "true"})
            except _Taken:  # perhaps by our own write, whose answer was lost
                with suppress(ObjectNotFound):  # deleted since
                    return self.get(key) == body
                continue
            if "x-oss-version-id" in answer.headers:
                raise BadSettings(
                    f"bucket {self._bucket.name} has versioning, where OSS ignores create-only writes: "
                    f"point {self._setting} to a bucket that never had it",
                    setting=self._setting,
                )
            return True
        raise Unavailable(f"{key} keeps coming and going in bucket {self._bucket.name}; try again", key=key)

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        """See ``ObjectStore.put``."""
        self._write(key, body, {"content-type": content_type})

    def get(self, key: str) -> bytes:
        """See ``ObjectStore.get``.

        Length and ETag are checked. The ETag is an MD5 of the content only where an object was written in one piece
        and not encrypted or copied since, and no answer says so: two downloads that agree are believed without it.
        """
        try:
            return self._read(key, "")
        except _Doubtful as first:
            digest = first.digest
        try:
            return self._read(key, digest)
        except _Doubtful:
            raise Unavailable(f"{key} arrives damaged from OSS; try again", key=key) from None

    def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore.head``."""
        try:
            found = self._call("HEAD", key, _as_it_is).headers
        except ObjectNotFound:
            return None
        try:
            written = parsedate_to_datetime(found["Last-Modified"])
            age = (parsedate_to_datetime(found["Date"]) - written).total_seconds()
            size, etag = int(found["Content-Length"]), found["ETag"].strip('"')
            return ObjectInfo(key, size, etag, found.get("Content-Type") or "", max(0.0, age))
        except (KeyError, TypeError, ValueError):
            raise Unavailable(f"OSS described {key} without date, time or etag; check OSS_ENDPOINT", key=key) from None

    def list(self, prefix: str, start_after: str = "") -> Iterator[str]:
        """See ``ObjectStore.list``."""
        if folder := prefix.rpartition("/")[0]:
            check_key(folder)
        return self._pages({"prefix": self._prefix + prefix}, start_after)

    def children(self, folder: str, start_after: str = "") -> Iterator[str]:
        """See ``ObjectStore.children``."""
        check_key(folder.rstrip("/"))
        return self._pages({"prefix": self._prefix + folder, "delimiter": "/"}, start_after)

    def _pages(self, what: dict[str, str], start_after: str) -> Iterator[str]:
        query = {"list-type": "2", "encoding-type": "url", "max-keys": _PAGE, **what}
        if start_after:
            query["start-after"] = self._prefix + start_after
        while True:
            keys, token = self._call("GET", None, _page, query=query)
            for key in keys:
                yield key[len(self._prefix) :]
            if not token:
                return
            query["continuation-token"] = token

    def delete(self, key: str) -> None:
        """See ``ObjectStore.delete``."""
        self._call("DELETE", key, _as_it_is)

    def _write(self, key: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Write the object; what arrives damaged is refused by OSS, and not stored."""
        digest = b64encode(md5(body, usedforsecurity=False).digest()).decode()
        return self._call("PUT", key, _as_it_is, headers={**headers, "content-md5": digest}, body=body)

    def _read(self, key: str, believed: str) -> bytes:
        def whole(answer: Answer) -> bytes:
            if answer.headers.get("Content-Length", str(len(answer.body))) != str(len(answer.body)):
                raise Unavailable(f"{key} arrived in part from OSS; try again", key=key)
            digest = md5(answer.body, usedforsecurity=False).hexdigest().upper()
            told = _MD5.fullmatch(answer.headers.get("ETag") or "")
            if told and digest not in {told[1], believed}:
                raise _Doubtful(digest)
            return answer.body

        return self._call("GET", key, whole)

    def _call(
        self,
        method: str,
        key: str | None,
        accept: Callable[[Answer], _T],
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> _T:
        """Send the request, for the bucket itself where ``key`` is None."""
        full = "" if key is None else self._prefix + check_key(key)
        bucket = self._bucket.name
        subject = Subject(f"{key or 'keys'} in bucket {bucket}", {"key": key or "", "bucket": bucket}, self._setting)

        def sign() -> Request:
            now = datetime.now(timezone.utc)
            return self._bucket.sign(method, full, query or {}, headers or {}, body, self._credentials(), now)

        return self._calls.call(subject, sign, accept, self._limits)


def _as_it_is(answer: Answer) -> Answer:
    return answer


def _page(answer: Answer) -> tuple[list[str], str]:
    """Return the keys of one page, and where the next begins, empty after the last."""
    text = answer.body.decode("ascii", "replace")
    found, token = _LISTING.search(text), _NEXT.search(text)
    if not found or (found[1] == "true") != bool(token):
        raise Unavailable("OSS answered no list of keys; check OSS_ENDPOINT")
    # Folders stand behind the keys, in the order that they share.
    return sorted(unquote(key or folder) for key, folder in _LISTED.findall(text)), unquote(token[1]) if token else ""
