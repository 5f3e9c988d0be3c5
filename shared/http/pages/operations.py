"""Operations: what waits and why, what was given up, how the endpoints are; and replay."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from werkzeug.wrappers import Response

from shared.catalogue.filters import Filters
from shared.errors import PermanentError
from shared.http.pages import access, frame
from shared.http.pages.reader import Reader
from shared.http.routes import RequestContext
from shared.logs import log_error
from shared.outbox.dead_letters import Letter, subscriber_of

_TODAY = 500  # jobs of today that are counted
_LATE = 120_000  # milliseconds; the timer sweeps every minute


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters of one subscriber, or of none, for one reason."""

    subscriber: str
    reason: str
    letters: Sequence[Letter]


def show(context: RequestContext) -> Response:
    """Show how things stand; replay and redelivery need scope write."""
    service, reader, now = context.service, Reader.of(context.request), time.time()
    found = service.standing()
    today = service.jobs(Filters.read({"since": reader.midnight(reader.today(now))}), "", _TODAY)
    return frame.page(
        context,
        "operations.html.j2",
        found=found,
        today=Counter(row.status for row in today.rows),
        alerted=sum(1 for row in today.rows if row.alerts),
        more_today=today.next is not None,
        last=service.last_sweep(),
        late=found.due is not None and now * 1000 - found.due > _LATE,
        now=now * 1000,
        spared={each.subscriber for each in found.conditions or () if each.health == "spared"},
        groups=_groups(found.letters),
        replayed=_number(context, "replayed"),
        failed=_number(context, "failed"),
    )


def replay(context: RequestContext) -> Response:
    """Enqueue the dead letters that a form names again; one that cannot be must not keep back the others."""
    from shared.webhooks.standing import SHOWN

    counts = Counter[str]()
    for name in dict.fromkeys(context.request.form.getlist("name")[:SHOWN]):
        try:
            context.service.replay(name)
            counts["replayed"] += 1
        except PermanentError as error:
            log_error("http.replay.failed", error, level=logging.WARNING, letter=name[:200])
            counts["failed"] += 1
    return access.go(f"/library/operations?replayed={counts['replayed']}&failed={counts['failed']}")


def _number(context: RequestContext, name: str) -> int:
    text = context.request.args.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0  # noqa: PLR2004 - SHOWN has two digits


def _groups(letters: Sequence[Letter]) -> list[Group]:
    by: dict[tuple[str, str], list[Letter]] = {}
    for letter in letters:
        reason = str(letter.facts["reason"]) if letter.error is None else letter.error.message
        by.setdefault((subscriber_of(letter.name), reason), []).append(letter)
    return [Group(*key, found) for key, found in sorted(by.items(), key=lambda item: (-len(item[1]), item[0]))]
