"""Data set cards: sizes, sources and digests of a published data set, as TOML."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field, structs

from dans.config.reading import convert, read_toml
from dans.config.schema import Positive, Section
from dans.data.readers import SPLITS, Split
from dans.errors import InputError, did_you_mean, shown

#: What may be done to a download before it is the file of a split.
TRANSFORMS = {"crlf-to-lf": lambda data: data.replace(b"\r\n", b"\n")}

Text = Annotated[str, Meta(pattern=r"\S", description="a text")]
Name = Annotated[str, Meta(pattern=r"\A[a-z0-9_-]+\Z", description="a name of a-z, 0-9, _ and -")]
Sha256 = Annotated[
    str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hexadecimal digits in lower case")
]
_ADDRESS = "an address that starts with https:// or http://"
Url = Annotated[str, Meta(pattern=r"\Ahttps?://\S+\Z", description=_ADDRESS)]
_INNER = r"\A(?!(.*/)?\.{0,2}(/|\Z))[^\0-\x1f\\]+\Z"
InnerPath = Annotated[str, Meta(pattern=_INNER, description="a path such as umls/train.txt")]
_PACKAGE = r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z"
Distribution = Annotated[str, Meta(pattern=_PACKAGE, description="a package such as pykeen")]


class Download(Section, frozen=True):
    """A file at a public address."""

    url: Url
    #: of the bytes at that address
    sha256: Sha256
    #: the member to read, where they are a .tar.gz archive
    member: InnerPath | None = None
    transform: Literal["crlf-to-lf"] | None = None
    #: how many bytes there are at the address; a download that has more is cut
    bytes: Positive | None = None


class Installed(Section, frozen=True):
    """A file of an installed Python distribution."""

    distribution: Distribution
    file: InnerPath


class SplitFile(Section, frozen=True):
    """The file of one split, and its sources."""

    lines: Positive
    #: of the uncompressed .tsv; without it, that of the first one that was downloaded
    sha256: Sha256 | None = None
    installed: Installed | None = None
    downloads: tuple[Download, ...] = field(name="download", default=())


class Derivation(Section, frozen=True):
    """The data set from which another one is made.

    The rule ``drop-unseen`` leaves out the lines of valid and test with an entity unseen in train.
    """

    parent: Name = field(name="from")
    rule: Literal["drop-unseen"]


class Archive(Section, frozen=True):
    """One public archive that holds all splits, names and given negatives, in OGB's format."""

    format: Literal["ogb"]
    url: Url
    #: the most bytes that the address answers; a download that has more is cut
    bytes: Positive
    #: of the archive; without it, that of the first download
    sha256: Sha256 | None = None


class CardFile(Section, frozen=True, kw_only=True):
    """The content of a card."""

    name: Name
    title: Text
    #: who published it, and what was changed against that
    source: Text
    paper: Text
    #: what is known of its terms
    licence: Text
    entities: Positive
    relations: Positive
    #: the splits with a fourth column, 1 for true and -1 for false
    labelled: tuple[Split, ...] = ()
    derived: Derivation | None = None
    archive: Archive | None = None
    train: SplitFile
    valid: SplitFile
    test: SplitFile


class DatasetCard(CardFile, frozen=True, kw_only=True):
    """A data set, read strictly from ``<name>.toml``.

    Example:
        >>> card = DatasetCard.read(card_folder() / "wn18rr.toml")
        >>> card.name, card.entities, card.test.lines
        ('wn18rr', 40943, 3134)
    """

    path: Path

    @classmethod
    def read(cls, path: Path) -> DatasetCard:
        """Read one card."""
        try:
            card = convert(read_toml(path), CardFile, f"{path}: ")
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        if card.name != path.stem:
            raise InputError(
                f"{path}: name: expected {path.stem!r}, as its file is called, got {card.name!r}"
            )
        found = cls(path=path, **structs.asdict(card))
        for split, file in found.splits.items():
            if found.archive and (file.sha256 or file.installed or file.downloads):
                raise InputError(f"{path}: {split}: its file is in the archive; leave out all else")
            # The digest of an archive vouches for its members.
            vouched = file.downloads and all(one.member for one in file.downloads)
            if not (file.sha256 or found.archive or vouched):
                raise InputError(f"{path}: {split}.sha256: missing")
        return found

    @property
    def splits(self) -> Mapping[Split, SplitFile]:
        """The files by split."""
        return {split: getattr(self, split) for split in SPLITS}


def card_folder() -> Path:
    """The folder of the cards: inside an installed package, or beside it in a checkout."""
    here = Path(__file__).parent
    installed = here / "cards"
    return installed if installed.is_dir() else here.parents[1] / "datasets"


def cards() -> dict[str, Path]:
    """The file of each card, by name."""
    return {path.stem: path for path in sorted(card_folder().glob("*.toml"), key=lambda p: p.stem)}


def find_card(where: str | Path) -> DatasetCard | None:
    """The card of a name or of a path that ends in ``.toml``, or None for a file or a folder.

    Names are known in any spelling: ``FB15k-237``, ``fb15k237`` and ``FB15K_237`` are one.

    Example:
        >>> find_card("UMLS").title
        'UMLS semantic network, split of ConvE'
    """
    known = cards()
    path = known.get(where, Path(where)) if isinstance(where, str) else where
    if path.suffix == ".toml":
        return DatasetCard.read(path)
    if os.path.lexists(where):
        return None
    if isinstance(where, str):
        spelled = {_plain(name): path for name, path in known.items()}
        if _plain(where) in spelled:
            return DatasetCard.read(spelled[_plain(where)])
        if re.match("[a-z][a-z0-9+.-]+://", where, re.IGNORECASE):
            raise InputError(
                f"{shown(where)}: URLs are not read; download the file, and give its path here"
            )
    if path.suffix or any(slash in str(where) for slash in "/\\"):
        raise InputError(f"{shown(str(where))}: no such file or folder{_beside(path)}")
    names = f"{', '.join(known)}{did_you_mean(str(where), known)}"
    raise InputError(
        f"{shown(str(where))}: neither a data set, a file nor a folder; known: {names}"
    )


def _beside(path: Path) -> str:
    """The end of a message about a path where nothing is: what is like it, or what is missing."""
    folder = path.parent
    try:
        names = os.listdir(folder)
    except OSError:
        return f"; {shown(str(folder))} is no folder that can be read"
    return did_you_mean(path.name, names, lambda name: shown(str(folder / name)))


def _plain(name: str) -> str:
    return re.sub("[-_ ]", "", name).casefold()
