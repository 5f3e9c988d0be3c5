"""``smarttag backfill``, in processes of its own over the local cloud: killed, interrupted, on a narrow terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import md5
from ipaddress import ip_network
from pathlib import Path

import orjson
import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from local import recorded
from local.backfill import THREADS, BadLine, Outcome, Pacer, State, failures, over_http, read_ids
from local.cli import main
from local.cloud.accounts import USER
from local.cloud.mps import MpsStandIn
from local.cloud.oss import BUCKET, REGION, OssStandIn
from local.cloud.receiver import Receiver
from local.cloud.world import PUSH_TOKEN, SECRETS, TOKEN, world
from shared.errors import BadInput, BadSettings
from shared.mps.client import MpsClient
from shared.retrying import Pace
from shared.storage.directory import DirectoryStore
from shared.storage.oss import OssStore
from shared.webhooks import subscribers
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.sender import Sender
from tests.fakes.node import Node

COMMAND = [sys.executable, "-c", "from local.cli.main import main; main()", "backfill"]
MANY = 5000 if os.environ.get("SOAK") else 30
LIMIT = 100  # of MPS, a second
RATE = 60.0
ALLOWED = (ip_network("127.0.0.0/8"),)


def job_id(number: int) -> str:
    return md5(str(number).encode(), usedforsecurity=False).hexdigest()


@dataclass
class Cloud:
    mps: MpsStandIn
    oss: OssStandIn
    receiver: Receiver
    objects: Path
    folder: Path
    subscribers: bytes

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "MPS_ENDPOINT": self.mps.url,
            "OSS_ENDPOINT": self.oss.url,
            "OUTPUT_URL": f"oss://{BUCKET}/out",
            "SUBSCRIBERS_URL": f"oss://{BUCKET}/subscribers.json",
            "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": USER.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": USER.access_key_secret,
        }

    def start(self, *arguments: str, **more: object) -> subprocess.Popen[str]:
        given_ = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        return subprocess.Popen([*COMMAND, *arguments], cwd=Path.cwd(), env=self.env, text=True, **given_)  # type: ignore[call-overload,no-any-return]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=3600)
        return process.returncode, out, err

    def published(self) -> set[str]:
        return {path.parent.name for path in self.objects.glob("jobs/*/manifest.json")}

    def told(self) -> Counter[str]:
        return Counter(orjson.loads(each.body)["data"]["jobId"] for each in self.receiver.deliveries)

    def settle(self) -> None:
        """Wait until what a killed process had sent has taken effect: a claim may come after its worker's death."""
        seen = -1
        while seen != len(self.oss.requests):
            seen = len(self.oss.requests)
            time.sleep(0.5)

    def sweep(self, ahead: float) -> None:
        """Do what a timer's sweep does at a later time; claims get as old as that."""
        for path in self.objects.rglob("*.claim.json"):
            then = path.stat().st_mtime - ahead
            os.utime(path, (then, then))
        guard = AddressGuard(ALLOWED)
        store = OssStore(BUCKET, "out", REGION, self.oss.url, lambda: USER)
        node = Node(
            store,
            lambda: subscribers.parse(self.subscribers, {}, guard.target),
            Sender(guard),
            clock=lambda: time.time() + ahead,
            base=f"oss://{BUCKET}/out",
            threads=THREADS,
            source=MpsClient(self.mps.url, REGION, lambda: USER, 2**27),
        )
        node.sweep()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    meta, processing = (recorded.jobs()[name].response for name in ("meta", "processing"))
    jobs = {job_id(number): meta for number in range(MANY)} | {job_id(-1): processing}
    with ExitStack() as stack:
        mps = stack.enter_context(MpsStandIn(jobs, per_second=LIMIT))
        oss = stack.enter_context(OssStandIn(tmp_path / "oss"))
        receiver = stack.enter_context(Receiver(SECRETS["cms"]))
        entry = {"id": "cms", "url": f"{receiver.url}/hook", "secrets": [SECRETS["cms"]]}
        body = orjson.dumps({"version": 1, "subscribers": [entry]})
        DirectoryStore(tmp_path / "oss" / BUCKET).put("subscribers.json", body)
        yield Cloud(mps, oss, receiver, tmp_path / "oss" / BUCKET / "out", tmp_path, body)


