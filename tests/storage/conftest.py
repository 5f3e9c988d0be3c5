"""One store of each kind, the fake of other tests among them, and the local OSS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud.accounts import ROLE
from local.cloud.oss import BUCKET, REGION, OssStandIn
from shared.errors import Unavailable
from shared.retrying import Limits
from shared.storage import ObjectStore
from shared.storage.directory import DirectoryStore
from shared.storage.oss import OssStore
from shared.storage.retrying import RetryingStore
from tests.fakes.memory_store import MemoryStore
from tests.storage.sdk_store import SdkStore, sdk_client

QUICK = Limits(connect=5, read=5, total=20, backoff=0.01)


@pytest.fixture
def oss(tmp_path: Path) -> Iterator[OssStandIn]:
    with OssStandIn(tmp_path / "oss") as running:
        yield running


@pytest.fixture
def oss_store(oss: OssStandIn) -> OssStore:
    return OssStore(BUCKET, "some/prefix", REGION, oss.url, lambda: ROLE, limits=QUICK)


@pytest.fixture(params=["memory", "retrying", "directory", "oss", "sdk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Each kind of store; the official SDK's is here to show that the suite asks nothing else of OSS than OSS does."""
    if request.param == "memory":
        return MemoryStore(time.time)
    if request.param == "retrying":
        return RetryingStore(MemoryStore(time.time, BadLine()))
    if request.param == "directory":
        return DirectoryStore(tmp_path / "objects")
    if request.param == "oss":
        store: OssStore = request.getfixturevalue("oss_store")
        return store
    oss: OssStandIn = request.getfixturevalue("oss")
    return SdkStore(sdk_client(oss.url, REGION, ROLE), BUCKET, "some/prefix")


class BadLine(threading.local):
    """A gate that loses, for each thread, one request and then one answer before it lets a call through.

    Only of what is repeated: a list and a deletion are not.
    """

    calls = 0

    def __call__(self, what: str, _key: str, when: str) -> None:
        if what in {"list", "delete"}:
            return
        self.calls += when == "before"
        if (self.calls % 3, when) in {(1, "before"), (2, "after")}:
            raise Unavailable(f"{what}: lost {when} it took effect")
