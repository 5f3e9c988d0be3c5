"""Imports point downwards, and importing an entry point loads no SDK and touches nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SDKS = {"aliyunsdkcore", "alibabacloud_oss_v2", "fc2", "urllib3", "requests", "cryptography", "jinja2", "jmespath"}


def test_imports_point_downwards() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["functions.mns_callback", "functions.http_api"])
def test_an_entry_point_imports_no_sdk_and_reads_no_environment(module: str) -> None:
    code = (
        "import os, sys\n"
        "class Watched(dict):\n"
        "    def __getitem__(self, key): raise SystemExit(f'environment read: {key}')\n"
        "    get = __getitem__\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "real, os.environ = os.environ, Watched()\n"
        f"import {module}\n"
        "os.environ = real\n"
        "print(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(done.stdout.split()) & SDKS == set()
