"""Our signature of a request to MPS, judged by the official SDK."""

from __future__ import annotations

import os
from urllib.parse import parse_qs, parse_qsl, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.mps.signature import signed_target

REQUESTS = 5000 if os.environ.get("SOAK") else 200
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = any_text.filter(lambda name: name != "Signature")
ascii_text = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


@settings(max_examples=REQUESTS)
@given(st.sampled_from(["GET", "POST"]), st.dictionaries(names, any_text, max_size=8), ascii_text, ascii_text)
def test_the_sdk_signs_the_same(method: str, given_query: dict[str, str], key: str, secret: str) -> None:
    from aliyunsdkcore.auth.composer.rpc_signature_composer import get_signed_url

    theirs, _ = get_signed_url(dict(given_query), key, secret, "JSON", method, {})
    query = dict(parse_qsl(urlsplit(theirs).query, keep_blank_values=True, strict_parsing=True))
    signature = query.pop("Signature")
    ours = signed_target(method, query, secret)
    assert parse_qs(urlsplit(ours).query, keep_blank_values=True) == {
        **{name: [value] for name, value in query.items()},
        "Signature": [signature],
    }
