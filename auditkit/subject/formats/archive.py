"""Reading a torch archive (a zip file) without trusting it.

torch's own readers take an archive apart in other code than Python's `zipfile`, and the two could be made to see
different members. So what is inspected here is also what is loaded: the members that passed are written into a fresh
archive in memory, and torch reads that.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from auditkit.errors import InputError

LARGEST_CODE = 256 * 2**20


def read_members(path: Path, what: str) -> dict[str, bytes]:
    """The members of an archive, by their name below its one top folder.

    Raises InputError where it is no archive, is damaged, or has members that are encrypted, doubled, overlapping or
    blow up when they are decompressed (none of which torch writes: it compresses code only).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            packed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
            odd = any(entry.compress_type != zipfile.ZIP_DEFLATED or entry.flag_bits & 1 for entry in packed)
            if (
                odd
                or len(set(names)) != len(names)
                or sum(entry.compress_size for entry in entries) > path.stat().st_size
                or sum(entry.file_size for entry in packed) > LARGEST_CODE
            ):
                raise InputError(f"{path}: no {what} as torch writes it (its members overlap or blow up)")
            if len({name.partition("/")[0] for name in names}) != 1:
                raise InputError(f"{path}: no {what} (an archive of one folder)")
            return {entry.filename.partition("/")[2]: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"{path}: no {what}, or a damaged one; copy it again, or save it again") from None


def write_members(members: Mapping[str, bytes]) -> io.BytesIO:
    """An archive of these members in memory, at its start."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    buffer.seek(0)
    return buffer


def digest(members: Mapping[str, bytes]) -> str:
    """SHA-256 over the names and contents of members.

    >>> digest({"a": b"1"})[:8]
    '9ead7bae'
    """
    state = hashlib.sha256()
    for name, content in sorted(members.items()):
        state.update(f"{len(name)} {name} {len(content)} ".encode())
        state.update(content)
    return state.hexdigest()
