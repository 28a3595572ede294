"""The files of a data set, downloaded where needed and verified by the digests of its card.

A file is looked for in the cache, then in the folders of ``DANS_DATASETS``, then in an installed
distribution; then it is derived from another data set or downloaded, into the cache.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import logging
import os
import posixpath
import re
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pooch
from tqdm import tqdm

from dans.config.reading import opened, unpacked
from dans.config.writing import sweep, whole, write_atomically
from dans.data.cards import TRANSFORMS, DatasetCard, Download, SplitFile, cards
from dans.data.progress import on_terminal
from dans.data.readers import SPLITS, TABLES, Split, read, split_file
from dans.errors import InputError
from dans.memory import show_bytes

log = logging.getLogger(__name__)

_RETRIES = 2

#: The most bytes of a download whose card does not say how many it has, and of a member of one.
MOST_BYTES = 2**30

#: Seconds in which at least so many bytes must arrive.
SILENCE, LEAST_BYTES = 60.0, 1024

#: Bytes that are read at once, at most.
PIECE = 2**16

#: Seconds between two lines on a download, where there is no terminal for a bar.
EVERY = 10.0


def cache_folder() -> Path:
    """The folder of ``DANS_CACHE``, or the one that the platform has for caches."""
    return Path(os.environ.get("DANS_CACHE") or pooch.os_cache("dans"))


def fetch(card: DatasetCard) -> dict[Split, Path]:
    """Find, derive or download the verified file of each split."""
    found = {split: local(card, split)[0] for split in SPLITS}
    if card.derived and None in found.values():
        parents = fetch(_parent(card))
        for split in SPLITS:
            found[split] = found[split] or _derive(card, split, parents)
    return {split: found[split] or _download(card, split) for split in SPLITS}


def whereabouts(card: DatasetCard) -> str:
    """Where `fetch` would take the files of a data set from, in a few words."""
    if card.archive:
        return "cache" if archive_cache(card).is_file() else str(archive_folder(card) or "download")
    try:
        sources = {local(card, split)[1] for split in SPLITS}
        if "" not in sources:
            return ", ".join(sorted(sources))
        if card.derived:
            return f"derived from {card.derived.parent} ({whereabouts(_parent(card))})"
    except InputError as error:
        return str(error)
    return "download"


def local(card: DatasetCard, split: Split) -> tuple[Path | None, str]:
    """A verified file of one split on this machine and its source in words, or None and ""."""
    file, expected = card.splits[split], _expected(card, split)
    cached = _cached(card, split)
    if cached.is_file() and expected:
        if sha256(cached) == expected:
            return cached, "cache"
        log.warning("%s: has another checksum than its card says; removed", cached)
        cached.unlink()
    for folder in _folders():
        path = split_file(folder / card.name, split, TABLES)
        if path is not None and expected:
            _verify(path, expected, card)
        if path is not None:
            return path, str(folder)
    return _installed(file)


def sha256(path: Path) -> str:
    """The digest of a file's text, uncompressed where its name ends in ``.gz``."""
    try:
        with unpacked(path) as file:
            return _digest(file)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _digest(file: BinaryIO | gzip.GzipFile) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()


def _folders() -> list[Path]:
    named = os.environ.get("DANS_DATASETS", "").split(os.pathsep)
    folders = [Path(name) for name in named if name]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"DANS_DATASETS: {folder}: no such folder")
    return folders


def _verify(path: Path, expected: str, card: DatasetCard) -> None:
    got = sha256(path)
    if got != expected:
        why = f"not the file that {card.path.name} names: its sha256 is {got}, expected {expected}"
        raise InputError(f"{path}: {why}")


