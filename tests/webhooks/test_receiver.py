"""The receiver of the local cloud: an independent judge of what we sign, so it must not say yes too easily."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Iterator

import pytest
from standardwebhooks.webhooks import Webhook

from local.cloud.receiver import Receiver
from local.cloud.server import Response
from shared.webhooks.signing import sign
from tests.webhooks.net import SECRET

OTHER = "whsec_" + base64.b64encode(b"somebody else's secret, also long").decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(SECRET) as running:
        yield running


def post(receiver: Receiver, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=10)
    try:
        connection.request("POST", "/hooks", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def signed(secret: str, body: bytes, timestamp: int | None = None) -> dict[str, str]:
    at = int(time.time()) if timestamp is None else timestamp
    return {"webhook-id": "evt_1", "webhook-timestamp": str(at), "webhook-signature": sign([secret], "evt_1", at, body)}


def test_what_is_rightly_signed_is_verified_and_counted(receiver: Receiver) -> None:
    assert [post(receiver, b"{}", signed(SECRET, b"{}")) for _ in range(2)] == [204, 204]
    assert receiver.counts == {"evt_1": 2}
    assert [(delivery.id, delivery.path, delivery.body) for delivery in receiver.deliveries] == [
        ("evt_1", "/hooks", b"{}")
    ] * 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(OTHER, b"{}"),
        signed(SECRET, b"{} "),
        signed(SECRET, b"{}", timestamp=1614265330),
        {**signed(SECRET, b"{}"), "webhook-id": "evt_2"},
        {**signed(SECRET, b"{}"), "webhook-signature": "garbage"},
        {**signed(SECRET, b"{}"), "webhook-signature": "v1,abc"},
        {**signed(SECRET, b"{}"), "webhook-timestamp": "now"},
    ],
)
def test_anything_else_is_recorded_but_not_verified(receiver: Receiver, headers: dict[str, str]) -> None:
    assert post(receiver, b"{}", headers) == 401
    assert [delivery.verified for delivery in receiver.deliveries] == [False]
    assert not receiver.counts


def test_it_answers_as_told_and_still_records(receiver: Receiver) -> None:
    receiver.reply(Response(429, headers={"Retry-After": "7"}), times=2)
    assert [post(receiver, b"{}", signed(SECRET, b"{}")) for _ in range(3)] == [429, 429, 204]
    assert receiver.counts == {"evt_1": 3}


def test_the_judge_is_the_published_library(receiver: Receiver) -> None:
    assert isinstance(receiver._webhook, Webhook)
