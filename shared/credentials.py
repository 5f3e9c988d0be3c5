"""Credentials of one invocation. They rotate, so they are read each time and kept nowhere else."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.errors import BadSettings
from shared.logs import log

# How MPS, OSS and Function Compute say that an STS token has ended.
_ENDED = {"InvalidSecurityToken.Expired", "SecurityTokenExpired", "ExpiredSecurityToken"}
_ANSWERED = 1.0  # seconds after which the answer to an invocation has left the instance


def is_stranded(code: object, context: object) -> bool:
    """Return whether no later call of this instance can succeed: its token has ended and nothing brings another.

    Args:
        code: the error code of a service that refused a call.
        context: the invocation's context, None outside Function Compute. Where it has credentials, the next invocation
            brings fresh ones.
    """
    given = getattr(context, "credentials", None)  # empty ones where disableInjectCredentials is Request
    return code in _ENDED and context is not None and not getattr(given, "access_key_id", None)


def end_if_stranded(
    error: BaseException, context: object, leave: Callable[[int], object] = os._exit, after: float = _ANSWERED
) -> None:
    """End a stranded instance once its answer has left, so that the platform starts one with a token that lives.

    An instance that is frozen before that ends as soon as it is thawed, when the platform tries the event again.

    Args:
        error: what the invocation failed with.
        context: as for ``is_stranded``.
        leave: ends the process with a status, whatever its threads do.
        after: seconds.
    """
    if not is_stranded(getattr(error, "fields", {}).get("code"), context):
        return
    message = "the STS token in this instance's environment has ended, and nothing brings another: it ends itself"
    log("instance.stranded", level=logging.ERROR, message=message)
    timer = threading.Timer(after, leave, (1,))
    timer.daemon = True
    timer.start()


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """An access key; ``security_token`` is empty for a long-lived one."""

    access_key_id: str
    access_key_secret: str
    security_token: str = ""

    def __repr__(self) -> str:
        return "Credentials(redacted)"

    @classmethod
    def from_env_or_context(cls, env: Mapping[str, str], context: object = None) -> Credentials:
        """Read the credentials of the function's role; ``BadSettings`` if there is no complete key.

        Args:
            env: filled once, when the instance starts: its token ends while a warm instance lives on. It is all that
                python3.12 on Function Compute has.
            context: the invocation's context; up to python3.10 it has ``credentials``, fresh at each call, so these
                come first.
        """
        names = ("access_key_id", "access_key_secret", "security_token")
        given = getattr(context, "credentials", None)
        for found in (
            cls(*(getattr(given, name, None) or "" for name in names)),
            cls(*(env.get(f"ALIBABA_CLOUD_{name.upper()}", "").strip() for name in names)),
        ):
            if found.access_key_id and found.access_key_secret:
                return found
        raise BadSettings(
            "no credentials: give the function a role, or set ALIBABA_CLOUD_ACCESS_KEY_ID and "
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET (and ALIBABA_CLOUD_SECURITY_TOKEN for an STS key)",
            settings=["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"],
        )
