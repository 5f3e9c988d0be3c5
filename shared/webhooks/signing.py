"""Standard Webhooks 1.0.0 signatures.

The specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
The published Python library is not used for signing: given a time that is not in UTC it signs another instant.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable

from shared.errors import BadInput


def check_secret(secret: str) -> None:
    """Raise ``BadInput`` unless ``secret`` can sign; the message never holds any of it."""
    _signature(secret, b"", b"")


def sign(secrets: Iterable[str], webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the ``webhook-signature`` header: one signature per secret, in order, separated by spaces.

    Args:
        secrets: ``whsec_`` + Base64 of 24 to 64 bytes (HMAC-SHA256, ``v1``), or ``whsk_`` + Base64 of an ed25519
            seed (32 bytes) or of seed and public key (64 bytes) (``v1a``).
        webhook_id: the ``webhook-id`` header.
        timestamp: the ``webhook-timestamp`` header: seconds since 1970, of this attempt.
        body: the exact bytes sent.

    Raises:
        BadInput: a secret is none.
    """
    head = b"%s.%d." % (webhook_id.encode(), timestamp)
    return " ".join(_signature(secret, head, body) for secret in secrets)


def _signature(secret: str, head: bytes, body: bytes) -> str:
    kind, _, text = secret.partition("_")
    if kind not in ("whsec", "whsk"):
        raise BadInput("a secret starts with neither whsec_ nor whsk_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        # The cause would show the characters it stumbled over.
        raise BadInput(f"a {kind}_ secret is no Base64") from None
    if kind == "whsk":
        return "v1a," + base64.b64encode(_ed25519(key, head + body)).decode()
    if not 24 <= len(key) <= 64:  # noqa: PLR2004 - the specification's bounds
        raise BadInput(f"a whsec_ secret holds {len(key)} bytes; make a new one of 24 to 64 random bytes")
    digest = hmac.new(key, head, "sha256")
    digest.update(body)  # not copied: it may be large, and many are signed at a time
    return "v1," + base64.b64encode(digest.digest()).decode()


def _ed25519(key: bytes, message: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    seed, public = key[:32], key[32:]
    if len(seed) != 32 or len(public) not in {0, 32}:  # noqa: PLR2004 - what ed25519 keys are
        raise BadInput(f"a whsk_ key holds {len(key)} bytes; an ed25519 key has 32 (seed) or 64 (seed and public key)")
    private = Ed25519PrivateKey.from_private_bytes(seed)
    if public and public != private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw):
        raise BadInput("the public half of a whsk_ key does not belong to its seed; make a new pair")
    return private.sign(message)
