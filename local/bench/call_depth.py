"""How far a reader has to follow one message: ``python -m local.bench.call_depth``.

One MNS message about a finished job goes through ``functions.mns_callback.handler`` to one subscriber, in this process,
against the local MPS, OSS and receiver. Another message goes first, so that imports and first connections are done.
Only the project's own files count: ``functions/`` and ``shared/``.

Frames: how many functions are on the stack when ``Sender.send`` is called, itself included. Lambdas and comprehensions
are left out: a reader does not step into them by name.

Switches: the code objects that are called, each at its first call, in that order, without ``shared/smarttag/`` (the
core); a switch is counted wherever two that follow each other stand in different files. Repeated calls add nothing:
they would measure how much data a job has. Python 3.12 and newer make no code objects of comprehensions and so may
count fewer; the budgets are for 3.11.

Measured so, commit 662748b has 18 frames and 93 switches, whichever recorded job is played.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType, SimpleNamespace

import orjson

from functions import mns_callback
from local import recorded
from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn
from local.cloud.oss import BUCKET, REGION, OssStandIn
from local.cloud.receiver import Receiver
from shared.webhooks.sender import Sender

FRAMES = 12  # budget
SWITCHES = 60  # budget
ROOT = Path(mns_callback.__file__).parents[1]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def main() -> int:
    """Measure, print, and return 1 if a budget is missed."""
    jobs = recorded.jobs()
    watch = Watch()
    with TemporaryDirectory() as folder, _cloud(Path(folder), {job.job_id: job.response for job in jobs.values()}):
        _play(jobs["image"].job_id)
        sys.setprofile(watch)
        try:
            _play(jobs["documented"].job_id)
        finally:
            sys.setprofile(None)
    frames, files = watch.stack, [name for name in watch.files if not name.startswith("shared/smarttag/")]
    switches = sum(one != other for one, other in pairwise(files))
    print(*frames, sep="\n")
    print(f"{len(frames)} frames deep at the send (budget {FRAMES})")
    print(f"{switches} switches between {len(set(files))} files, without the core (budget {SWITCHES})")
    return int(len(frames) > FRAMES or switches > SWITCHES)


class Watch:
    """A profile function. ``files``: of each code object, at its first call; ``stack``: the functions at the send."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.stack: list[str] = []
        self._seen: set[CodeType] = set()

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        """Take note of a call."""
        if event != "call":
            return
        if frame.f_code is Sender.send.__code__:
            self.stack = list(_named(frame))[::-1]
        name = _own(frame.f_code)
        if name and frame.f_code not in self._seen:
            self._seen.add(frame.f_code)
            self.files.append(name)


def _named(innermost: FrameType) -> Iterator[str]:
    frame: FrameType | None = innermost
    while frame is not None:
        name, function = _own(frame.f_code), frame.f_code.co_name
        if name and not function.startswith("<"):
            yield f"{name} {function}"
        frame = frame.f_back


def _own(code: CodeType) -> str:
    """Return the path of a code object's file below the project; empty for what does not count."""
    name = code.co_filename.removeprefix(f"{ROOT}/")
    return name if name.startswith(("functions/", "shared/")) else ""


@contextmanager
def _cloud(folder: Path, jobs: dict[str, bytes]) -> Iterator[None]:
    with ExitStack() as stack:
        mps = stack.enter_context(MpsStandIn(jobs))
        oss = stack.enter_context(OssStandIn(folder))
        receiver = stack.enter_context(Receiver(SECRET))
        subscriber = {"id": "cms", "url": f"{receiver.url}/hook", "secrets": [SECRET]}
        (folder / BUCKET).mkdir()
        (folder / BUCKET / "subscribers.json").write_bytes(orjson.dumps({"version": 1, "subscribers": [subscriber]}))
        os.environ |= {
            "MPS_ENDPOINT": mps.url,
            "OSS_ENDPOINT": oss.url,
            "OUTPUT_URL": f"oss://{BUCKET}/out",
            "SUBSCRIBERS_URL": f"oss://{BUCKET}/subscribers.json",
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
        }
        yield


def _play(job_id: str) -> None:
    event = orjson.dumps({"Type": "smarttag", "JobId": job_id, "State": "Success", "UserData": ""})
    context = SimpleNamespace(request_id="bench", credentials=ROLE, region=REGION)
    with contextlib.redirect_stdout(io.StringIO()):
        mns_callback.handler(event, context)


if __name__ == "__main__":
    sys.exit(main())
