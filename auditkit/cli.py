"""The command line: each command is a few lines over the public API.

Exit codes: 0 all gates pass · 1 a gate failed · 2 the input is wrong · 3 the audit could not finish.
Importing this module imports neither torch nor streamlit; each command imports what it needs.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from auditkit.errors import AuditError, InputError, nearest

app = typer.Typer(
    name="auditkit",
    help="Audit a deep model before it is deployed: fairness, explanation, activations, out-of-distribution, energy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the result.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for a machine to read.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the evidence goes.")] = Path("reports"),
    no_open: Annotated[bool, typer.Option("--no-open", help="Leave the dashboard closed.")] = False,
    sample: Annotated[Path | None, typer.Option(help="Also keep the reports in this folder.")] = None,
    port: Annotated[int, typer.Option(help="Port of the dashboard.")] = 8501,
    quiet: Quiet = False,
) -> None:
    """Train and audit both built-in subjects, write every report, and open the dashboard."""
    from auditkit.demo import run_demo

    run_demo(out, sample=sample, quiet=quiet)
    if no_open:
        from auditkit.terminal import own_command

        print(f"\nSee it in the browser:  {own_command()} dashboard {out} --port {port}   →  http://127.0.0.1:{port}")
    else:
        dashboard(out, port=port)


@app.command()
def init(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="[MODEL] DATA", help="A model where there is one, and a file or folder of rows."),
    ],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("audit.yaml"),
    label: Annotated[str | None, typer.Option(help="Column of the truth; guessed when left out.")] = None,
    architecture: Annotated[str | None, typer.Option(help="module:Class of a model, whose code may run.")] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train a model even where the rows seem to hold predictions.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Open the model even if it is a pickle, which runs its code.")
    ] = False,
) -> None:
    """Look at a model and its data, or at data alone, and write files that run as they are."""
    from auditkit.starter import write_starter

    if len(paths) > 2:
        raise InputError(f"init takes a model and its data, or data alone; got {len(paths)} paths")
    model = paths[0] if len(paths) == 2 else None
    for line in write_starter(Path(paths[-1]), out, model, label, architecture, train, trust):
        print(line)


@app.command()
def train(
    target: Annotated[str, typer.Argument(help="A built-in subject (adult, digits, reviews, ...) or a recipe.yaml.")],
    out: Annotated[Path | None, typer.Option(help="The bundle's folder; models/<name> when left out.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the training; the recipe's own when left out.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Search for the best settings in this many trials.")] = None,
    quiet: Quiet = False,
) -> None:
    """Train a model from a recipe and keep it as a bundle. Killed, it goes on where it was when called again."""
    from auditkit.training.command import train_command

    out = out or Path("models") / Path(target).stem
    summary = train_command(target, out, seed=seed, quiet=quiet, trials=trials)
    print("\n".join(f"{key}: {value}" for key, value in summary.items()))


@app.command()
def run(
    audit: Annotated[Path, typer.Argument(metavar="AUDIT.yaml", help="What to audit and what to hold it to.")],
    out: Annotated[Path, typer.Option(help="Where the evidence goes.")] = Path("reports"),
    only: Annotated[str | None, typer.Option(help="Run only these analyses, separated by commas.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Open the model even if it is a pickle, which runs its code.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Audit a model: evidence, reports and a verdict."""
    from auditkit.engine.progress import Progress
    from auditkit.report import FORMATS, write_reports
    from auditkit.run import run_audit
    from auditkit.spec import load_spec
    from auditkit.subject.described import load_subject
    from auditkit.terminal import show_audit

    spec = load_spec(audit)
    if only:
        spec = spec.model_copy(update={"analyses": _chosen(only, spec.analyses)})
    progress = Progress(quiet=quiet or as_json)
    subject = load_subject(spec, audit.resolve().parent, trust)
    finished = run_audit(subject, spec, out, progress)
    write_reports(finished, finished.folder, FORMATS)
    show_audit(finished, as_json=as_json)
    raise typer.Exit(finished.exit_code)


