"""The local cloud with both functions in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import recorded
from local.cloud.world import World, world


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    jobs = {job.job_id: job.response for job in recorded.jobs().values()}
    with world(tmp_path_factory.mktemp("cloud"), jobs) as running:
        yield running
