"""Is this push really from MNS? The signature of a topic's HTTP push, checked before anything reads the body.

Sources: "Verify the signature of a request to an endpoint" (help document 27488), and a push recorded in 2023: all
``x-mns-*`` headers are signed; Content-MD5 comes as upper-case hex or as Base64 of the hex digest; the certificate was
RSA-512 and long expired. Such a key can be factored: the token in the path is the first lock, the signature the second.
``x-mns-date`` may take the place of ``Date`` ("Common parameters", help document 27485), which proxies rewrite.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from shared.errors import Unavailable
from shared.http.problems import SIGNATURE, Problem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

TOLERANCE = 900  # seconds between the push's Date and our clock, either way
# The two buckets of MNS: OSS gives a bucket's name to one owner in all regions. The names of the files change.
_CERTIFICATE_URL = re.compile(
    r"https?://(?P<where>(?:mnstest\.oss-cn-hangzhou|mns-cert\.oss-cn-[a-z]{2,20}(?:-[a-z0-9]{1,20}){0,3})"
    r"\.aliyuncs\.com/[A-Za-z0-9_-]{1,100}\.pem(?:\.[A-Za-z0-9_-]{1,40}){0,3})"
)
_KEEP = 3600  # seconds a certificate is believed before it is fetched again
_MOST_KEPT = 8  # certificates
_MAX_CERTIFICATE = 65536

CertificateSource = Callable[[str], bytes]


def fetch_certificate(url: str) -> bytes:
    """Fetch a certificate (PEM) over TLS by certifi's roots, following no redirect; ``Unavailable`` if that fails."""
    import certifi
    import urllib3

    try:
        with urllib3.PoolManager(num_pools=1, ca_certs=certifi.where()) as pool:
            answer = pool.request("GET", url, redirect=False, retries=False, timeout=5.0, preload_content=False)
            body = answer.read(_MAX_CERTIFICATE + 1)
            status = answer.status
            answer.release_conn()
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable("the MNS signing certificate could not be fetched; the push will come again") from error
    if status != 200 or len(body) > _MAX_CERTIFICATE:  # noqa: PLR2004 - HTTP's own number
        raise Unavailable("the MNS signing certificate could not be fetched; the push will come again", status=status)
    return body


class PushVerifier:
    """Checks pushes.

    Args:
        fetch: returns the certificate behind a URL; called only with URLs of the one host that is trusted.
        clock: seconds since the epoch.
    """

    def __init__(self, fetch: CertificateSource = fetch_certificate, clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, tuple[float, RSAPublicKey]] = {}

    def check(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        """Raise ``Problem`` 403 unless the push is genuine, unaltered, meant for this path, and recent.

        Args:
            method: the request's method.
            target: path and query as sent.
            headers: with names in lower case.
            body: as received.
        """
        if not _digest_matches(headers.get("content-md5", ""), body):
            raise Problem(SIGNATURE, "Content-MD5 is missing or does not belong to the body.")
        dates = [headers[name] for name in ("date", "x-mns-date") if self._is_recent(headers.get(name, ""))]
        if not dates:
            raise Problem(SIGNATURE, f"Neither Date nor x-mns-date is an HTTP date within {TOLERANCE} seconds of now.")
        key = self._key(headers.get("x-mns-signing-cert-url", ""))
        signature = headers.get("authorization", "")
        if not any(_signed(key, _signable(method, target, headers, date), signature) for date in dates):
            raise Problem(SIGNATURE, "The signature in Authorization does not belong to this request.")

    def _is_recent(self, date: str) -> bool:
        try:
            return abs(self._clock() - parsedate_to_datetime(date).timestamp()) <= TOLERANCE
        except (ValueError, TypeError, OverflowError):
            return False

    def _key(self, encoded: str) -> RSAPublicKey:
        try:
            url = base64.b64decode(encoded, validate=True).decode("ascii")
        except (ValueError, UnicodeDecodeError):
            url = ""
        match = _CERTIFICATE_URL.fullmatch(url)
        if not match:
            raise Problem(SIGNATURE, "x-mns-signing-cert-url does not name a certificate of MNS.")
        url = f"https://{match['where']}"  # the documented sample says http://; nothing that is trusted comes over that
        now = self._clock()
        kept = self._keys.get(url)
        if kept is None or now - kept[0] > _KEEP:
            kept = now, _public_key(self._fetch(url))
            self._keys = {**(self._keys if len(self._keys) < _MOST_KEPT else {}), url: kept}
        return kept[1]


def _digest_matches(header: str, body: bytes) -> bool:
    digest = hashlib.md5(body, usedforsecurity=False)
    hexadecimal = digest.hexdigest()
    forms = {base64.b64encode(hexadecimal.encode()).decode(), base64.b64encode(digest.digest()).decode()}
    return header.lower() == hexadecimal or header in forms


def _signable(method: str, target: str, headers: Mapping[str, str], date: str) -> bytes:
    lines = [method, headers.get("content-md5", ""), headers.get("content-type", "").lower(), date]
    lines += [f"{name}:{value}" for name, value in sorted(headers.items()) if name.startswith("x-mns-")]
    return "\n".join([*lines, target]).encode("latin-1", "replace")


def _public_key(certificate: bytes) -> RSAPublicKey:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        key = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError as error:
        raise Unavailable("the MNS signing certificate is unreadable; the push will come again") from error
    if not isinstance(key, RSAPublicKey):
        raise Unavailable("the MNS signing certificate holds no RSA key; the push will come again")
    return key


def _signed(key: RSAPublicKey, data: bytes, signature: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA1

    try:
        # SHA-1 is MNS's own choice.
        key.verify(base64.b64decode(signature, validate=True), data, PKCS1v15(), SHA1())  # noqa: S303  # nosec B303
    except (InvalidSignature, ValueError):  # not Base64, or not even ASCII
        return False
    return True
