"""The signature of APIs of the RPC kind, MPS among them (help.aliyun.com, "RPC signature": HMAC-SHA1, version 1.0).

aliyun-python-sdk-core makes the same, and tests hold that. Why it is not used: docs/decisions/0002-mps-transport.md.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import quote


def signed_target(method: str, query: Mapping[str, str], secret: str) -> str:
    """Return path and query, percent-encoded, with the signature that the secret of an AccessKey gives them."""
    line = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(query.items()))
    text = f"{method}&%2F&{_quoted(line)}"
    signature = b64encode(hmac.digest(f"{secret}&".encode(), text.encode(), "sha1")).decode()
    return f"/?{line}&Signature={_quoted(signature)}"


def _quoted(text: str) -> str:
    return quote(text, safe="")
