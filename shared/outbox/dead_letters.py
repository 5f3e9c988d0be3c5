"""What a person has to look at: deliveries given up, jobs that cannot be published, messages nobody understands."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from shared import keys
from shared.errors import ObjectNotFound
from shared.keys import DELIVERY, PUBLISH, Owed
from shared.outbox.outbox import Outbox, iso, surely
from shared.storage import ObjectStore
from shared.webhooks import payload


class DeadLetters:
    """Buries, shows and replays. The name of a dead letter is its key below ``dead/`` without the suffix.

    What is replayed is owed again, so a replay is as durable as a first delivery.
    """

    def __init__(self, store: ObjectStore, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox

    def bury_job(self, job_id: str, reason: str) -> None:
        """Keep a job that cannot be published."""
        facts = {"kind": PUBLISH, "jobId": job_id, "reason": reason, "deadAt": iso(self._outbox.now())}
        surely(lambda: self._store.put(keys.dead_job(job_id), orjson.dumps(facts)))

    def bury_notification(self, raw: bytes, reason: str) -> None:
        """Keep a message as it came; burying it again changes nothing."""
        digest = hashlib.sha256(raw).hexdigest()
        raw_key = keys.dead_notification(digest, "raw")
        surely(lambda: self._store.create(raw_key, raw, "application/octet-stream"))
        facts = {"kind": "notification", "reason": reason, "bytes": len(raw), "deadAt": iso(self._outbox.now())}
        self._outbox.fix(keys.dead_notification(digest, "json"), facts)

    def names(self) -> Iterator[str]:
        """Yield the names of all dead letters."""
        for key in self._store.list(keys.DEAD):
            if key.endswith(".json"):
                yield key.removeprefix(keys.DEAD).removesuffix(".json")

    def show(self, name: str) -> dict[str, Any]:
        """Return all that is known of one; ``ObjectNotFound`` if there is none of that name."""
        facts = self._outbox.find(f"{keys.DEAD}{name}.json")
        if facts is None:
            raise ObjectNotFound(f"there is no dead letter {name[:200]!a}; smarttag dead list shows what there is")
        return facts

    def raw(self, name: str) -> bytes:
        """Return a poison message as it came."""
        return self._store.get(f"{keys.DEAD}{name}.raw")

    def replay(self, name: str, notify: Callable[[bytes], None]) -> None:
        """Owe it again, and bury it no longer; if it fails again, it will be a new dead letter.

        A delivery is due at the next sweep. A job is due in five minutes, when this letter is surely gone: the next one
        would lie under the same name.

        A delivery is sent with its id and body of old, in a new round; the same dead letter always names the same
        round, so that nothing happens twice if this is interrupted and repeated. ``notify`` handles a poison message
        anew, now that the software or the world has changed, or raises. ``ObjectNotFound``: there is no such letter.
        """
        facts = self.show(name)
        if facts["kind"] == DELIVERY:
            now = self._outbox.now()
            round_ = keys.round_name(f"{name} {facts['deadAt']}")
            self._outbox.owe(Owed(DELIVERY, facts["jobId"], facts["event"], facts["subscriber"], round_, now, now))
        elif facts["kind"] == PUBLISH:
            self.owe_job(facts["jobId"], facts.get("event", ""), wait=300)
        else:
            notify(self.raw(name))
        for suffix in ("json", "raw"):
            self._store.delete(f"{keys.DEAD}{name}.{suffix}")

    def owe_job(self, job_id: str, hint: str, wait: float, round_: str = "0") -> Owed:
        """Owe the publication of a job in ``wait`` seconds; return the entry.

        Every notification is owed for itself; a redelivery is the same however often it is asked for.
        """
        now = self._outbox.now()
        known = hint if hint in payload.NAMES else ""
        chain = uuid.uuid4().hex[:16] if round_ == "0" else keys.round_name(round_)
        owed = Owed(PUBLISH, keys.check_job_id(job_id), known, "", chain, now, now + int(wait * 1000))
        self._outbox.owe(owed)
        return owed
