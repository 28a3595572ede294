"""Pickles, told by their first bytes and never loaded: loading one runs whatever it says."""

import zipfile
from itertools import islice
from pathlib import Path

#: How much of a file, or of a member of an archive, is looked at.
HEAD = 4096

#: So many instructions in a row are no accident.
ENOUGH = 8


def carries_pickle(path: Path) -> bool:
    """Is this a pickle, or an archive or array with one inside?

    Those of ``torch.save``, old and new, of ``pickle.dump`` and of NumPy's arrays of objects. A
    file that cannot be read carries none.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        if head.startswith(b"PK\x03\x04"):
            return b".pkl" in head or _member_is_pickle(path)
        return _is_pickle(head)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        return False


def _member_is_pickle(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.endswith((".pkl", ".pickle")) for name in names):
            return True
        for name in names:
            with archive.open(name) as member:
                if _is_pickle(member.read(HEAD)):
                    return True
    return False


def _is_pickle(head: bytes) -> bool:
    if head.startswith(b"\x93NUMPY"):
        return b"|O" in head[:HEAD]
    if len(head) > 1 and head[0] == 0x80 and head[1] <= 5:
        return True
    # The oldest protocols have no mark; they are read as instructions, and not carried out.
    import pickletools

    seen = []
    try:
        for opcode, _, _ in islice(pickletools.genops(head), ENOUGH):
            seen.append(opcode.name)
    except ValueError:
        return False
    return len(seen) == ENOUGH or (len(seen) > 1 and seen[-1] == "STOP")