def _installed(file: SplitFile) -> tuple[Path | None, str]:
    if file.installed is None:
        return None, ""
    try:
        distribution = importlib.metadata.distribution(file.installed.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None, ""
    path = Path(str(distribution.locate_file(file.installed.file)))
    # Another release may have other files.
    if path.is_file() and sha256(path) == file.sha256:
        return path, f"{file.installed.distribution} {distribution.version}"
    return None, ""


def _cached(card: DatasetCard, split: Split) -> Path:
    return cache_folder() / card.name / f"{split}.tsv"


def _expected(card: DatasetCard, split: Split) -> str | None:
    """The digest of a split's file: that of its card, or that of the first download."""
    return card.splits[split].sha256 or _recorded(_record(_cached(card, split)))


def _record(path: Path) -> Path:
    """Where the digest of a file is written that no card knows."""
    return path.with_name(f"{path.name}.sha256")


def _recorded(path: Path) -> str | None:
    """The digest in such a file, if it is there and holds one."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) else None


def _keep(data: bytes, card: DatasetCard, split: Split, origin: str) -> Path:
    """Verify the text of a split and write it into the cache, whole or not at all."""
    got, expected = hashlib.sha256(data).hexdigest(), _expected(card, split)
    if expected and got != expected:
        raise InputError(f"{card.path}: {split}.sha256 = {expected}, but {origin} gives {got}")
    path = _cached(card, split)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        if not expected:
            write_atomically(_record(path), f"{got}\n".encode())
        write_atomically(path, data)
    except OSError as error:
        why = f"cannot be written: {error.strerror}; DANS_CACHE names another folder"
        raise InputError(f"{path}: {why}") from error
    return path


def _parent(card: DatasetCard) -> DatasetCard:
    """The data set from which another one is made, which is not derived itself."""
    known = cards()
    if card.derived is None or card.derived.parent not in known:
        raise InputError(f"{card.path}: derived.from: no such data set; known: {', '.join(known)}")
    parent = DatasetCard.read(known[card.derived.parent])
    if parent.derived:
        why = f"expected a data set that is not derived itself, got {parent.name}"
        raise InputError(f"{card.path}: derived.from: {why}")
    return parent


def _derive(card: DatasetCard, split: Split, parents: dict[Split, Path]) -> Path:
    """Keep the lines of valid and test whose entities are both in train; train stays as it is."""
    if split == "train":
        _verify(parents[split], card.splits[split].sha256 or "", card)
        return parents[split]
    seen = {name for head, _, tail, _ in read(parents["train"]) for name in (head, tail)}
    lines = (line[:3] for line in read(parents[split]) if line[0] in seen and line[2] in seen)
    data = "".join("\t".join(line) + "\n" for line in lines).encode()
    return _keep(data, card, split, f"the {split} split of {parents[split].parent.name}")


def _download(card: DatasetCard, split: Split) -> Path:
    """The file of a split from the first of its addresses that gives it."""
    failures = []
    new = [path for path in (cache_folder() / "downloads", cache_folder()) if not path.exists()]
    for download in card.splits[split].downloads:
        try:
            return _keep(_content(download), card, split, download.url)
        except (OSError, EOFError, zlib.error, ValueError, KeyError, tarfile.TarError) as error:
            failures.append(f"{download.url} failed ({_reason(error)})")
    for path in new:
        # Only an empty folder can be removed.
        with suppress(OSError):
            path.rmdir()
    tried = "; ".join(failures) or "its card names no address"
    raise InputError(
        f"{card.name}: the {split} split is not on this machine and could not be downloaded:"
        f" {tried}; put it at {card.name}/{split}.tsv in a folder named in DANS_DATASETS"
    )


def archive_cache(card: DatasetCard) -> Path:
    """The file in the cache that holds what was read from the archive of a card."""
    return cache_folder() / card.name / "ogb.safetensors"


def archive_folder(card: DatasetCard) -> Path | None:
    """An unpacked archive in the folders of ``DANS_DATASETS``, under either name OGB gives it."""
    names = (card.name, card.name.replace("-", "_"))
    places = (folder / name for folder in _folders() for name in names)
    return next((place for place in places if (place / "split").is_dir()), None)


def fetch_archive(card: DatasetCard) -> Path:
    """Download the archive of a card into the cache; the caller removes it.

    Where the card has no checksum, that of the first download is recorded, and holds for later
    ones.
    """
    if card.archive is None:
        raise InputError(f"{card.path}: archive: missing")
    folder, url = cache_folder() / "downloads", card.archive.url
    path = folder / posixpath.basename(url)
    expected = card.archive.sha256 or _recorded(_record(path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        digest = _get(Download(url, expected or "", bytes=card.archive.bytes), path)
        if not expected:
            write_atomically(_record(path), f"{digest}\n".encode())
            log.warning(
                "%s: its card has no checksum, as none is published; that of this download, %s, is"
                " kept in %s and holds for later ones", card.name, digest, _record(path)
            )  # fmt: skip
    except (OSError, ValueError) as error:
        raise InputError(
            f"{card.name}: is not on this machine and could not be downloaded: {url} failed"
            f" ({_reason(error)}); put the unpacked archive at {card.name} in a folder named in"
            " DANS_DATASETS"
        ) from error
    return path


def _content(download: Download) -> bytes:
    """The bytes of a download, verified; an archive is kept for the other splits."""
    folder = cache_folder() / "downloads"
    path = folder / f"{download.sha256}-{posixpath.basename(download.url)}"
    known = None
    if path.is_file():
        with opened(path) as file:
            known = _digest(file)
    if known != download.sha256:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        _get(download, path)
    if download.member is None:
        data = path.read_bytes()
        path.unlink()
    else:
        data = _member(path, download.member)
    return TRANSFORMS[download.transform](data) if download.transform else data


def _get(download: Download, path: Path) -> str:
    """Write a download into a file, whole and verified, or not at all; failures are tried again.

    Returns its digest, which nothing is compared with where the card has none.
    """
    import requests

    for left in reversed(range(1 + _RETRIES)):
        try:
            digest = hashlib.sha256()
            with whole(path) as file:
                for chunk in _received(download):
                    digest.update(chunk)
                    file.write(chunk)
                got = digest.hexdigest()
                if download.sha256 not in ("", got):
                    raise ValueError(f"its sha256 is {got}, expected {download.sha256}")
            return got
        except (ValueError, requests.RequestException):
            if not left:
                raise
            time.sleep(1 + _RETRIES - left)
    raise AssertionError("the last try raises")


def _received(download: Download) -> Iterator[bytes]:
    """The bytes at an address, cut where they are too many or come too slowly."""
    import requests
    import urllib3

    most, done = download.bytes or MOST_BYTES, 0
    with requests.get(download.url, stream=True, timeout=SILENCE) as response:
        response.raise_for_status()
        announced = response.headers.get("Content-Length", "")
        total = int(announced) if announced.isdecimal() else None
        bar = tqdm(total=total, unit="B", unit_scale=True, disable=not on_terminal(), leave=False)
        window, before, said = time.monotonic(), 0, time.monotonic()
        with bar:
            while True:
                try:
                    # What has arrived: ``read`` would wait for a whole piece, however slow.
                    chunk = response.raw.read1(PIECE, decode_content=True)
                except urllib3.exceptions.HTTPError as error:
                    raise requests.exceptions.ChunkedEncodingError(f"broke off: {error}") from error
                if not chunk:
                    break
                done += len(chunk)
                if done > most:
                    of = "which its card says" if download.bytes else "the most that is accepted"
                    raise OSError(f"more than {most} bytes, {of}")
                bar.update(len(chunk))
                yield chunk
                now = time.monotonic()
                if now - window > SILENCE:
                    if done - before < LEAST_BYTES:
                        raise OSError(f"less than {LEAST_BYTES} bytes in {SILENCE:g} s")
                    window, before = now, done
                if bar.disable and now - said > EVERY:
                    of = f" of {show_bytes(total)}" if total else ""
                    log.info("%s: %s%s so far", download.url, show_bytes(done), of)
                    said = now


def _member(path: Path, name: str) -> bytes:
    """The content of one member of a .tar.gz archive."""
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.isfile() and posixpath.normpath(member.name) == name:
                content = archive.extractfile(member)
                if content is not None and member.size <= MOST_BYTES:
                    return content.read()
                raise ValueError(f"the member {name} has more than {MOST_BYTES} bytes")
    raise KeyError(f"the archive has no member {name}")


def _reason(error: Exception) -> str:
    # Imported on use: it takes longer than reading a small data set.
    import requests

    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(filter(None, (error.filename, error.strerror)))
    return str(error.args[0] if error.args else error).splitlines()[0]
