"""Signatures against the specification's published vector, the published library, and cryptography's own verifier."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from shared.errors import BadInput
from shared.webhooks.signing import check_secret, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"another secret of thirty bytes").decode()
SEED = bytes(range(32))
PUBLIC = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
PUBLIC_RAW = PUBLIC.public_bytes(Encoding.Raw, PublicFormat.Raw)


def whsk(key: bytes) -> str:
    return "whsk_" + base64.b64encode(key).decode()


def headers(signature: str, timestamp: int, webhook_id: str = "evt_1") -> dict[str, str]:
    return {"webhook-id": webhook_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def test_the_published_vector() -> None:
    signature = sign([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(), st.binary(min_size=24, max_size=64))
def test_the_published_library_verifies(text: str, key: bytes) -> None:
    body = text.encode(errors="replace")
    secret = "whsec_" + base64.b64encode(key).decode()
    now = int(time.time())
    Webhook(secret).verify(body, headers(sign([secret], "evt_1", now, body), now), json_parse=False)


def test_either_secret_verifies_during_a_rotation() -> None:
    now = int(time.time())
    signature = sign([SECRET, whsk(SEED), OTHER], "evt_1", now, b"{}")
    assert [part.split(",")[0] for part in signature.split(" ")] == ["v1", "v1a", "v1"]
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(b"{}", headers(signature, now))


@pytest.mark.parametrize("key", [SEED, SEED + PUBLIC_RAW], ids=["seed", "seed and public key"])
def test_the_public_key_verifies(key: bytes) -> None:
    version, signature = sign([whsk(key)], "evt_1", 1614265330, b'{"a":1}').split(",")
    assert version == "v1a"
    PUBLIC.verify(base64.b64decode(signature), b'evt_1.1614265330.{"a":1}')


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001 - zones come next
    st.integers(-14 * 60, 14 * 60),
)
def test_equal_instants_sign_equal_in_every_time_zone(moment: datetime, offset: int) -> None:
    instant = moment.replace(tzinfo=timezone.utc)
    elsewhere = instant.astimezone(timezone(timedelta(minutes=offset)))
    assert sign([SECRET], "evt_1", int(instant.timestamp()), b"{}") == sign(
        [SECRET], "evt_1", int(elsewhere.timestamp()), b"{}"
    )


@pytest.mark.parametrize("change", ["id", "timestamp", "body", "secret"])
def test_whatever_is_signed_changes_the_signature(change: str) -> None:
    changed = sign(
        [OTHER if change == "secret" else SECRET],
        "evt_2" if change == "id" else "evt_1",
        2 if change == "timestamp" else 1,
        b"[]" if change == "body" else b"{}",
    )
    assert changed != sign([SECRET], "evt_1", 1, b"{}")


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        ("", "neither whsec_ nor whsk_"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "neither whsec_ nor whsk_"),
        ("whsec_", "holds 0 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "holds 23 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "holds 65 bytes"),
        ("whsec_MfKQ9r8GKYqrTwjU_D8ILPZIo2LaLaSw", "no Base64"),
        ("whsec_MfKQ9r8GKYqrTwjUÜD8ILPZIo2LaLaSw", "no Base64"),
        (whsk(SEED[:-1]), "holds 31 bytes"),
        (whsk(SEED + PUBLIC_RAW[:-1]), "holds 63 bytes"),
        (whsk(SEED + SEED), "does not belong"),
    ],
)
def test_a_bad_secret_is_refused_without_being_shown(secret: str, fault: str) -> None:
    with pytest.raises(BadInput, match=fault) as caught:
        check_secret(secret)
    kept = secret.removeprefix("whsec_").removeprefix("whsk_")
    assert not kept or kept not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_secret_without_padding_is_taken_as_the_library_takes_it() -> None:
    padded = "whsec_" + base64.b64encode(b"y" * 25).decode()
    assert padded.endswith("=")
    assert sign([padded.rstrip("=")], "evt_1", 1, b"{}") == sign([padded], "evt_1", 1, b"{}")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/St_Johns"])
def test_the_time_zone_of_the_host_does_not_matter(zone: str) -> None:
    program = (
        "import sys, time; from shared.webhooks.signing import sign; now = int(time.time());"
        "sys.stdout.write(sign([sys.argv[1]], 'evt_1', now, b'{}') + '\\n' + str(now))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, SECRET],
        env={**os.environ, "TZ": zone, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    signature, timestamp = ran.stdout.split("\n")
    Webhook(SECRET).verify(b"{}", headers(signature, int(timestamp)))
