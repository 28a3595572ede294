"""What a malformed input is, as data: files put over a small good world, a command, some words.

The world, which every command starts in:

- ``triples``: a folder of three splits; ``own.toml``: a recipe that trains on it; ``run``: what it
  trained.
- ``cards/toy.toml``: a card, whose files are in ``data/toy``; ``labelled.toml``: one whose valid
  and test lines are labelled; ``evaluated``: a run on it, with reports and a calibration.
- ``DANS_DATASETS`` is ``data``; ``DANS_CACHE`` is ``cache``, which is not there.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

#: What stands in place of a file: its text or bytes, or None for no file at all.
Content = str | bytes | None


class Case:
    """One mistake.

    Args:
        name: what is wrong, in a few words; the id of the test.
        command: a script and its arguments, as a shell would take them.
        words: what the sentence must say: the file, line or key, and what would be accepted.
        files: by path, what is put over the world.
        change: what else is done to it.
        given: to the script, on standard input.
        warned: lines before the sentence: of progress, or one for each that is skipped while others
            are answered.
    """

    def __init__(
        self,
        name: str,
        command: str,
        *words: str,
        files: Mapping[str, Content] | None = None,
        change: Callable[[Path], object] | None = None,
        given: str = "",
        warned: int = 0,
    ) -> None:
        self.name, self.command, self.words = name, command, words
        self.files, self.change, self.given, self.warned = files or {}, change, given, warned


def put(world: Path, files: Mapping[str, Content]) -> None:
    """Lay some files over a folder."""
    for name, content in files.items():
        path = world / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


#: Stands for a folder in a tree.
FOLDER = b"folder"


def tree(world: Path) -> dict[str, bytes]:
    """Every file below a folder by its bytes, and every folder."""
    return {
        path.relative_to(world).as_posix(): path.read_bytes() if path.is_file() else FOLDER
        for path in sorted(world.rglob("*"))
    }


#: What changes when a file does: kind, size, time and place.
Mark = tuple[int, ...]


def marks(folder: str, before: str = "") -> dict[str, Mark]:
    """Every file and folder below a folder by its mark, which is read faster than its bytes."""
    found: dict[str, Mark] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{before}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                found[name] = ()
                found |= marks(entry.path, f"{name}/")
            else:
                one = entry.stat(follow_symlinks=False)
                found[name] = (one.st_mode, one.st_size, one.st_mtime_ns, one.st_ino)
    return found


class World:
    """A folder as it should be, which can be spoilt, and made good again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content, self.marks = tree(path), marks(str(path))

    def restore(self, now: Mapping[str, Mark]) -> None:
        """Make it hold again what it held; ``now`` is what it holds."""
        changed = {
            name for name in now.keys() | self.marks.keys() if now.get(name) != self.marks.get(name)
        }
        for name in sorted(changed & now.keys(), reverse=True):
            path = self.path / name
            path.unlink() if now[name] else path.rmdir()
        for name in sorted(changed & self.marks.keys()):
            path = self.path / name
            if self.content[name] == FOLDER:
                path.mkdir()
                continue
            path.write_bytes(self.content[name])
            one = path.stat()
            self.marks[name] = (one.st_mode, one.st_size, one.st_mtime_ns, one.st_ino)
