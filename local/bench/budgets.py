"""What each measured line may come to at most. Ratios within one run, megabytes and counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """``most`` decides about the exit status; ``aim`` is what we should like to reach, where that is something else."""

    most: float
    aim: float | None = None


BUDGETS = {
    "video-cpu": Budget(0.9, 0.6),
    "ocr-cpu": Budget(0.65, 0.4),
    "response-peak": Budget(0.75, 0.6),
    "largest-peak": Budget(0.667),
    "largest-time": Budget(0.667),
    "cpu-per-mb": Budget(1.2),
    "sweep-waiting": Budget(1.2),
    "query-days": Budget(1.2),
    "cold-callback": Budget(0.6, 0.4),
    "cold-get": Budget(1.6, 1.3),
    "cold-report": Budget(1.6, 1.3),
    "fan-out": Budget(4.0, 2.0),
    "package-mb": Budget(8.0, 6.0),
    "store-job": Budget(18),
    "store-subscriber": Budget(5),
    "store-sweep": Budget(2),
}
