"""Any sequence of operations on a store does what it would do to a dictionary. ``SOAK=1`` runs many, and OSS too."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule, run_state_machine_as_test

from local.cloud.accounts import ROLE
from local.cloud.oss import BUCKET, REGION, OssStandIn
from shared.errors import ObjectNotFound, PermanentError
from shared.storage import ObjectStore
from shared.storage.directory import DirectoryStore
from shared.storage.oss import OssStore
from shared.storage.retrying import RetryingStore
from tests.fakes.memory_store import MemoryStore
from tests.storage.conftest import QUICK, BadLine

SOAK = bool(os.environ.get("SOAK"))
EXAMPLES = {"memory": 30, "retrying": 15, "directory": 8}
SOAKING = {"memory": 20_000, "retrying": 5_000, "directory": 2_000, "oss": 50}

PLAIN = st.lists(st.sampled_from(["a", "b", "ab", "a-", "a0", "jobs"]), min_size=1, max_size=3).map("/".join)
ODD = st.sampled_from(
    [
        "outbox/0001/delivery~j~succeeded~cms~0~01~9",
        "a b/c d.json",
        " a",
        "...",
        ".hidden/..x",
        "a+b/%2e%2e/%",
        "a?b=c&d#e",
        "~",
        "*",
        "\"quoted'",
        "<a>&amp;",
        "A/B",
        "\u00e9",
        "e\u0301",  # the same to a reader, another key
        "\uff21/\U0001f600",  # in UTF-16 these sort the other way round
        "文" * 80,
        "/".join(["k" * 200] * 5),  # 1,004 bytes, and with the prefix on OSS no more than it takes
    ]
)
KEYS = st.one_of(PLAIN, PLAIN, ODD)
BODIES = st.one_of(st.sampled_from([b"", b"{}"]), st.binary(max_size=6))
TYPES = st.sampled_from(["application/json", "text/html; charset=utf-8", "application/octet-stream"])


@dataclass
class Written:
    body: bytes
    content_type: str
    etag: str


class StoreUse(RuleBasedStateMachine):
    """One user of an empty store; ``nested``: a key may lie under another."""

    written = Bundle("written")

    def __init__(self, store: ObjectStore, *, nested: bool) -> None:
        super().__init__()
        self.store = store
        self.nested = nested
        self.model: dict[str, Written] = {}

    @rule(target=written, key=KEYS, body=BODIES, content_type=TYPES)
    def put(self, key: str, body: bytes, content_type: str) -> object:
        if self._refused(key, lambda: self.store.put(key, body, content_type)):
            return multiple()
        self.store.put(key, body, content_type)
        self._note(key, body, content_type)
        return key

    @rule(key=written, body=BODIES, content_type=TYPES)
    def put_again(self, key: str, body: bytes, content_type: str) -> None:
        self.put(key, body, content_type)

    @rule(target=written, key=KEYS, body=BODIES, content_type=TYPES)
    def create(self, key: str, body: bytes, content_type: str) -> object:
        if self._refused(key, lambda: self.store.create(key, body, content_type)):
            return multiple()
        present = self.model.get(key)
        assert self.store.create(key, body, content_type) is (present is None or present.body == body)
        if present is None:
            self._note(key, body, content_type)
        return key

    @rule(key=written, body=BODIES, content_type=TYPES)
    def create_again(self, key: str, body: bytes, content_type: str) -> None:
        self.create(key, body, content_type)

    @rule(key=st.one_of(written, KEYS))
    def get(self, key: str) -> None:
        if key in self.model:
            assert self.store.get(key) == self.model[key].body
        else:
            with pytest.raises(ObjectNotFound):
                self.store.get(key)

    @rule(key=st.one_of(written, KEYS))
    def head(self, key: str) -> None:
        found, expected = self.store.head(key), self.model.get(key)
        if expected is None:
            assert found is None
        else:
            assert found is not None
            assert (found.key, found.size) == (key, len(expected.body))
            assert (found.content_type, found.etag) == (expected.content_type, expected.etag)
            assert 0 <= found.age < 3600

    @rule(key=st.one_of(written, KEYS))
    def delete(self, key: str) -> None:
        self.store.delete(key)
        self.model.pop(key, None)

    @rule(key=st.one_of(written, KEYS), size=st.integers(0, 12), after=st.one_of(st.just(""), written, KEYS))
    def list(self, key: str, size: int, after: str) -> None:
        prefix = key[:size]
        assert [*self.store.list(prefix, after)] == self._expected(prefix, after)

    @rule(number=st.integers(0, 3))
    def delete_what_was_listed_and_list_on(self, number: int) -> None:
        """As a sweep does: what it has not come to yet is still found, and no more than was there."""
        expected = self._expected()
        listing = self.store.list("")
        for key in islice(listing, number):
            self.delete(key)
        assert [*listing] == expected[number:]

    def teardown(self) -> None:
        assert [*self.store.list("")] == self._expected()

    def _expected(self, prefix: str = "", after: str = "") -> list[str]:
        found = (key for key in self.model if key.startswith(prefix) and key.encode() > after.encode())
        return sorted(found, key=str.encode)

    def _refused(self, key: str, write: Callable[[], object]) -> bool:
        """Say whether the store cannot hold this key beside the others; it must then say so and change nothing."""
        beside = self.model.keys() - {key}
        if self.nested or not any(f"{one}/".startswith(f"{key}/") or key.startswith(f"{one}/") for one in beside):
            return False
        with pytest.raises(PermanentError):
            write()
        return True

    def _note(self, key: str, body: bytes, content_type: str) -> None:
        info, before = self.store.head(key), self.model.get(key)
        assert info is not None
        assert info.etag
        assert before is None or before.body == body or before.etag != info.etag
        self.model[key] = Written(body, content_type, info.etag)


def use(kind: str, make: Callable[[str], ObjectStore], *, nested: bool = True) -> None:
    """Use many stores of a kind, each made under a name of its own."""
    names = count()
    run_state_machine_as_test(
        lambda: StoreUse(make(str(next(names))), nested=nested),
        settings=settings(
            max_examples=(SOAKING if SOAK else EXAMPLES)[kind],
            stateful_step_count=50 if SOAK else 25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_store_in_memory() -> None:
    use("memory", lambda _name: MemoryStore(time.time))


def test_the_retrying_store() -> None:
    use("retrying", lambda _name: RetryingStore(MemoryStore(time.time, BadLine())))


def test_the_directory_store(tmp_path: Path) -> None:
    use("directory", lambda name: DirectoryStore(tmp_path / name), nested=False)


@pytest.mark.skipif(not SOAK, reason="it makes thousands of HTTP requests; make soak runs it")
def test_the_oss_store(oss: OssStandIn) -> None:
    """Its stand-in keeps files, so that what lies under another key is refused; OSS itself would take it."""
    use("oss", lambda name: OssStore(BUCKET, f"u/{name}", REGION, oss.url, lambda: ROLE, limits=QUICK), nested=False)
