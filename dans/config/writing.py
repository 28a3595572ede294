"""Files and folders that are whole or not there.

Each is written beside its target, and renamed. What killed processes left of such writing is swept.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO

from dans.errors import InputError

#: How the name of a file ends that is being written; before it stands the number of the process.
PART = ".part"

#: What goes into a file: bytes, or a function that writes them.
Content = bytes | Callable[[BinaryIO], object]


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Where the block writes a file or a folder before it renames it; else nothing is left."""
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    # Never written into: one left here may be a second name of a file that is kept.
    remove(part)
    try:
        yield part
    finally:
        remove(part)


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A new file to write in the block, which then has its name; after an error nothing is left."""
    with beside(path) as part:
        with part.open("wb") as file:
            yield file
        part.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write in the block, which then has its name, in place of an empty one.

    After an error nothing is left; an ``OSError`` names the file as it would be called.
    """
    with beside(path) as part:
        try:
            _sweep_beside(path)
            part.mkdir(parents=True)
            yield part
            sync(part)
            part.rename(path)
        except OSError as error:
            of = Path(str(error.filename or part))
            if not of.is_relative_to(part):
                raise
            raise _named(error, path / of.relative_to(part)) from error
    sync(path.parent)


def write_atomically(path: Path, content: Content, *, former: Path | None = None) -> None:
    """Replace a file by new content so that no reader ever sees half of it.

    The content before, if any, goes to ``former``. Then ``path`` exists at any instant, except
    where the file system has no hard links: a kill between two renames leaves ``former`` alone.

    Raises:
        OSError: the disk is full, say; the target is as it was, and the error names it.
    """
    with _replacing(path, former) as part, written(part) as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            content(file)


def link_atomically(path: Path, other: Path, *, former: Path | None = None) -> None:
    """Replace a file by a second name of another one, or by a copy where there are no hard links.

    The content before goes to ``former``, as by `write_atomically`.
    """
    with _replacing(path, former) as part:
        try:
            os.link(other, part)
        except OSError:
            shutil.copyfile(other, part)
            sync(part)


@contextmanager
def _replacing(path: Path, former: Path | None) -> Iterator[Path]:
    """The name of a file to write in the block, which then takes the place of its target.

    An error in the block leaves the target as it was, and is one of it.
    """
    with naming(path), beside(path) as part:
        _sweep_beside(path)
        yield part
        if former is not None and path.exists():
            _keep(path, former)
        part.replace(path)
        sync(path.parent)


def _keep(path: Path, former: Path) -> None:
    """Give a file's content a second name, in place of what that name had."""
    with beside(former) as link:
        try:
            os.link(path, link)
        except OSError:
            path.replace(former)
        else:
            # Where both names had the content already, the system renames nothing.
            link.replace(former)


def sweep(folder: Path, pattern: str = f"*{PART}", *, alone: bool = False) -> None:
    """Remove what killed processes had begun to write.

    If nobody else writes such files (``alone``), those whose process seems to be alive go too:
    numbers of processes are used again.
    """
    for path in folder.glob(pattern):
        number = path.name.removesuffix(PART).rpartition(".")[2]
        if number.isdecimal() and (alone or not _alive(int(number))):
            remove(path)


def _sweep_beside(path: Path) -> None:
    sweep(path.parent, f"{escape(path.name)}.*{PART}")


def _alive(process: int) -> bool:
    """Is there a process of this number?"""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds, where it is there and may be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    # A read-only folder refuses this even where there is nothing to remove.
    with suppress(OSError):
        path.unlink(missing_ok=True)


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write, as far as the disk; an ``OSError`` names it."""
    with naming(path), path.open("wb") as file:
        yield file
        _flush(file)


def append(path: Path, content: bytes) -> None:
    """Write to the end of a file, as far as the disk; an ``OSError`` names the file."""
    with naming(path), opened_to_append(path) as file:
        file.write(content)
        _flush(file)


def opened_to_append(path: Path) -> BinaryIO:
    """A file, open for writing at its end; a pipe is refused at once."""
    # A named pipe without a reader would keep a plain `open` waiting.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags, 0o666)
    if not stat.S_ISFIFO(os.fstat(handle).st_mode):
        return os.fdopen(handle, "ab")
    os.close(handle)
    raise OSError(errno.EINVAL, "a pipe, not a regular file", str(path))


def check_file(where: str, path: Path) -> None:
    """Refuse a file that is to be written later where a folder is, or its own is not there.

    Args:
        where: what opens the error, such as an option.
        path: the file.
    """
    if path.is_dir():
        raise InputError(f"{where}: {path}: a folder; expected the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"{where}: expected a folder that is there, got {path.parent}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an ``OSError`` of the block the name of the file it is about."""
    try:
        yield
    except OSError as error:
        raise _named(error, path) from error


def _named(error: OSError, path: Path) -> OSError:
    return OSError(error.errno, error.strerror or str(error), str(path))


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
