"""The environment of a command, as far as it can be what the functions have."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from shared import logs
from shared.relay import Relay, relay


def as_deployed(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with what the functions get from elsewhere.

    ``FC_REGION`` is the platform's, made of ``REGION`` in template.yml. OSS is reached over its public address where
    ``OSS_ENDPOINT`` names no other: the functions' own default, ``-internal``, is out of reach outside Alibaba Cloud.
    """
    found = dict(env)
    if region := env.get("FC_REGION") or env.get("REGION"):
        found["FC_REGION"] = region
    if not env.get("OSS_ENDPOINT"):
        where = env.get("OSS_REGION") or region or env.get("MPS_REGION") or "cn-shanghai"
        found["OSS_ENDPOINT"] = f"https://oss-{where}.aliyuncs.com"
    return found


def wired() -> Relay:
    """Return what the functions work with, for a command: what it logs goes to standard error, out of its answer."""
    at_hand = relay(as_deployed(os.environ))
    logs.set_up("WARNING", sys.stderr)
    return at_hand
