"""Everything in this process: the real adapters and SDKs, the local cloud over loopback, a clock to turn."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn
from local.cloud.oss import BUCKET, REGION, OssStandIn
from local.cloud.receiver import Receiver
from local.cloud.server import Fault, StandIn
from local.cloud.world import SECRETS
from shared.errors import RelayError
from shared.mps.client import MpsClient
from shared.publishing.publisher import Deferred
from shared.publishing.reports import Report
from shared.retrying import Limits
from shared.settings import Network
from shared.storage.oss import OssStore
from shared.triggers import parse
from shared.webhooks import subscribers
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.sender import Attempt, Sender
from shared.webhooks.subscribers import Subscriber
from tests.fakes.node import Node

JOB = "88c6ca184c0e47098a5b665e2a126797"
STARTED = 1_790_000_000.0


class QuickSender(Sender):
    """The real sender; a busy machine keeps its deadline, and a receiver accepts its timestamps today."""

    def send(
        self,
        subscriber: Subscriber,
        webhook_id: str,
        timestamp: int,  # noqa: ARG002 - the tests' clock is not the receiver's
        body: bytes,
        deadline: float = 2.5,
    ) -> Attempt:
        return super().send(subscriber, webhook_id, int(time.time()), body, deadline)


@dataclass
class System:
    """One process with its surroundings. ``now`` is the clock."""

    node: Node
    mps: MpsStandIn
    oss: OssStandIn
    receiver: Receiver
    folder: Path
    now: float = STARTED

    @property
    def stand_ins(self) -> dict[str, StandIn]:
        return {"mps": self.mps, "oss": self.oss, "receiver": self.receiver}

    def receive(self, message: bytes, tries: int = 4) -> list[Report]:
        """Deliver a message as the platform does: again while the function fails."""
        for _ in range(tries - 1):
            try:
                return self.once(message)
            except RelayError:
                continue
        return self.once(message)

    def once(self, message: bytes) -> list[Report]:
        return self.node.publisher.receive(parse(message), request_id="test", seconds=60)

    def outcome(self, message: bytes) -> str:
        """Deliver a message once and return the word for what became of it, raised or returned."""
        try:
            (report,) = self.once(message)
        except Deferred as deferred:
            (report,) = deferred.reports
        return report["outcome"]

    def sweep(self, times: int = 3) -> None:
        for _ in range(times):
            self.now += 400
            self.node.sweep(60)

    def files(self, under: str = "") -> dict[str, bytes]:
        """Return every object below ``under`` except what carries times of attempts."""
        root = self.folder / under
        found = (path for path in root.rglob("*") if path.is_file() and "/." not in str(path))
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    def artifacts(self) -> dict[str, bytes]:
        return {
            name: body for name, body in self.files("jobs").items() if not {"deliveries", "owed"} & set(name.split("/"))
        }


def message(job_id: str = JOB, state: str = "Success") -> bytes:
    return orjson.dumps({"Type": "smarttag", "JobId": job_id, "State": state, "UserData": "take back to me"})


def nth(number: int) -> object:
    """Return a predicate that holds for the request with this number, from 0."""
    seen = iter(range(10**6))
    return lambda _request: next(seen) == number


def fault(kind: str, number: int) -> Fault:
    return Fault(kind, match=nth(number), seconds=3.0)  # type: ignore[arg-type]  # a predicate


@contextmanager
def system(root: Path, jobs: Mapping[str, bytes], *, allow: tuple[Network, ...]) -> Iterator[System]:
    with ExitStack() as stack:
        mps = stack.enter_context(MpsStandIn(jobs))
        oss = stack.enter_context(OssStandIn(root))
        receiver = stack.enter_context(Receiver(SECRETS["cms"]))
        listed = {"id": "cms", "url": f"{receiver.url}/hook", "secrets": [SECRETS["cms"]], "payload": "full"}
        body = orjson.dumps({"version": 1, "subscribers": [listed]})
        guard = AddressGuard(allow)
        limits = Limits(connect=1.0, read=0.5, total=4.0, attempts=3, backoff=0.01)
        store = OssStore(BUCKET, "out", REGION, oss.url, lambda: ROLE, limits=limits)
        clock = {}
        node = Node(
            store,
            lambda: subscribers.parse(body, {}, guard.target),
            QuickSender(guard),
            clock=lambda: clock["system"].now,
            base=f"oss://{BUCKET}/out",
            threads=32,
            source=MpsClient(mps.url, REGION, lambda: ROLE, 2**27),
        )
        built = clock["system"] = System(node, mps, oss, receiver, root / BUCKET / "out")
        yield built