@app.command()
def fairness(
    table: Annotated[Path, typer.Argument(help="Predictions as CSV, TSV, Parquet or Arrow, or a file of counts.")],
    label: Annotated[str | None, typer.Option(help="Column of the truth.")] = None,
    prediction: Annotated[
        str | None, typer.Option(help="Column of the decision, or of a score with --threshold.")
    ] = None,
    sensitive: Annotated[str, typer.Option(help="Columns that name groups, separated by commas.")] = "",
    task: Annotated[str, typer.Option(help="binary, multiclass, regression or ranking.")] = "binary",
    score: Annotated[str | None, typer.Option(help="Column of the model's score.")] = None,
    positive: Annotated[str | None, typer.Option(help="The class a person gains or is flagged by.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Decide by prediction >= this number.")] = None,
    weight: Annotated[str | None, typer.Option(help="Column that says how many people a row stands for.")] = None,
    stratum: Annotated[str | None, typer.Option(help="Column of the stratum a row was drawn from.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Column of the cluster a row was drawn with (a patient).")] = None,
    control: Annotated[str, typer.Option(help="Columns that may rightly explain a gap, separated by commas.")] = "",
    features: Annotated[str, typer.Option(help="Columns the model saw, separated by commas: where is it wrong?")] = "",
    query: Annotated[str | None, typer.Option(help="Column of what each row was ranked for.")] = None,
    previous: Annotated[str | None, typer.Option(help="Column of the last release's decisions.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Groups all others are also held against, such as sex=Male,race=White.")
    ] = None,
    population: Annotated[Path | None, typer.Option(help="YAML file of groups' shares of the population.")] = None,
    ll144: Annotated[
        str | None, typer.Option(help="Columns of sex and race, for the tables of NYC's Local Law 144.")
    ] = None,
    gates: Annotated[Path | None, typer.Option(help="YAML file of gates.")] = None,
    minimum_group: Annotated[int, typer.Option(help="Rates over fewer rows are not judged.")] = 30,
    confidence: Annotated[float, typer.Option(help="Confidence of the intervals.")] = 0.95,
    replicates: Annotated[int, typer.Option(help="Bootstrap replicates.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the resampling.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Keep the evidence in this folder.")] = None,
    counts: Annotated[Path | None, typer.Option(help="Keep the counts in this file, to be checked again.")] = None,
    suppress: Annotated[int | None, typer.Option(help="Withhold cells of fewer rows from --counts.")] = None,
    as_json: Json = False,
) -> None:
    """Check a table of predictions for fairness. Needs no model and imports no torch."""
    from auditkit.fairness.command import Asked, read_policy, read_population, run_check
    from auditkit.fairness.settings import Options

    asked = Asked(
        label, prediction, _listed(sensitive), task, score, positive, threshold, weight, stratum, cluster,
        _listed(control), _listed(features), query, previous,
    )  # fmt: skip
    options = Options(
        reference=_groups(reference),
        population=None if population is None else read_population(population),
        ll144=_pair(ll144),
        policy=None if gates is None else read_policy(gates),
        policy_name=str(gates or "policy"),
        minimum_group=minimum_group,
        confidence=confidence,
        replicates=replicates,
        seed=seed,
    )
    code = run_check(table, asked, options, out=out, counts=counts, suppress=suppress, as_json=as_json)
    raise typer.Exit(code)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@app.command()
