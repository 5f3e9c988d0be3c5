"""One representation of a resource as an answer: negotiated, tagged, conditional, compressed where that pays."""

from __future__ import annotations

import gzip
import hashlib

from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.wrappers import Request, Response

from shared.http.problems import NOT_ACCEPTABLE, PRECONDITION, RANGE, Problem

REVALIDATE = "private, no-cache"
NO_STORE = "no-store"
_WORTH = 1024  # bytes; shorter bodies gain less than the headers cost


def answer(
    request: Request,
    body: bytes,
    content_type: str = "application/json",
    *,
    status: int = 200,
    cache: str = NO_STORE,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the answer: 304 where the caller has these bytes, 206 where it asked for a range, else all of them.

    Raises:
        Problem: 406 if a reader's Accept excludes the only content type there is; 412 if the caller has asked for other
            bytes; 416 for an impossible range.
    """
    if request.method != "POST":
        check_accept(request, content_type)
    response = Response(body, status, content_type=content_type, headers={"Cache-Control": cache, **(headers or {})})
    response.vary.add("Accept-Encoding")
    packed = _wants_gzip(request, body)
    if NO_STORE not in cache:
        response.set_etag(hashlib.sha256(body).hexdigest() + ("-gzip" if packed else ""))
        ranged = not packed and request.method == "GET" and request.headers.get("Range", "bytes=").startswith("bytes=")
        try:
            response.make_conditional(request, accept_ranges=ranged, complete_length=len(body))
        except RequestedRangeNotSatisfiable:
            raise Problem(RANGE, headers={"Content-Range": f"bytes */{len(body)}"}) from None
        if response.status_code == PRECONDITION.status:
            raise Problem(PRECONDITION)
        response.headers["Accept-Ranges"] = "none" if packed else "bytes"
    if packed and response.status_code == status:
        response.set_data(gzip.compress(body, 6, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response


def check_accept(request: Request, content_type: str = "application/json") -> None:
    """Raise ``Problem`` 406 if the caller's Accept excludes the type; asked of whoever would act before it is done."""
    offered = content_type.partition(";")[0]
    if "Accept" in request.headers and not request.accept_mimetypes.quality(offered):
        raise Problem(NOT_ACCEPTABLE, f"Only {offered} is offered here; accept it, or leave the Accept header out.")


def _wants_gzip(request: Request, body: bytes) -> bool:
    """Tell whether to compress: everything served here is text, so only size and the caller's wish decide."""
    accepted = request.accept_encodings
    wish = accepted.quality("gzip")
    plain = next((quality for name, quality in accepted if name == "identity"), None)
    if plain == 0 and wish:
        return True
    return len(body) > _WORTH and bool(wish) and wish >= (plain or 0) and "Range" not in request.headers
