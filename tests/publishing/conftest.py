"""Makes the helpers beside the tests importable, and builds the system under test."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from system import JOB, System, system

ALLOW = (ipaddress.ip_network("127.0.0.0/8"),)
DOCUMENTED = Path("local/recorded/documented.json").read_bytes()


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[System]:
    """A system whose MPS knows the documented job."""
    with system(tmp_path, {JOB: DOCUMENTED}, allow=ALLOW) as built:
        yield built
