"""Responses outside of a store, as people keep them: what their job is called, and errors that speak of them."""

from __future__ import annotations

from pathlib import Path

from shared.errors import BadResponse
from shared.jobs import RESPONSE

_BY_MPS = "MPS answered"  # how every BadResponse of the core begins


def job_id_of(path: Path) -> str:
    """Return what stands for the job ID: a file's name, or in ``jobs/<jobId>/response.json`` the folder's."""
    name = path.absolute().parent.name if path.name == RESPONSE else path.stem
    if name in {"", ".", ".."}:  # the stem of ...json leads out of a folder
        name = "response"
    return name.encode("utf-8", "replace").decode()


def fault(error: BadResponse, what: str = "the file") -> str:
    """Return what is wrong with a response that ``what`` holds; nobody has just asked MPS."""
    return f"{what} holds{error.message.removeprefix(_BY_MPS)}" if error.message.startswith(_BY_MPS) else error.message
