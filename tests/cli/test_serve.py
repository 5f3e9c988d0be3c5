"""``smarttag serve`` with a job and a receiver of one's own, in processes of their own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import orjson
import pytest

from local.cloud.receiver import Receiver
from local.cloud.world import secret
from local.packaging.pictures import PICTURES
from local.recorded import SHOWN, jobs

COMMAND = [sys.executable, "-c", "from local.cli.main import main; main()"]
README = Path(__file__).parents[2] / "README.md"


@contextmanager
def serving(*arguments: str | Path) -> Iterator[tuple[dict[str, str], str]]:
    """Yield the variables that it says to export, and all that it said before."""
    command = [*COMMAND, "serve", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        said = ""
        while "export" not in said:
            said += process.stdout.readline()
        try:
            yield dict(re.findall(r"(\w+)=(\S+)", said.splitlines()[-1])), said
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_ones_own_job_is_told_to_ones_own_receiver_from_a_fresh_folder(tmp_path: Path) -> None:
    path = tmp_path / "my job.json"
    path.write_bytes(jobs()["meta"].response)
    with Receiver(secret("own-1")) as receiver:
        with serving("--job", path, "--subscribe", f"{receiver.url}/hook") as (variables, said):
            assert variables["JOB"] == "my-job"
            assert secret("own-1") in said
            objects = Path(said.split("objects", 1)[1].split()[0])
            headers = {"Authorization": f"Bearer {variables['TOKEN']}"}
            url = f"{variables['RELAY']}/jobs/my-job/publish"
            request = urllib.request.Request(url, b"", headers, method="POST")  # noqa: S310 - loopback
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
                assert orjson.loads(answer.read())["outcome"] == "published"
            assert (objects / "jobs" / "my-job" / "report.html").exists()
        ends = time.monotonic() + 30
        while objects.exists() and time.monotonic() < ends:
            time.sleep(0.05)
        (delivery,) = [each for each in receiver.deliveries if b'"my-job"' in each.body]  # besides recorded ones
    assert (delivery.verified, delivery.path) == (True, "/hook")
    assert orjson.loads(delivery.body)["data"]["jobId"] == "my-job"
    assert not objects.exists()


def test_a_named_folder_stays(tmp_path: Path) -> None:
    with serving("--output", tmp_path / "kept") as (_, said):
        assert f"{tmp_path}/kept" in said
    assert (tmp_path / "kept" / "logs").is_dir()


def refused(*arguments: str | Path) -> str:
    done = subprocess.run(
        [*COMMAND, "serve", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


def test_a_busy_port_is_told_in_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused("--port", str(port))
    assert line == f"smarttag: port {port} cannot be had (Address already in use); choose another one with --port"


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--job", os.devnull, "the file holds nothing"),
        ("--job", "nowhere.json", "No such file"),
        ("--subscribe", "ftp://127.0.0.1/", "url is no plain"),
        ("--subscribe", "http://10.0.0.1/hook", "10.0.0.1"),
        ("--output", f"{os.devnull}/below", "Not a directory; name a folder that can be written to"),
    ],
)
def test_what_cannot_be_served_is_told_in_a_line(option: str, value: str, says: str) -> None:
    line = refused(option, value)
    assert line.startswith(f"smarttag: {option} {value}: ")
    assert says in line


def test_the_demo_deletes_nothing_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "film.mov").write_bytes(b"mine")
    done = subprocess.run([*COMMAND, "demo", "-o", tmp_path], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2, done.stdout
    assert "holds other things than an earlier demo" in " ".join(done.stderr.replace("│", "").split())
    assert {path.name for path in tmp_path.iterdir()} == {"logs", "film.mov"}


def test_a_folder_that_the_demo_cannot_make_is_told_in_a_line() -> None:
    done = subprocess.run([*COMMAND, "demo", "-o", f"{os.devnull}/x"], capture_output=True, text=True, check=False)
    told = f"smarttag: --output {os.devnull}/x: Not a directory; name a folder that can be written to\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


def test_the_pictures_are_of_the_job_whose_report_the_demo_opens(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "demo", "-o", tmp_path / "out"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    opened = done.stdout.split("Open the report in a browser:\n")[1].splitlines()[0]
    assert opened.endswith(f"/{jobs()[SHOWN].job_id}/report.html")
    assert Path(unquote(urlsplit(opened).path)).is_file(), "a browser opens it as it stands there"
    shown = set(re.findall(r"docs/pictures/([a-z-]+)\.png", README.read_text("utf-8")))
    assert shown
    assert {PICTURES[name][0] for name in shown if name in PICTURES} == {SHOWN}
