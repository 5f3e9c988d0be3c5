"""Receivers that are part of the same world as the store, so that sending is a step like any other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from shared.webhooks.sender import Attempt
from shared.webhooks.subscribers import Subscriber
from tests.fakes.memory_store import Gate, open_gate


class Receivers:
    """All receivers of a world; a ``Sender``.

    Args:
        answer: (subscriber ID, how many arrived there before) to what the receiver does.
        gate: as for the store: ``send`` before it arrived, and after the receiver answered.
    """

    def __init__(self, answer: Callable[[str, int], Attempt], gate: Gate = open_gate) -> None:
        self.arrived: list[tuple[str, str, bytes]] = []  # subscriber, webhook-id, body, of everything sent
        self.accepted: list[tuple[str, str, bytes]] = []  # of what was answered 2xx
        self.gate = gate
        self._answer = answer
        self._before: Counter[str] = Counter()

    def send(
        self, subscriber: Subscriber, webhook_id: str, timestamp: int, body: bytes, deadline: float = 15.0
    ) -> Attempt:
        assert timestamp > 0
        assert deadline > 0
        self.gate("send", subscriber.id, "before")
        arrival = (subscriber.id, webhook_id, body)
        answer = self._answer(subscriber.id, self._before[subscriber.id])
        self._before[subscriber.id] += 1
        self.arrived.append(arrival)
        if answer.kind == "delivered":
            self.accepted.append(arrival)
        self.gate("send", subscriber.id, "after")
        return answer


OK = Attempt("delivered", 204, 12)
FAILED = Attempt("failed", 500, 30, "oops", None, "answered 500")
GONE = Attempt("gone", 410, 9, "", None, "answered 410")
