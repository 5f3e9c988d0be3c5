"""The local MPS with one job, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.cloud.accounts import ROLE
from local.cloud.mps import MpsStandIn
from shared.mps.client import MpsClient
from tests.mps.recorded import JOB, RESPONSE


@pytest.fixture
def mps() -> Iterator[MpsStandIn]:
    with MpsStandIn({JOB: RESPONSE}) as running:
        yield running


@pytest.fixture
def client(mps: MpsStandIn) -> MpsClient:
    return MpsClient(mps.url, "cn-shanghai", lambda: ROLE, 1 << 20)
