"""Credentials of one invocation. They rotate, so they are read each time and kept nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import BadSettings

# How MPS, OSS and Function Compute say that an STS token has ended.
_ENDED = {"InvalidSecurityToken.Expired", "SecurityTokenExpired", "ExpiredSecurityToken"}


def is_stranded(code: str, context: object) -> bool:
    """Return whether no later call of this instance can succeed: its token has ended and nothing brings another.

    Args:
        code: the error code of a service that refused a call.
        context: the invocation's context. Where it has credentials, the next invocation brings fresh ones.
    """
    return code in _ENDED and getattr(context, "credentials", None) is None


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
