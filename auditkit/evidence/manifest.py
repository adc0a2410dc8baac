"""Digests of evidence, and the check that nothing was changed since it was written.

`SHA256SUMS` covers every file of the evidence, `audit.json` too, so that plain `sha256sum -c SHA256SUMS` can check it.
`verify` does the same and more: it names each file that was changed, removed or added. Reports are derived from
evidence and can be made again from it, so they stand outside the manifest.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from auditkit.errors import InputError

MANIFEST = "SHA256SUMS"
DERIVED = frozenset(
    {"report.html", "report.pdf", "report.md", "report.json", "junit.xml", "results.sarif", "model_card.md"}
)


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found: files checked, and those changed, removed or added since the audit."""

    files: int
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether the evidence is as the audit left it."""
        return not (self.changed or self.removed or self.added)


def write_atomically(path: Path, content: bytes) -> None:
    """A file appears whole or not at all: it is written beside its place and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def evidence_files(folder: Path) -> Iterator[str]:
    """Relative names of the evidence in a folder: neither the manifest, nor derived reports, nor half-written files."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in DERIVED and name != MANIFEST and not path.name.endswith(".part"):
            yield name


def write_manifest(folder: Path, upcoming: Mapping[str, bytes] | None = None) -> None:
    """Write SHA256SUMS over all evidence in the folder, and over files that will be written right after it."""
    sums = {name: digest_of(folder / name) for name in evidence_files(folder)}
    sums |= {name: hashlib.sha256(content).hexdigest() for name, content in (upcoming or {}).items()}
    write_atomically(folder / MANIFEST, "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode())


def read_manifest(folder: Path) -> dict[str, str]:
    """File name → digest. Raises InputError where the folder holds no finished audit or an unreadable manifest."""
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder}: no finished audit here (there is no {MANIFEST}); give the folder of an audit")
    sums: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise InputError(f"{path}: line {number} is not 'digest  name'; the manifest itself was changed")
        sums[name] = digest
    return sums


def verify(folder: Path) -> Verification:
    """Hold a folder against its manifest."""
    sums = read_manifest(folder)
    present = set(evidence_files(folder))
    kept = present & set(sums)
    return Verification(
        files=len(sums),
        changed=tuple(sorted(name for name in kept if digest_of(folder / name) != sums[name])),
        removed=tuple(sorted(set(sums) - present)),
        added=tuple(sorted(present - set(sums))),
    )


def result_digest(folder: Path, names: list[str]) -> str:
    """One digest over named files, by name and content: two runs of the same inputs agree on it."""
    state = hashlib.sha256()
    for name in sorted(names):
        state.update(f"{digest_of(folder / name)}  {name}\n".encode())
    return state.hexdigest()
