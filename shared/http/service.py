"""What the HTTP API asks of the rest of the project; ``shared.relay`` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from shared.catalogue.filters import Filters
    from shared.catalogue.search import Page
    from shared.publishing.sweeps import LastSweep
    from shared.smarttag.model import Summary
    from shared.webhooks.standing import Standing


class Service(Protocol):
    """The use cases behind the routes. Methods are called from several threads at once and raise ``RelayError``."""

    def publish(self, job_id: str, *, redeliver: bool, refresh: bool, request_id: str) -> dict[str, Any]:
        """Publish now: ``{"jobId", "outcome", "status", "artifacts": [...], "told": [...]}``.

        Where somebody else does it, all that is said is the outcome ``accepted``. ``request_id`` names the redelivery
        (any text): the same one never sends twice.
        """
        ...

    def enqueue(self, job_id: str, *, redeliver: bool, request_id: str) -> None:
        """Leave the publication to the sweeps, which try it until it is done or given up; as ``publish`` otherwise."""
        ...

    def restore(self, job_id: str) -> None:
        """Let a job that was erased be published again; nothing happens to any other."""
        ...

    def erase(self, job_id: str, *, request_id: str) -> dict[str, Any]:
        """Remove everything of a job: ``{"jobId", "outcome", "auditId"}``, the outcome ``erased`` or ``accepted``.

        ``ObjectNotFound`` if nothing of it was ever there.
        """
        ...

    def stored(self, job_id: str, name: str) -> bytes:
        """Return one artifact; ``ObjectNotFound`` if the job left none of that name, ``JobErased`` if it was erased."""
        ...

    def arrived(self, job_id: str) -> str | None:
        """Return when the answer of MPS was stored (ISO 8601); None if none was."""
        ...

    def live(self, job_id: str) -> Summary:
        """Ask MPS now; nothing is stored."""
        ...

    def deliveries(self, job_id: str) -> list[dict[str, Any]]:
        """Return every subscriber's state, attempts and next try; empty if nobody was ever told of the job."""
        ...

    def redeliver(self, job_id: str, subscriber_id: str, *, request_id: str) -> dict[str, Any]:
        """Send to one subscriber again; ``ObjectNotFound`` if that subscriber was never told of the job."""
        ...

    def jobs(self, filters: Filters, cursor: str, limit: int) -> Page:
        """Return a page of the catalogue, newest first; ``BadInput`` for a cursor that is none of ours."""
        ...

    def standing(self) -> Standing:
        """Return how things stand, for an operator."""
        ...

    def last_sweep(self) -> LastSweep | None:
        """Return when a sweep last did something, and what."""
        ...

    def replay(self, name: str) -> None:
        """Enqueue what a dead letter is about again; ``PermanentError`` if that cannot be."""
        ...

    def accept(self, message: bytes) -> list[dict[str, Any]]:
        """Handle the body of a notification as the event function would; one result per message in it."""
        ...
