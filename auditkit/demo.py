"""The demo: train both built-in subjects, audit them, and show the verdicts.

Its gates are ordinary ones, written before the results were seen; a census model that fails four-fifths is the point.
"""

import shutil
import time
from importlib.resources import files
from pathlib import Path

from auditkit.engine.progress import Progress
from auditkit.report import FORMATS, write_reports
from auditkit.run import run_audit
from auditkit.spec import load_spec
from auditkit.subject.described import load_subject
from auditkit.terminal import show_audit
from auditkit.training.command import train_command

SUBJECTS = ("adult", "digits")


def run_demo(out: Path, sample: Path | None = None, quiet: bool = False) -> None:
    """Train, audit and report both subjects under `out`; copy the reports to `sample` where one is named."""
    progress = Progress(quiet=quiet)
    audits = []
    for name in SUBJECTS:
        start = time.monotonic()
        bundle = out / "models" / name
        if (bundle / "model.json").is_file():
            progress.say(f"{name}: already trained, at {bundle}")
        else:
            train_command(name, bundle, seed=None, quiet=quiet)
        trained = time.monotonic()
        spec = load_spec(Path(str(files("auditkit") / "demos" / f"{name}.yaml")))
        spec = spec.model_copy(update={"model": str(bundle.resolve())})
        audit = run_audit(load_subject(spec, Path.cwd()), spec, out, progress)
        write_reports(audit, audit.folder, FORMATS)
        done = time.monotonic()
        progress.say(f"{name}: trained in {trained - start:.0f} s, audited and reported in {done - trained:.0f} s")
        audits.append(audit)
        if sample is not None:
            sample.mkdir(parents=True, exist_ok=True)
            for kind in ("report.html", "report.md"):
                shutil.copyfile(audit.folder / kind, sample / f"{name}.{kind.rpartition('.')[2]}")
    for audit in audits:
        show_audit(audit)
