"""The least an HTTP function in Python needs: werkzeug to answer, urllib3 to fetch one object."""

from __future__ import annotations

import os

import urllib3
import werkzeug.routing
import werkzeug.wrappers

ROUTES = werkzeug.routing.Map([werkzeug.routing.Rule("/jobs/<job_id>", endpoint="job")])


def handler(_event: bytes, _context: object) -> int:
    """Get one page and return its status."""
    return werkzeug.wrappers.Response(
        status=urllib3.PoolManager().request("GET", os.environ["PAGE"]).status
    ).status_code
