"""What the worst receivers, vendors and uploaders could have left: hostile text in every field that a page shows."""

from __future__ import annotations

from itertools import count
from typing import Any

import orjson

from local import recorded
from shared.catalogue.row import make_row
from shared.errors import BadInput
from shared.outbox.dead_letters import Letter
from shared.outbox.task import Task, TaskKind
from shared.publishing.sweeps import LastSweep
from shared.smarttag import summarise
from shared.webhooks.operations import Condition, Health
from shared.webhooks.standing import Standing, Waiting
from tests.http.fakes import DONE, NOW, FakeService

CORPUS = (
    "<script>alert(1)</script>",
    "</title><script>alert(2)</script>",
    "</style><img src=x onerror=alert(3)>",
    '"><svg/onload=alert(4)>',
    "' onmouseover=alert(5) autofocus onfocus=alert(5) x='",
    '" onfocus="alert(6)" autofocus="',
    "javascript:alert(7)",
    '<a href="javascript:alert(8)">x</a>',
    '<iframe srcdoc="<script>parent.alert(9)</script>"></iframe>',
    "<base href=https://evil.example/>",
    '<meta http-equiv=refresh content="0;url=https://evil.example/">',
    "<form action=https://evil.example><button>alert(12)</button></form>",
    "<!-- alert(13)",
    "--><script>alert(14)</script>",
    "</textarea></pre><object data=javascript:alert(15)>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "{{ 7 * 191 }}{% raw %}alert(17)",
    "&lt;script&gt;alert(18)&lt;/script&gt;",
    '<math><mi xlink:href="data:text/html,<script>alert(19)</script>">',
    "\u202ealert(20)\u2066\x00\x1b[31m\u2028\ud7ff",
    "<img src='https://evil.example/x.png'>",
    "`-alert(22)-`${alert(22)}",
)
_OURS = {"jobId", "status", "schemaVersion"}  # checked before they are stored


class Hostile:
    """Puts one text of the corpus after the other in the place of every text."""

    def __init__(self) -> None:
        self._number = count()

    def text(self) -> str:
        return CORPUS[next(self._number) % len(CORPUS)]

    def all(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text()
        if isinstance(value, list):
            return [self.all(each) for each in value]
        if isinstance(value, dict):
            return {key: each if key in _OURS else self.all(each) for key, each in value.items()}
        return value


def hostile_service() -> FakeService:
    """Return the services with one job, everything of which is hostile, and dead letters and tasks likewise."""
    hostile, service = Hostile(), FakeService()
    clean = orjson.loads(summarise(recorded.jobs()["rich"].response, DONE).to_json())
    media = clean["media"]
    summaries = [hostile.all(clean) | {"media": media} for _ in CORPUS]
    service.artifacts[DONE, "summary.json"] = orjson.dumps(summaries[0])
    listed = [{"name": name, "bytes": 1} for name in ("report.html", "subtitles.vtt", hostile.text())]
    service.artifacts[DONE, "manifest.json"] = orjson.dumps({"artifacts": listed})
    service.rows = [make_row(each, NOW * 1000, 0, ("report.html", hostile.text())) for each in summaries]
    service.told = [_delivery(hostile) for _ in CORPUS]
    letters = [_letter(hostile, number) for number in range(len(CORPUS))]
    unreadable = Letter(hostile.text(), {}, BadInput(hostile.text()))
    tasks = [Task(TaskKind.DELIVERY, hostile.text(), "succeeded", hostile.text(), "0", 1, 1, 2) for _ in CORPUS]
    conditions = [Condition(hostile.text(), health, hostile.text(), hostile.text(), 1, 1) for health in Health]
    waiting = tuple(Waiting(task, hostile.text()) for task in tasks)
    service.stands = Standing(waiting, 1000, (*letters, unreadable), 1000, tuple(conditions), "")
    service.swept = LastSweep(hostile.text(), {hostile.text(): 1, "delivered": 2})
    return service


def _delivery(hostile: Hostile) -> dict[str, Any]:
    names = ("event", "webhookId", "subscriber", "redeliveryId", "state", "enqueuedAt", "nextTry")
    return {name: hostile.text() for name in names} | {"attempts": [_attempt(hostile), {"attempt": 2}]}


def _attempt(hostile: Hostile) -> dict[str, Any]:
    texts = {name: hostile.text() for name in ("at", "kind", "excerpt", "error")}
    return {"attempt": 1, "status": 500, "durationMs": 3, **texts}


def _letter(hostile: Hostile, number: int) -> Letter:
    texts = {name: hostile.text() for name in ("jobId", "event", "kind", "reason", "deadAt", "state")}
    content = {**texts, "attempts": [_attempt(hostile)]}
    return Letter(f"deliveries/{DONE}~succeeded~{hostile.text()}~{number}", content)