def test_killed_twice_each_job_is_published_once_and_mps_never_asked_too_often(cloud: Cloud) -> None:
    unknown = [job_id(-number) for number in range(2, 5)]
    ids = cloud.folder / "ids.txt"
    good = [job_id(number) for number in range(MANY)]
    lines = [*good[: MANY // 2], "# the rest", "", *unknown, f"{job_id(-1)}  # still running", "no such/id", *good]
    ids.write_text("\n".join(lines), encoding="utf-8")
    asked = 0
    for part in (0.3, 0.6):
        process = cloud.start(str(ids), "--rate", str(RATE))
        while len(cloud.receiver.deliveries) < part * MANY and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        process.communicate()
        cloud.settle()
        assert len(cloud.published()) < MANY, "killed too late to show anything"
        asked = len(cloud.mps.requests)
    held = MANY - len(cloud.published())
    cloud.sweep(300)  # the leases of the killed end
    status, out, err = cloud.run(str(ids), "--rate", str(RATE), "--json")
    cloud.sweep(300)
    report = json.loads(out)
    assert status == 1, err
    assert report["published"] + report["publishedBefore"] == MANY, (report, err)
    assert (report["failed"], report["notFinished"], report["begunElsewhere"], report["notTried"]) == (3, 1, 0, 0)
    assert report["badLines"] == [{"line": lines.index("no such/id") + 1, "text": "no such/id"}]
    assert f"line {lines.index('no such/id') + 1}: 'no such/id' is no job ID" in err

    assert cloud.published() == set(good)
    told = cloud.told()
    assert {job for job in told if job != job_id(-1)} == set(good)
    repeats = {job for job, times in told.items() if times > 1} - {job_id(-1)}
    assert len(repeats) <= 2 * THREADS, "only what was sent and not yet noted when a run was killed"
    for job in repeats:
        sent = [each for each in cloud.receiver.deliveries if job.encode() in each.body]
        assert len({each.headers["webhook-id"] for each in sent}) == 1
    assert not [path for path in (cloud.objects / "outbox").rglob("*") if path.is_file()]
    assert cloud.mps.throttled == 0
    # What was published is passed over without asking.
    assert len(cloud.mps.requests) - asked <= held + 2 * THREADS + 4
    assert Counter(map(cloud.mps.queried, good))[1] >= MANY - 2 * THREADS

    listed = (cloud.folder / "ids-failed.txt").read_text(encoding="utf-8")
    again = read_ids(cloud.folder / "ids-failed.txt")
    assert set(again.job_ids) == {*unknown, job_id(-1)}
    assert [each.text for each in again.bad] == ["no such/id"]
    assert "it knows no such job" in listed
    before = len(cloud.mps.requests)
    ids.write_text("\n".join([*good, job_id(-7)]), encoding="utf-8")
    screen = on_a_terminal(cloud, str(ids), columns=40)
    assert len(cloud.mps.requests) == before + 1
    assert screen.count(f"{MANY + 1}/{MANY + 1}") == 1, screen
    assert re.search(rf"^1 not done +\S* *{MANY + 1}/", screen, re.MULTILINE), screen
    assert re.search(rf"published before +\S +{MANY}\b", screen), screen


def test_what_the_catalogue_holds_is_published_anew_where_its_files_are_lost(cloud: Cloud) -> None:
    ids = cloud.folder / "ids.txt"
    ids.write_text("\n".join(map(job_id, range(3))), encoding="utf-8")
    assert cloud.run(str(ids))[0] == 0
    shutil.rmtree(cloud.objects / "jobs" / job_id(1))
    chosen = ("--from-catalogue", "--json", "--failures", str(cloud.folder / "failed.txt"), "--since")
    status, out, err = cloud.run(*chosen, "2026-01-01")
    assert status == 0, err
    report = json.loads(out)
    assert (report["published"], report["publishedBefore"]) in {(1, 2), (0, 3)}, report
    assert cloud.published() == set(map(job_id, range(3)))
    assert json.loads(cloud.run(*chosen, "2999-01-01")[1])["publishedBefore"] == 0
    for wrong in ((), (str(ids), "--from-catalogue"), (str(ids), "--since", "2026-01-01")):
        assert cloud.run(*wrong)[0] == 2


def on_a_terminal(cloud: Cloud, *arguments: str, columns: int) -> str:
    """Return what stands on a terminal of this width after the command."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = cloud.env | {"TERM": "xterm-256color"}
    process = subprocess.Popen([*COMMAND, *arguments], env=environment, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    screen = pyte.Screen(columns, 40)
    stream = pyte.ByteStream(screen)
    with suppress(OSError):  # the other end is closed
        while piece := os.read(master, 65536):
            stream.feed(piece)
    os.close(master)
    assert process.wait(60) == 1
    return "\n".join(line.rstrip() for line in screen.display).strip()


def test_ctrl_c_ends_what_is_begun_and_says_how_to_go_on(cloud: Cloud) -> None:
    ids = cloud.folder / "ids.txt"
    ids.write_text("\n".join(map(job_id, range(MANY))), encoding="utf-8")
    process = cloud.start(str(ids), "--rate", "20")
    while not cloud.published():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "Stopped: interrupted. The same command goes on" in err
    assert "not tried" in out
    assert not [path for path in (cloud.objects / "outbox").rglob("*") if path.is_file()], "what was begun is finished"
    assert len(cloud.published()) == len(cloud.told()) < MANY


def test_what_refuses_every_job_stops_at_the_first_and_says_what_to_do(cloud: Cloud) -> None:
    ids = cloud.folder / "ids.txt"
    ids.write_text("\n".join(map(job_id, range(MANY))), encoding="utf-8")
    cloud.mps.refuse(403, "Forbidden.RAM", "User not authorized.", times=10**6)
    status, out, err = cloud.run(str(ids), "--json")
    report = json.loads(out)
    assert status == 1
    assert "let the function's role call mts:QuerySmarttagJob" in report["stopped"]
    assert report["failed"] + report["notTried"] == MANY
    assert report["failed"] <= 2 * THREADS, "the others are not tried"
    del err


def test_through_the_http_api(tmp_path: Path) -> None:
    jobs = {each.job_id: each.response for each in recorded.jobs().values() if each.name in {"meta", "fail"}}
    ids = tmp_path / "ids.txt"
    ids.write_text("\n".join([*jobs, job_id(-2)]), encoding="utf-8")
    with world(tmp_path / "cloud", jobs, sweep_seconds=3600) as running:

        def run(token: str) -> tuple[int, str, str]:
            env = {"PATH": os.environ["PATH"], "SMARTTAG_TOKEN": token}
            done = subprocess.run(
                [*COMMAND, str(ids), "--api", running.http.url, "--json"],
                capture_output=True,
                text=True,
                check=False,
                env=env,
            )
            return done.returncode, done.stdout, done.stderr

        status, out, err = run(TOKEN)
        report = json.loads(out)
        assert (status, report["published"], report["failed"], err) == (1, 2, 1, "")
        assert "MPS knows no such job" in report["failures"][0]["reason"]
        refused = json.loads(run(PUSH_TOKEN)[1])
        assert "set SMARTTAG_TOKEN to a token of scope write" in refused["stopped"]
        assert all((running.job(job) / "manifest.json").is_file() for job in jobs)


@pytest.mark.parametrize(
    "url", ["http://videos.example.com", "ftp://x", "videos.example.com", "https://a/path", "https://[::1"]
)
def test_a_token_goes_to_an_api_over_tls_only(url: str) -> None:
    with pytest.raises(BadSettings, match="--api must be"):
        over_http(url, TOKEN, Pacer(1))
    with pytest.raises(BadSettings, match="set SMARTTAG_TOKEN"):
        over_http("https://videos.example.com", "", Pacer(1))


@pytest.mark.parametrize("token", ["str_secret\r\nstr_second", "str_secret second", "str_密"])
def test_a_token_that_is_none_is_refused_before_any_job_and_not_repeated(token: str) -> None:
    with pytest.raises(BadSettings, match="set SMARTTAG_TOKEN") as raised:
        over_http("https://videos.example.com", token, Pacer(1))
    assert "str_" not in raised.value.message


def test_the_line_end_of_a_file_is_no_part_of_a_token(tmp_path: Path) -> None:
    jobs = {each.job_id: each.response for each in recorded.jobs().values() if each.name == "meta"}
    with world(tmp_path, jobs, sweep_seconds=3600) as running:
        publish = over_http(running.http.url, f"{TOKEN}\r\n", Pacer(80))
        assert [publish(job).state for job in jobs] == [State.PUBLISHED]


@given(
    st.lists(st.integers(0, 5) | st.sampled_from(["", "  ", "# note", "a b", "x/y", "1#2", "\u4e07", "a" * 65])),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff"]),
)
def test_every_line_is_a_job_or_named(lines: list[int | str], end: str, mark: str) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"ids-{os.getpid()}.txt"  # noqa: S108 - of this process
    texts = [job_id(line) if isinstance(line, int) else line for line in lines]
    try:
        path.write_bytes((mark + end.join(texts)).encode())
        read = read_ids(path)
    finally:
        path.unlink()
    wanted = [text for text, line in zip(texts, lines, strict=True) if isinstance(line, int)]
    assert read.job_ids == tuple(dict.fromkeys(wanted))
    assert read.repeated == len(wanted) - len(read.job_ids)
    assert [each.number for each in read.bad] == [
        number for number, text in enumerate(texts, 1) if text.strip() and text != "# note" and text not in wanted
    ]


@pytest.mark.parametrize("content", ["ab\n".encode("utf-16"), b"\xff\xfe\xfa"])
def test_a_file_that_is_no_utf_8_is_refused_whole(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ids.txt").write_bytes(content)
    with pytest.raises(BadInput, match="save the file as UTF-8"):
        read_ids(tmp_path / "ids.txt")
    with pytest.raises(BadInput, match="No such file"):
        read_ids(tmp_path / "other.txt")


@pytest.mark.parametrize("into", ["..", "nowhere/..", "."])
def test_a_folder_to_list_failures_in_is_refused_before_any_job(tmp_path: Path, into: str) -> None:
    (tmp_path / "ids.txt").write_text("a\n")
    arguments = ["backfill", str(tmp_path / "ids.txt"), "--failures", into, "--api", "http://127.0.0.1:9"]
    done = CliRunner().invoke(main.app, arguments, env={"SMARTTAG_TOKEN": "t"})
    assert (str(done.exception), done.stdout) == (f"--failures {into} is a folder; name a file", "")


def test_what_is_listed_as_failed_can_be_read_again(tmp_path: Path) -> None:
    outcomes = [Outcome("a", State.FAILED, "why # not"), Outcome("b", State.PUBLISHED), Outcome("c", State.ELSEWHERE)]
    (tmp_path / "f.txt").write_text("\n".join(failures([BadLine(7, "x y")], outcomes)), encoding="utf-8")
    read = read_ids(tmp_path / "f.txt")
    assert (read.job_ids, [each.text for each in read.bad]) == (("a", "c"), ["x y"])


@given(st.lists(st.floats(0, 0.3), min_size=2, max_size=200), st.integers(1, 50))
def test_the_pacer_lets_no_more_than_its_rate_through_in_any_second(gaps: list[float], rate: int) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    pacer, passed = Pacer(rate, Pace(lambda: now, sleep)), []
    for gap in gaps:
        now += gap
        pacer.turn()
        passed.append(now)
    for first, last in zip(passed, passed[rate:], strict=False):
        assert last - first > 1 - 1e-6
