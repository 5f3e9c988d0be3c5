"""What only the directory store promises: plain files, many processes, and death anywhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from shared.errors import AccessRefused, BadInput, BadSettings, Unavailable
from shared.storage.directory import DirectoryStore

ROOT = Path(__file__).parents[2]

# Kills its own process at the n-th thing it does to the file system.
DIES = """
import os, signal, sys
from pathlib import Path
from shared.storage.directory import DirectoryStore

root, method, step = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = DirectoryStore(root)
left = step

def hook(event, args):
    global left
    if event in {"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.scandir", "os.listdir"}:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
if method == "delete":
    store.delete("jobs/a/key")
else:
    getattr(store, method)("jobs/a/key", b"new" * 100_000, "text/x-new")
"""


def run(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def plain_files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and ".store" not in path.parts}


@pytest.mark.parametrize("method", ["create", "put", "delete"])
def test_a_process_killed_between_any_two_steps_leaves_whole_objects(tmp_path: Path, method: str) -> None:
    old, new = (b"old", "text/x-old"), (b"new" * 100_000, "text/x-new")
    seen = set()
    for step in count(1):
        root = tmp_path / str(step)
        store = DirectoryStore(root)
        if method != "create":
            store.put("jobs/a/key", *old)
        child = run(DIES, root, method, step)
        _, complaint = child.communicate(timeout=30)
        assert child.returncode in {0, -signal.SIGKILL}, complaint
        info = store.head("jobs/a/key")
        found = None if info is None else (store.get("jobs/a/key"), info.content_type)
        assert found in {"create": (None, new), "put": (old, new), "delete": (old, None)}[method]
        assert list(store.list("")) == ([] if found is None else ["jobs/a/key"])
        assert plain_files(root) == set(store.list(""))
        seen.add(found)
        # Whatever the dead process left, the next one can do the same again.
        store.put("jobs/a/key", *new)
        store.delete("jobs/a/key")
        assert store.create("jobs/a/key", *new)
        if child.returncode == 0:
            break
    assert step > 5
    assert len(seen) == 2


RACES = """
import sys
from pathlib import Path
from shared.storage.directory import DirectoryStore

store, me = DirectoryStore(Path(sys.argv[1])), sys.argv[2]
sys.stdin.readline()
print(*(number for number in range(30) if store.create(f"claims/{number}/claim", me.encode() * 1000)))
"""


def test_of_many_processes_exactly_one_creates_each_key(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", RACES, str(tmp_path), name],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in "abcd"
    ]
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(lambda worker: worker.communicate("go\n", timeout=60)[0], workers))
    won = {name: set(map(int, output.split())) for name, output in zip("abcd", outputs, strict=True)}
    assert sorted(number for numbers in won.values() for number in numbers) == list(range(30))
    store = DirectoryStore(tmp_path)
    for name, numbers in won.items():
        assert all(store.get(f"claims/{number}/claim") == name.encode() * 1000 for number in numbers)


def test_writers_and_deleters_of_one_folder_do_not_hurt_each_other(tmp_path: Path) -> None:
    """Deleting the last object removes its folder while others are about to write there."""
    store = DirectoryStore(tmp_path)

    def work(name: int) -> None:
        for round_ in range(20):
            store.put(f"outbox/1700000000000/{name}", str(round_).encode())
            assert store.get(f"outbox/1700000000000/{name}") == str(round_).encode()
            store.delete(f"outbox/1700000000000/{name}")

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [None] * 6
    assert not (tmp_path / "outbox").exists()


def test_objects_are_plain_files_that_anyone_may_open(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "made" / "when needed")
    store.put("jobs/j/report.html", "<p>报告".encode(), "text/html; charset=utf-8")
    file = tmp_path / "made" / "when needed" / "jobs" / "j" / "report.html"
    assert file.read_text("utf-8") == "<p>报告"
    umask = os.umask(0)
    os.umask(umask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask


def test_nothing_is_left_behind_by_ordinary_use(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.create("a", b"1", "text/x-odd")
    store.create("a", b"2", "text/x-odd")
    store.put("a", b"3", "text/x-odd")
    store.put("a", b"4", "text/x-odder")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2, "the object and its content type"
    store.delete("a")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_dead_process_left_is_swept_after_a_day(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a", b"1")
    fresh, stale = (tmp_path / ".store" / "tmp" / name for name in ("fresh", "stale"))
    fresh.write_bytes(b"half")
    stale.write_bytes(b"half")
    os.utime(stale, (time.time() - 90_000,) * 2)
    DirectoryStore(tmp_path).put("b", b"2")
    assert fresh.exists()
    assert not stale.exists()


def test_the_store_keeps_its_own_folder_to_itself(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    with pytest.raises(BadInput, match="own"):
        store.put(".store/tmp/x", b"")
    with pytest.raises(BadInput, match="own"):
        list(store.list(".store/"))


def test_one_key_under_another_is_refused(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b", b"1")
    for key in ("a", "a/b/c", "a/b/c/d"):
        with pytest.raises(BadInput, match="cannot be a file"):
            store.put(key, b"2")
        with pytest.raises(BadInput, match="cannot be a file"):
            store.create(key, b"2")
        assert store.head(key) is None
    assert list(store.list("")) == ["a/b"]


def test_a_name_too_long_for_the_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be a file"):
        DirectoryStore(tmp_path).put("n" * 300, b"")


def test_files_that_are_no_objects_are_not_listed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/1", b"")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "a" / "pipe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/latin-\xe9")).write_bytes(b"")
    assert list(store.list("")) == ["a/1"]


def test_an_output_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadSettings, match=re.escape(f"{tmp_path}/file is no directory; correct OUTPUT_URL")):
        DirectoryStore(tmp_path / "file").put("a", b"")


UNWRITABLE = """
import os, sys
from pathlib import Path
from shared.storage.directory import DirectoryStore
os.setuid(65534)
try:
    DirectoryStore(Path(sys.argv[1]), "OUTPUT_URL").put("jobs/j/summary.json", b"{}")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
def test_an_unwritable_output_names_key_directory_and_setting() -> None:
    child = run(UNWRITABLE, "/proc/self")  # where nobody can write
    told = child.communicate(timeout=30)[0]
    assert told.startswith((AccessRefused.__name__, Unavailable.__name__))
    assert all(word in told for word in ("jobs/j/summary.json", "/proc/self", "OUTPUT_URL"))
