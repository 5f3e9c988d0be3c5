"""Objects as plain files in a directory of this machine, so that a person can open them from there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

from shared.errors import AccessRefused, BadInput, BadSettings, ObjectNotFound, Unavailable
from shared.storage.base import ObjectInfo, check_key

_HIDDEN = ".store"  # temporary files and content types; no object
_TRIES = 20  # of a write whose directory other processes empty and remove again and again
_STALE = 86400.0  # seconds after which a temporary file belongs to a dead process

# What a file's name says already is not written down beside it.
_BY_SUFFIX = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".srt": "application/x-subrip; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".vtt": "text/vtt; charset=utf-8",
}


class DirectoryStore:
    """An ``ObjectStore`` whose object ``key`` is the file ``root/key``.

    An object appears by link(2) or rename(2) of a finished, synced file: a process killed anywhere leaves whole
    objects only, and of many processes that create one key exactly one wins. A content type that the name does not
    tell lies in a hidden file named for the inode and time of the very file it describes; it is written before that
    file appears, and can describe no other.

    Unlike on OSS, no key can lie under another (``a`` and ``a/b``).
    """

    def __init__(self, root: Path, setting: str = "OUTPUT_URL") -> None:
        """Take ``root``, made at the first write; errors name ``setting`` as the place to correct it."""
        self._root = root
        self._scratch = root / _HIDDEN / "tmp"
        self._types = root / _HIDDEN / "types"
        self._setting = setting
        self._ready = False

    def create(self, key: str, body: bytes, content_type: str = "application/json") -> bool:
        """See ``ObjectStore.create``."""
        for _ in range(_TRIES):
            if self.create_new(key, body, content_type):
                return True
            with contextlib.suppress(ObjectNotFound):  # deleted since
                return self.get(key) == body
        raise _elusive(key)

    def create_new(self, key: str, body: bytes, content_type: str = "application/json") -> bool:
        """Write the object only if the key is free; False if it holds anything at all, these very bytes included."""
        return self._write(key, body, content_type, os.link)

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        """See ``ObjectStore.put``."""
        before = self._stat(key)
        self._write(key, body, content_type, os.replace)
        if before:
            self._type_file(before).unlink(missing_ok=True)

    def get(self, key: str) -> bytes:
        """See ``ObjectStore.get``."""
        with self._explained(key):
            try:
                return self._path(key).read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise ObjectNotFound(f"there is no {key} in {self._root}", key=key) from None

    def head(self, key: str) -> ObjectInfo | None:
        """See ``ObjectStore.head``. The etag changes with every write, even of the same bytes."""
        found = self._stat(key)
        if found is None:
            return None
        type_file = self._type_file(found)
        content_type = _told_by_name(key)
        with self._explained(key), contextlib.suppress(FileNotFoundError):
            content_type = type_file.read_text("utf-8")
        return ObjectInfo(key, found.st_size, type_file.name, content_type, max(0.0, time.time() - found.st_mtime))

    def list(self, prefix: str, start_after: str = "") -> Iterator[str]:
        """See ``ObjectStore.list``. Opens one directory at a time, only such as can hold these keys, and no file."""
        folder = prefix.rpartition("/")[0]
        if folder:
            self._path(folder)
        return self._walk(f"{folder}/" if folder else "", prefix, start_after)

    def children(self, folder: str, start_after: str = "") -> Iterator[str]:
        """See ``ObjectStore.children``."""
        self._path(folder.rstrip("/"))
        return (key for key in self._entries(folder) if key > start_after)

    def delete(self, key: str) -> None:
        """See ``ObjectStore.delete``. Emptied directories go too: they are no objects, and listing would visit them."""
        found = self._stat(key)
        if found is None:
            return
        path = self._path(key)
        with self._explained(key):
            path.unlink(missing_ok=True)
            self._type_file(found).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                _sync_directory(path.parent)
        with contextlib.suppress(OSError):  # not empty
            for folder in path.parents[: key.count("/")]:
                folder.rmdir()

    def _path(self, key: str) -> Path:
        if check_key(key).partition("/")[0] == _HIDDEN:
            raise BadInput(f"keys under {_HIDDEN}/ are the directory store's own", key=key)
        return self._root / key

    def _stat(self, key: str) -> os.stat_result | None:
        with self._explained(key), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = self._path(key).stat()
            return found if stat.S_ISREG(found.st_mode) else None
        return None

    def _type_file(self, found: os.stat_result) -> Path:
        return self._types / f"{found.st_ino:x}-{found.st_mtime_ns:x}"

    def _write(self, key: str, body: bytes, content_type: str, publish: Callable[[Path, Path], None]) -> bool:
        path = self._path(key)
        with self._explained(key):
            self._prepare()
            finished = self._scratch / uuid.uuid4().hex
            try:
                _write_synced(finished, body)
                type_file = self._type_file(finished.stat())
                if content_type != _told_by_name(key):
                    _write_synced(type_file, content_type.encode())
                    _sync_directory(self._types)
                for _ in range(_TRIES):
                    with contextlib.suppress(FileNotFoundError):  # another process has just removed the emptied folder
                        _make_folders(path.parent, key.count("/"))
                        try:
                            publish(finished, path)
                        except FileExistsError:
                            if path.is_dir():
                                raise
                            type_file.unlink(missing_ok=True)
                            return False
                        with contextlib.suppress(FileNotFoundError):  # it came, and is gone again
                            _sync_directory(path.parent)
                        return True
            finally:
                finished.unlink(missing_ok=True)
        raise _elusive(key)

    def _prepare(self) -> None:
        """Make the hidden folders, and remove what processes killed long ago left there."""
        if self._ready and self._scratch.is_dir():
            return
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._types.mkdir(exist_ok=True)
        for leftover in self._scratch.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime > _STALE:
                    leftover.unlink()
        self._ready = True

    def _entries(self, folder: str) -> Iterator[str]:
        names: list[str] = []
        gone = contextlib.suppress(FileNotFoundError, NotADirectoryError)
        with self._explained(folder), gone, os.scandir(self._root / folder) as entries:
            names = sorted(filter(None, map(_as_in_key, entries)))
        for name in names:
            key = folder + name
            if key != f"{_HIDDEN}/" and key.isprintable():
                yield key

    def _walk(self, folder: str, prefix: str, start_after: str) -> Iterator[str]:
        for key in self._entries(folder):
            if not key.startswith(prefix[: len(key)]):
                continue
            if key.endswith("/"):
                if key > start_after or start_after.startswith(key):
                    yield from self._walk(key, prefix, start_after)
            elif key > start_after and key.startswith(prefix):
                yield key

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
                raise AccessRefused(
                    f"{key}: {reason} in {self._root}; make the directory writable, or correct {self._setting}", key=key
                ) from error
            if self._root.exists() and not self._root.is_dir():
                raise BadSettings(
                    f"{self._root} is no directory; correct {self._setting}", setting=self._setting
                ) from error
            if error.errno in {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST}:
                raise BadInput(f"{key} cannot be a file in {self._root}: {reason}", key=key) from error
            raise Unavailable(f"{key}: {reason} in {self._root} ({self._setting}); try again", key=key) from error


def _told_by_name(key: str) -> str:
    return _BY_SUFFIX.get(PurePath(key).suffix, "application/octet-stream")


def _elusive(key: str) -> Unavailable:
    return Unavailable(f"{key} keeps coming and going under other processes' hands; try again", key=key)


def _as_in_key(entry: os.DirEntry[str]) -> str:
    """Return the name as it stands in a key, empty for what is neither file nor folder.

    With its slash, ``a/b`` sorts behind ``a-b``, as it must. Code points sort as UTF-8 bytes do.
    """
    if entry.is_dir(follow_symlinks=False):
        return f"{entry.name}/"
    return entry.name if entry.is_file() else ""


def _make_folders(folder: Path, depth: int) -> None:
    if not folder.is_dir():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            if (found := Path(error.filename)).is_file() or found.is_symlink():
                raise
            # pathlib saw it come and looked again when it was gone: the caller's next try makes it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), error.filename) from error
        for parent in folder.parents[:depth]:
            _sync_directory(parent)


def _write_synced(path: Path, body: bytes) -> None:
    with path.open("xb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
