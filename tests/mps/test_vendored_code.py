"""What SECURITY.md says of the old copies inside aliyun-python-sdk-core: never called, nor loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn

ROOT = Path(__file__).parents[2]
RESPONSE = (ROOT / "local" / "recorded" / "documented.json").read_bytes()
JOBS = ("1" * 32, "2" * 32)
# The first event loads everything; whatever a second one calls in the old copies, on any thread, is noted.
CHILD = """
import json, sys, threading
from functions import mns_callback

called = set()

def watch(frame, event, _argument):
    if event == "call" and "/aliyunsdkcore/" in frame.f_code.co_filename:
        called.add(frame.f_code.co_filename.rpartition("/aliyunsdkcore/")[2])

events = [json.dumps({"Type": "smarttag", "JobId": job, "State": "Success"}).encode() for job in sys.argv[1:]]
mns_callback.handler(events[0], None)
threading.setprofile(watch)
sys.setprofile(watch)
report = mns_callback.handler(events[1], None)
sys.setprofile(None)
loaded = [name for name in sys.modules if name.startswith("aliyunsdkcore.vendored.requests")]
print(json.dumps({"report": report, "called": sorted(called), "loaded": len(loaded)}))
"""


def test_a_query_calls_nothing_of_the_old_copies(tmp_path: Path) -> None:
    with MpsStandIn(dict.fromkeys(JOBS, RESPONSE)) as mps:
        env = {
            "MPS_ENDPOINT": mps.url,
            "OUTPUT_URL": f"file://{tmp_path}",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": ROLE.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": ROLE.access_key_secret,
            "ALIBABA_CLOUD_SECURITY_TOKEN": ROLE.security_token,
        }
        command = [sys.executable, "-c", CHILD, *JOBS]
        ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)
        assert mps.queried(JOBS[1]) == 1
    seen = json.loads(ended.stdout.splitlines()[-1])
    assert seen["report"]["results"][0]["outcome"] == "published"
    assert "auth/composer/rpc_signature_composer.py" in seen["called"], "the watch sees the SDK at work"
    assert [name for name in seen["called"] if name.startswith("vendored/requests/")] == []
    assert seen["loaded"] == 0
