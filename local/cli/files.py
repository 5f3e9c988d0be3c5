"""Writes files below the folder that a person named, and nowhere else, whatever names and links are met there."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from shared.errors import BadInput


def write_below(root: Path, name: str, body: bytes) -> None:
    """Write a file whole or not at all; the folder of it, if ``name`` has one, is made.

    Args:
        root: the folder that was asked for; it may be a link, what lies in it may not: a link to a folder is refused,
            one in the place of the file is replaced.
        name: ``file`` or ``folder/file``.
        body: what it shall hold.

    Raises:
        BadInput: ``name`` leads out of ``root``.
        OSError: it cannot be written.
    """
    *folders, file = parts = name.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        raise BadInput(f"{name[:200]!a} is no name of a file below {root}; rename the response")
    root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        at = _opened(stack, root)
        for folder in folders:
            at = _entered(stack, at, folder)
        unfinished = f".{os.getpid()}.unfinished"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(unfinished, flags, 0o666, dir_fd=at), "wb") as written:
            try:
                written.write(body)
                written.flush()
                os.rename(unfinished, file, src_dir_fd=at, dst_dir_fd=at)
            except OSError:
                os.unlink(unfinished, dir_fd=at)
                raise


def must_be_writable(folder: Path) -> None:
    """Make a folder that ``--output`` names, with those above it.

    Raises:
        BadInput: it cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BadInput(f"--output {folder}: {error.strerror}; name a folder that can be written to") from error


def _entered(stack: ExitStack, at: int, folder: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(folder, dir_fd=at)
    try:
        return _opened(stack, folder, os.O_NOFOLLOW, at)
    except OSError as error:
        raise BadInput(f"{folder[:200]!a} below the folder of -o is no folder, or a link to one; remove it") from error


def _opened(stack: ExitStack, folder: str | Path, flags: int = 0, at: int | None = None) -> int:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | flags, dir_fd=at)
    stack.callback(os.close, opened)
    return opened
