"""
The hidden folder where one writer of the sink `files` keeps what is not finished, and the step by
which a file becomes a finished one.

It is on the file system of the finished files, because a rename within one is atomic. Everything
is opened below folders that are held open, without following symbolic links, so that nothing that
changes on the way leads elsewhere.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from errno import EACCES
from pathlib import Path

from trackmate_consume.sink import Down, Unfit
from trackmate_consume.sinks.file_names import Writer

HIDDEN = ".trackmate"
PATH = "spec.sink.files.path"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = 1 << 20  # bytes at once


class Spool:
    """
    Open, and locked, until closed. Raises Unfit, Down where another process has it, and OSError.
    """

    def __init__(self, path: Path, writer: Writer) -> None:
        self.path = path
        self.writer = writer
        self._own_path = path / HIDDEN / writer.folder
        with ExitStack() as held:
            self._out = _held(held, _made(path))
            self._hidden = _held(held, self._below(self._out, HIDDEN))
            if os.fstat(self._out).st_dev != os.fstat(self._hidden).st_dev:
                raise Unfit(PATH, f"{_words(path)} is another file system; take it away")
            self._own = _held(held, self._below(self._hidden, writer.folder))
            self._lock(_held(held, self.open("lock", os.O_CREAT)))
            if not os.access(path, os.W_OK | os.X_OK):
                raise PermissionError(EACCES, os.strerror(EACCES))
            self._held = held.pop_all()

    def close(self) -> None:
        self._held.close()

    @property
    def there(self) -> bool:
        """Whether it still has its place: nobody removed or moved it."""
        try:
            found = self._own_path.lstat()
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._own))

    def names(self, suffix: str) -> list[str]:
        """Of its files with this ending, without it."""
        found = _listed(self._own)
        return [name.removesuffix(suffix) for name in found if name.endswith(suffix)]

    def before(self) -> list[Writer]:
        """This writer on other logs, where one left something."""
        found = map(self.writer.same_but_log, _listed(self._hidden))
        return [writer for writer in found if writer]

    def open(self, name: str, flags: int = 0) -> int:
        """A descriptor for reading and writing. Whoever may look into the folder may read it."""
        return os.open(name, _FILE | flags, 0o640, dir_fd=self._own)

    def size(self, name: str) -> int | None:
        """None where it is not there."""
        try:
            return os.stat(name, dir_fd=self._own, follow_symlinks=False).st_size
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes | None:
        """None where it is not there."""
        try:
            file = self.open(name)
        except FileNotFoundError:
            return None
        try:
            return b"".join(iter(lambda: os.read(file, _READ), b""))
        finally:
            os.close(file)

    def replace(self, name: str, content: bytes) -> int:
        """Put a file with this content there, whole; return its descriptor."""
        draft = f"{name}.new"
        file = self.open(draft, os.O_CREAT | os.O_TRUNC)
        try:
            write_at(file, content, 0)
            sync(file)
            os.rename(draft, name, src_dir_fd=self._own, dst_dir_fd=self._own)
            self.sync()
        except BaseException:
            os.close(file)
            raise
        return file

    def publish(self, name: str, names: Iterator[str]) -> None:
        """
        Let the file appear under the first of the names that is free; safe to repeat. Nobody else
        makes files of these names while the lock is held, so that none is overwritten.
        """
        if self.size(name) is not None:
            free = next(one for one in names if not self._taken(one))
            os.rename(name, free, src_dir_fd=self._own, dst_dir_fd=self._out)
        sync(self._out)
        self.sync()

    def sync(self) -> None:
        """Make safe which files there are."""
        sync(self._own)

    def _taken(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._out, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _below(self, folder: int, name: str) -> int:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
            sync(folder)
        try:
            return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        except NotADirectoryError:
            what = "is no folder, and Trackmate needs one there; take it away"
            raise Unfit(PATH, f"{_words(self.path)} {what}") from None

    def _lock(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Down(
                f"another process writes the files of {self.writer.pipeline!r} in "
                f"{str(self.path)!r}; stop one of the two"
            ) from None


def write_at(file: int, content: bytes, at: int) -> None:
    """Write all of it there."""
    left = memoryview(content)
    while left:
        count = os.pwrite(file, left, at)
        left, at = left[count:], at + count


def sync(file: int) -> None:
    """Return once the disk has it. On macOS fsync alone stops at the drive's cache (fsync(2))."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(file)
    else:
        fcntl.fcntl(file, full)


def _made(path: Path) -> int:
    """The folder, made where it is missing: for the owner, and the group to read."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(0o750, parents=True, exist_ok=True)
    for one in missing:
        parent = os.open(one.parent, _FOLDER)
        try:
            sync(parent)
        finally:
            os.close(parent)
    return os.open(path, _FOLDER)


def _listed(folder: int) -> list[str]:
    with os.scandir(folder) as found:
        return sorted([entry.name for entry in found])


def _held(stack: ExitStack, file: int) -> int:
    stack.callback(os.close, file)
    return file


def _words(path: Path) -> str:
    return f"{HIDDEN!r} in {str(path)!r}"