def variants(
    target: Annotated[Path, typer.Argument(metavar="MODEL_OR_AUDIT.yaml", help="A bundle, or what to audit.")],
    out: Annotated[Path, typer.Option(help="Where the evidence goes.")] = Path("reports"),
    how: Annotated[str, typer.Option(help="int8, bf16, pruned, distilled; separated by commas.")] = (
        "int8,bf16,pruned,distilled"
    ),
    share: Annotated[str, typer.Option(help="Shares of weights to prune, separated by commas.")] = "0.5",
    structured: Annotated[bool, typer.Option("--structured", help="Prune whole neurons and filters.")] = False,
    models: Annotated[Path | None, typer.Option(help="Keep the variants as bundles in this folder.")] = None,
    no_speed: Annotated[bool, typer.Option("--no-speed", help="Measure neither latency nor energy.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compress a model for deployment and see what each variant costs, and whom."""
    from auditkit.report import write_reports
    from auditkit.variants import command

    evidence = command.variants_command(
        target, out, how=_listed(how), shares=_shares(share), structured=structured, models=models,
        speed=not no_speed, quiet=quiet or as_json,
    )  # fmt: skip
    write_reports(evidence, evidence.folder, ("html", "markdown"))
    if as_json:
        print(json.dumps(command.as_json(evidence), ensure_ascii=False, indent=2))
    else:
        command.show(evidence)
    raise typer.Exit(evidence.exit_code)


def _shares(text: str) -> list[float]:
    try:
        return [float(part) for part in _listed(text)]
    except ValueError:
        raise InputError(f"--share takes numbers below 1 separated by commas, such as 0.5,0.8; got {text!r}") from None


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished audit.")],
    formats: Annotated[
        str, typer.Option("--format", help="html, markdown, json, junit; separated by commas.")
    ] = "html",
    out: Annotated[Path | None, typer.Option(help="Another folder for the reports.")] = None,
) -> None:
    """Make reports from evidence, again or in another format."""
    from auditkit.evidence.audit import open_audit
    from auditkit.report import FORMATS, write_reports

    for path in write_reports(open_audit(folder), out or folder, _chosen(formats, FORMATS)):
        print(path)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished audit.")]) -> None:
    """Check that the evidence is as the audit left it; names each file that was changed, removed or added."""
    from auditkit.evidence.manifest import verify as verify_folder

    found = verify_folder(folder)
    for what, names in (("changed", found.changed), ("removed", found.removed), ("added", found.added)):
        for name in names:
            print(f"{what}: {name}")
    print(f"{folder}: {found.files} files, " + ("all as the audit left them" if found.intact else "NOT as they were"))
    raise typer.Exit(0 if found.intact else 1)


@app.command()
def dashboard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the audits are.")] = Path("reports"),
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on; this machine only unless told otherwise.")] = (
        "127.0.0.1"
    ),
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser tab.")] = False,
) -> None:
    """Explore audits in the browser."""
    from dashboard.serve import serve

    raise typer.Exit(serve(folder, port=port, address=address, open_browser=not no_open))


def _groups(text: str | None) -> dict[str, str]:
    """`sex=Male,race=White` as a mapping."""
    if text is None:
        return {}
    parts = [part.partition("=") for part in text.split(",") if part.strip()]
    if not parts or any(not sign or not name.strip() or not value.strip() for name, sign, value in parts):
        raise InputError(
            f"--reference {text!r}: write attribute=group, separated by commas, such as sex=Male,race=White"
        )
    return {name.strip(): value.strip() for name, _, value in parts}


def _pair(text: str | None) -> tuple[str, str] | None:
    """Two names separated by a comma."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names):
        raise InputError(f"--ll144 takes two columns, sex and race, as in --ll144 sex,race; got {text!r}")
    return names[0], names[1]


def _chosen(text: str, known: Sequence[str]) -> list[str]:
    """Names separated by commas, each of which must be known."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise InputError(f"{name!r} is not one of them; {nearest(name, known)}")
    if not names:
        raise InputError(f"name at least one of {', '.join(known)}")
    return names


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command; wrong input and unfinished audits are told in one sentence."""
    try:
        result: Any = app(args=arguments, standalone_mode=True)
    except InputError as problem:
        _stop(2, str(problem))
    except AuditError as problem:
        if os.environ.get("AUDITKIT_TRACEBACK"):
            raise
        _stop(3, str(problem))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(3)
    sys.exit(result if isinstance(result, int) else 0)


def _stop(code: int, sentence: str) -> NoReturn:
    if "--json" in sys.argv:
        print(json.dumps({"error": sentence, "exit_code": code}, ensure_ascii=False))
    print(f"auditkit: {sentence}", file=sys.stderr)
    sys.exit(code)
