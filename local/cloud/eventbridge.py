"""A stand-in for a queue of MNS whose messages an event stream of EventBridge hands to a function, in batches.

The form of an element is that of the documentation of Function Compute ("trigger event formats"); it sends an array
even for one message. A batch that fails is handed over again whole, and goes to the dead-letter queue after that.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone

_OWNER = "1234567890123456"


class QueueStream:
    """A queue and the stream that empties it.

    Args:
        invoke: hands an event to the function and raises if that fails; it waits for the answer.
        batch: messages of one event at most (``CountBasedWindow``).
        tries: of one batch.
        decode: what ``IsBase64Decode`` says.
    """

    def __init__(
        self, invoke: Callable[[bytes], object], *, batch: int = 100, tries: int = 3, decode: bool = False
    ) -> None:
        self.waiting: deque[bytes] = deque()
        self.dead: list[bytes] = []
        self._invoke = invoke
        self._batch = batch
        self._tries = tries
        self._decode = decode

    def send(self, body: bytes) -> None:
        """Put a message into the queue."""
        self.waiting.append(body)

    def drain(self) -> int:
        """Hand over everything that waits; return how many events that took, repeats included."""
        events = 0
        while self.waiting:
            batch = [self.waiting.popleft() for _ in range(min(self._batch, len(self.waiting)))]
            event = json.dumps([self._element(body) for body in batch]).encode()
            for left in reversed(range(self._tries)):
                events += 1
                try:
                    self._invoke(event)
                    break
                except Exception:  # noqa: BLE001 - whatever it is, the platform tries again
                    if not left:
                        self.dead.append(event)
        return events

    def _element(self, body: bytes) -> dict[str, object]:
        message = uuid.uuid4().hex.upper()
        text = base64.b64decode(body) if self._decode else body
        return {
            "id": message,
            "source": "MNS-smarttag-callback-smarttag-queue",
            "specversion": "1.0",
            "type": "mns:Queue:SendMessage",
            "datacontenttype": "application/json; charset=utf-8",
            "subject": f"acs:mns:cn-shanghai:{_OWNER}:queues/smarttag",
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "aliyunaccountid": _OWNER,
            "aliyuneventbusname": "MNS-smarttag-callback-smarttag-queue",
            "aliyunregionid": "cn-shanghai",
            "data": {"requestId": uuid.uuid4().hex, "messageId": message, "messageBody": text.decode()},
        }
