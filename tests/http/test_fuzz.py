"""schemathesis, all checks and stateful, against the API on a loopback socket.

``SOAK=1 pytest tests/http/test_fuzz.py -s`` makes well over 5,000 requests in some ten minutes. It takes more seeds for
them rather than ever more examples, of which the sequences of requests that are tried may grow out of all measure.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared import logs
from tests.http.fakes import FINISHED, WRITE, FakeService, make_app, serving

SEEDS, EXAMPLES, REQUESTS = ("1234", "40", 1000) if os.environ.get("SOAK") else ("1", "5", 200)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_request_makes_the_api_break_its_word(tmp_path: Path, seed: str) -> None:
    stream = io.StringIO()
    logs.set_up("INFO", stream)
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", Path(__file__).with_suffix(".toml")]
    service = FakeService()
    service.publish(FINISHED, redeliver=False, refresh=False, request_id="x")
    with serving(make_app(service)) as url:
        options = ["--checks", "all", "--max-examples", EXAMPLES, "--seed", seed, "--no-color", "--continue-on-failure"]
        done = subprocess.run(
            [*command, "run", f"{url}/openapi.json", "-H", f"Authorization: Bearer {WRITE}", *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    requests = stream.getvalue().count('"http.request"')
    sys.stdout.write(f"{done.stdout}\n{requests} requests\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Operations:       12 selected / 12 total" in done.stdout, "all but the description itself"
    assert re.search(r"✅ Stateful", done.stdout)
    assert requests > REQUESTS
    lines = [json.loads(line) for line in stream.getvalue().split("\n") if line]
    assert {line["level"] for line in lines} <= {"INFO"}
    assert {line["status"] for line in lines if line["event"] == "http.request"} >= {200, 400, 401, 404, 405}
