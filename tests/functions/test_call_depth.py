"""local.bench.call_depth still sees the way of a message, whatever has moved."""

from __future__ import annotations

import subprocess
import sys

from local.cloud.world import ROOT


def test_the_way_from_the_handler_to_the_send_is_measured() -> None:
    command = [sys.executable, "-m", "local.bench.call_depth"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    *stack, frames, switches = done.stdout.splitlines()
    assert done.stderr == ""
    assert (stack[0], stack[-1]) == ("functions/mns_callback.py handler", "shared/webhooks/sender.py send")
    assert int(frames.split()[0]) == len(stack)
    assert int(switches.split()[0]) >= len({line.split()[0] for line in stack}) - 1
