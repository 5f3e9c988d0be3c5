"""What can be seen to be wrong before anything is deployed, without asking any service."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from local.packaging.package import ROOT, RUNTIMES
from shared.errors import BadSettings
from shared.settings import Settings

# Where MPS has smart tagging (its documentation); docs/deploy.md has the table.
REGIONS = ("cn-beijing", "cn-hangzhou", "cn-shanghai")
_ENVIRONMENT = 4096  # bytes that Function Compute gives to the environment of a function
_CLI = (3, 1)  # of Serverless Devs


class Verdict(str, Enum):
    """What was found."""

    OK = "ok"
    NOTE = "note"  # works, and somebody should know
    FAULT = "fault"  # does not work until somebody does what the text says


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found: at what, and what it says to a person."""

    about: str
    verdict: Verdict
    text: str


def preflight(env: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the settings as template.yml takes them from ``env``."""
    yield from _settings(env)
    yield from _regions(env)
    runtime = env.get("RELAY_PYTHON") or RUNTIMES[0]
    if runtime not in RUNTIMES:
        yield _fault("python", f"RELAY_PYTHON is {runtime}; Function Compute runs this on {' or '.join(RUNTIMES)}")
    size = sum(len(f"{name}{env.get(name, '')}".encode()) for name in setting_names())
    if size > _ENVIRONMENT:
        yield _fault(
            "settings", f"they take {size} bytes, a function's environment holds {_ENVIRONMENT}: use fewer API_TOKENS"
        )


def setting_names() -> list[str]:
    """Return the names that template.yml hands to the functions."""
    text = (ROOT / "template.yml").read_text(encoding="utf-8")
    return re.findall(r"^    ([A-Z][A-Z0-9_]*): \$\{env\('\1'", text, re.MULTILINE)


def serverless_devs(path: str | None = None) -> Finding:
    """Look at the command line that deploys; ``path`` is where programs are looked for, the PATH if None."""
    install = "npm install -g @serverless-devs/s"
    program = shutil.which("s", path=path)
    if program is None:
        return _fault("s", f"the Serverless Devs CLI is not on the PATH: {install}")
    try:  # another program of that name may wait for input
        done = subprocess.run([program, "-v"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        said = done.stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    found = re.search(r"@serverless-devs/s: (\d+)\.(\d+)\.\d+", said)
    if found is None or (int(found[1]), int(found[2])) < _CLI:
        return _fault("s", f"{program} is no Serverless Devs CLI of 3.1 or newer ({said.strip()[:60]!a}): {install}")
    return Finding("s", Verdict.OK, found[0])


def _fault(about: str, text: str) -> Finding:
    return Finding(about, Verdict.FAULT, text)


def _settings(env: Mapping[str, str]) -> Iterator[Finding]:
    region = env.get("FC_REGION") or env.get("REGION") or "cn-shanghai"
    try:
        read = Settings.from_env({**env, "FC_REGION": region, "FC_FUNCTION_NAME": "smarttag-callback"})
    except BadSettings as error:
        faults = error.fields["settings"]
        yield from (_fault("settings", fault) for fault in (faults if isinstance(faults, list) else [error.message]))
        return
    yield Finding("settings", Verdict.OK, "all of them are well-formed")
    yield from (_fault("settings", doubt) for doubt in read.doubts)
    if read.api_auth == "token" and not read.api_tokens:
        text = "API_TOKENS is empty: the HTTP API answers everybody 401; smarttag token new makes one"
        yield Finding("settings", Verdict.NOTE, text)


def _regions(env: Mapping[str, str]) -> Iterator[Finding]:
    region = env.get("FC_REGION") or env.get("REGION") or "cn-shanghai"
    named = env.get("MPS_REGION", "").strip()  # as the settings read it
    mps = named or region
    if mps not in REGIONS:
        name = "MPS_REGION" if named else "REGION"
        yield _fault("region", f"{name} is {mps}, where MPS has no smart tagging; it has in {', '.join(REGIONS)}")
    elif mps != region:
        yield _fault(
            "region",
            f"REGION is {region}, MPS_REGION is {mps}: MPS notifies topics of its own region only, and those trigger "
            f"functions of theirs only; set REGION={mps}",
        )
