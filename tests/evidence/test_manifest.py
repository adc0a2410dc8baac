"""Evidence that was touched is named."""

import subprocess

import pytest

from auditkit.errors import InputError
from auditkit.evidence.manifest import verify, write_atomically, write_manifest


@pytest.fixture
def folder(tmp_path):
    for name in ("audit.json", "metrics.parquet", "fairness/rates.parquet"):
        write_atomically(tmp_path / name, name.encode() * 50)
    write_manifest(tmp_path)
    return tmp_path


def test_untouched_evidence_is_intact(folder):
    (folder / "report.html").write_text("derived, may come and go")
    assert verify(folder).intact
    assert verify(folder).files == 3


@pytest.mark.parametrize("name", ["audit.json", "metrics.parquet", "fairness/rates.parquet"])
def test_one_flipped_bit_is_named(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[7] ^= 1
    (folder / name).write_bytes(content)
    assert verify(folder).changed == (name,)
    assert not verify(folder).intact


def test_removed_and_added_files_are_named(folder):
    (folder / "metrics.parquet").unlink()
    (folder / "fairness" / "extra.parquet").write_bytes(b"x")
    found = verify(folder)
    assert (found.removed, found.added) == (("metrics.parquet",), ("fairness/extra.parquet",))


def test_plain_sha256sum_agrees(folder):
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=False).returncode == 0


def test_a_folder_without_an_audit_is_refused(tmp_path):
    with pytest.raises(InputError, match="no finished audit"):
        verify(tmp_path)


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    write_atomically(tmp_path / "a", b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("killed here")))
    with pytest.raises(OSError, match="killed"):
        write_atomically(tmp_path / "a", b"new, but never finished")
    assert (tmp_path / "a").read_bytes() == b"old"
