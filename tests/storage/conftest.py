"""One store of each kind, and the local OSS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud.accounts import ROLE
from local.cloud.oss import BUCKET, REGION, OssStandIn
from shared.storage import ObjectStore
from shared.storage.directory import DirectoryStore
from shared.storage.oss import Limits, OssStore

QUICK = Limits(connect=5, read=5, total=20, backoff=0.01)


@pytest.fixture
def oss(tmp_path: Path) -> Iterator[OssStandIn]:
    with OssStandIn(tmp_path / "oss") as running:
        yield running


@pytest.fixture
def oss_store(oss: OssStandIn) -> OssStore:
    return OssStore(BUCKET, "some/prefix", REGION, oss.url, lambda: ROLE, limits=QUICK)


@pytest.fixture(params=["directory", "oss"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "objects")
    store: OssStore = request.getfixturevalue("oss_store")
    return store
