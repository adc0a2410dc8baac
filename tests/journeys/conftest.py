"""A small audit that the journeys go through: a bundle, its tables, an audit.yaml."""

import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.journeys.loans import AUDIT, applicants, auditkit


@pytest.fixture(scope="session")
def loans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained bundle, four tables and audit.yaml."""
    from auditkit.subject.bundle import save_bundle
    from auditkit.subject.rows import load_data
    from auditkit.training.recipe import Recipe
    from auditkit.training.train import train

    folder = tmp_path_factory.mktemp("loans")
    sizes = {"train": (1200, 1, 0.0), "validation": (400, 2, 0.0), "test": (600, 3, 0.0), "elsewhere": (200, 4, 6.0)}
    for name, (n, seed, shift) in sizes.items():
        pq.write_table(applicants(n, seed, shift), folder / f"{name}.parquet")
    meaning = {"label": "repaid", "positive": "yes", "sensitive": ["sex"]}
    train_split = load_data(folder / "train.parquet", name="train", **meaning)
    splits = {
        "train": train_split,
        "validation": load_data(folder / "validation.parquet", name="validation", **meaning),
    }
    model = train(Recipe(name="loans", epochs=4, arguments={"hidden": [16]}), splits, train_split.schema, device="cpu")
    save_bundle(model, folder / "model")
    (folder / "audit.yaml").write_text(AUDIT)
    return folder


@pytest.fixture(scope="session")
def finished(loans: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """An undisturbed audit's folder, and what the command said."""
    out = tmp_path_factory.mktemp("reports")
    done = auditkit("run", loans / "audit.yaml", "--out", out, cwd=out)
    assert done.returncode == 0, done.stderr
    return next((out / "loans").iterdir()), done
