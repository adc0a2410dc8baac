"""`auditkit init` writes files that run as they are, and shows its guesses as guesses."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from auditkit.cli import main
from auditkit.evidence.audit import open_audit
from auditkit.spec import AuditSpec, load_spec, parse
from auditkit.subject.described import load_subject
from auditkit.training.command import recipe_data
from auditkit.training.recipe import load_recipe
from tests.journeys.loans import applicants

DATA = Path(__file__).resolve().parents[3] / "shared/data"


def command(capsys, *arguments):
    """(exit code, what was said) of a command in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return stopped.value.code, said.out + said.err


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(folder, each):
    digits = load_digits()
    for name in range(10):
        (folder / str(name)).mkdir(parents=True)
        for place, image in enumerate(digits.images[digits.target == name][:each]):
            Image.fromarray((image * 15.9).astype(np.uint8)).save(folder / str(name) / f"{place}.png")


def given(name):
    if not (DATA / name).is_file():
        pytest.skip(f"{name} is not at hand")
    return DATA / name


def test_a_bundle_and_a_table(loans, here, capsys):
    code, said = command(capsys, "init", loans / "model", loans / "test.parquet")
    assert code == 0, said
    assert "label: repaid  (as named)" in said
    assert "sensitive: sex  (as the model was trained)" in said
    assert "auditkit run audit.yaml" in said
    code, said = command(capsys, "run", "audit.yaml", "--only", "performance", "--quiet")
    assert code in (0, 1), said
    assert "performance/accuracy" in said
    assert load_spec("audit.yaml").gates["fairness/demographic_parity_ratio"].of == ["sex"]


def test_compas_as_stored_scores(here, capsys):
    code, said = command(capsys, "init", given("compas_two_years.csv"))
    assert code == 0, said
    spec = load_spec("audit.yaml")
    assert (spec.columns.label, spec.columns.positive) == ("two_year_recid", "1")
    assert (spec.predictions.score, spec.predictions.threshold) == ("decile_score", 5)
    assert set(spec.columns.sensitive) == {"sex", "race", "age_cat"}
    assert not {"sex", "race", "age", "age_cat", "is_recid", "score_text"} & set(spec.columns.features)
    code, said = command(capsys, "run", "audit.yaml", "--quiet")
    assert code == 1, said
    [folder] = Path("reports/compas_two_years").iterdir()
    rates = open_audit(folder).metrics.query("metric == 'false_positive_rate' and split == 'test'")
    found = rates.set_index("group").value
    assert round(100 * found["African-American"], 2) == 44.85
    assert round(100 * found["Caucasian"], 2) == 23.45


def test_a_folder_of_pictures_from_nothing_to_an_audit(here, capsys):
    pictures(here / "digits", each=30)
    code, said = command(capsys, "init", "digits")
    assert code == 0, said
    assert [line.strip() for line in said.splitlines()[-2:]] == [
        "auditkit train recipe.yaml --out model",
        "auditkit run audit.yaml",
    ]
    assert command(capsys, "train", "recipe.yaml", "--out", "model", "--quiet")[0] == 0
    code, said = command(capsys, "run", "audit.yaml", "--only", "performance,activations", "--quiet")
    assert code == 0, said
    [folder] = Path("reports/digits").iterdir()
    accuracy = open_audit(folder).metrics.query("metric == 'accuracy' and split == 'test'")
    assert accuracy.value.item() > 0.85
    assert accuracy.n.item() == 60


def test_sentences_from_nothing_to_an_audit(here, capsys):
    with gzip.open(given("sst2_train.tsv.gz"), "rt", encoding="utf-8") as file:
        (here / "sst2.tsv").write_text("".join(line for _, line in zip(range(601), file, strict=False)))
    code, said = command(capsys, "init", "sst2.tsv")
    assert code == 0, said
    recipe = load_recipe("recipe.yaml")
    assert (recipe.columns.label, recipe.columns.features) == ("label", ["sentence"])
    assert recipe.architecture.endswith("recurrent:Recurrent")
    assert command(capsys, "train", "recipe.yaml", "--out", "model", "--quiet")[0] == 0
    code, said = command(capsys, "run", "audit.yaml", "--only", "performance", "--quiet")
    assert code in (0, 1), said
    assert "accuracy on test" in said


def test_recipe_and_audit_agree_on_which_rows_are_kept_from_training(here, capsys):
    table = applicants(300, 5).append_column("row", [np.arange(300)])
    pq.write_table(table, here / "people.parquet")
    assert command(capsys, "init", "people.parquet")[0] == 0
    assert command(capsys, "train", "recipe.yaml", "--out", "model", "--seed", "7", "--quiet")[0] == 0
    trained, _ = recipe_data(load_recipe("recipe.yaml").model_copy(update={"seed": 7}), here)
    audited = load_subject(load_spec("audit.yaml"), here)
    rows = {split.name: set(split.table["row"].to_pylist()) for split in audited.splits}
    assert {name: set(split.table["row"].to_pylist()) for name, split in trained.items()} == {
        name: rows[name] for name in ("train", "validation")
    }
    assert not rows["test"] & (rows["train"] | rows["validation"])
    assert sum(map(len, rows.values())) == 300
    assert "sex" not in audited.model.preprocessing.columns


def test_files_named_after_the_splits_are_taken_as_such(here, capsys):
    for name, seed in (("train", 1), ("val", 2), ("test", 3)):
        pq.write_table(applicants(120, seed), here / f"{name}.parquet")
    assert command(capsys, "init", ".", "--out", here / "first.yaml")[0] == 0
    content = yaml.safe_load((here / "first.yaml").read_text())
    assert content["data"] == {"train": "train.parquet", "validation": "val.parquet", "test": "test.parquet"}


def test_a_network_file_takes_the_columns_that_fit(here, capsys):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60), "age": rng.integers(20, 60, 60)})
    frame.assign(passed=(frame.a + frame.b > 0).astype(int)).to_csv("rows.csv", index=False)
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).eval()
    program = torch.export.export(net, (torch.zeros(4, 2),), dynamic_shapes=({0: torch.export.Dim("rows")},))
    torch.export.save(program, "net.pt2")
    code, said = command(capsys, "init", "net.pt2", "rows.csv")
    assert code == 0, said
    spec = load_spec("audit.yaml")
    assert (spec.columns.features, spec.columns.classes) == (["a", "b"], ["0", "1"])
    assert command(capsys, "run", "audit.yaml", "--only", "performance", "--quiet")[0] in (0, 1)


def homes(n=240, seed=0):
    """People and their rents, with a data frame's index, a contract's number and the rent again in other words."""
    rng = np.random.default_rng(seed)
    area, rooms, sex = rng.normal(80, 20, n), rng.integers(1, 6, n), rng.choice(["f", "m"], n)
    rent = 100 + 8 * area + 30 * rooms + rng.normal(0, 40, n)
    columns = {"contract": [f"C{at:04d}" for at in rng.permutation(n)], "sex": sex, "area": area, "rooms": rooms}
    return pd.DataFrame({**columns, "rent_band": np.where(rent > 800, "high", "low"), "rent": rent})


def test_numbers_from_nothing_to_an_audit(here, capsys):
    homes().to_csv("homes.csv")
    code, said = command(capsys, "init", "homes.csv")
    assert code == 0, said
    assert "task: regression  (a guess: rent holds 240 different numbers)" in said
    recipe, spec = load_recipe("recipe.yaml"), load_spec("audit.yaml")
    assert (recipe.columns.label, recipe.columns.task, recipe.loss) == ("rent", "regression", "mse")
    assert recipe.columns.features == ["area", "rooms"]
    text = Path("recipe.yaml").read_text()
    for line in (
        "(without a name): row numbers of a data frame, which pandas writes as a column without a name",
        "contract: a different word in every row, as identifiers are",
        "rent_band: by its name, the outcome again",
    ):
        assert f"  #   {line}\n" in text
    assert spec.gates["fairness/mean_error_difference"].at_most == float(f"{homes().rent.std(ddof=0) / 10:.2g}")
    assert command(capsys, "train", "recipe.yaml", "--out", "model", "--quiet")[0] == 0
    code, said = command(capsys, "run", "audit.yaml", "--only", "performance,fairness", "--quiet")
    assert code in (0, 1), said
    rows = open_audit(next(Path("reports/homes").iterdir())).metrics.query("split == 'test'")
    assert rows.query("metric == 'r2' and analysis == 'performance'").value.item() > 0.7
    assert "mean_error_difference" in set(rows.metric)
    code, said = command(capsys, "init", "model", "homes.csv", "--out", "again.yaml")
    assert code == 0, said
    assert "task: regression  (the model predicts a number)" in said
    assert load_subject(load_spec("again.yaml"), here).schema.task == "regression"


def exported(net, inputs, path):
    program = torch.export.export(
        net.eval(), (torch.zeros(4, inputs),), dynamic_shapes=({0: torch.export.Dim("rows")},)
    )
    torch.export.save(program, path)


@pytest.mark.parametrize(
    ("label", "features", "task"),
    [("rent", ["area", "rooms"], "regression"), ("rooms", ["area", "rent"], "regression"), ("sex", None, None)],
)
def test_a_network_of_one_output(here, capsys, label, features, task):
    """A number for a label of numbers, be they few; the logit of the second for a label of two classes."""
    homes().drop(columns="rent_band").to_csv("homes.csv", index=False)
    exported(torch.nn.Sequential(torch.nn.Linear(3 if task is None else 2, 1)), 3 if task is None else 2, "net.pt2")
    arguments = [] if label == "rent" else ["--label", label]
    code, said = command(capsys, "init", "net.pt2", "homes.csv", *arguments)
    assert code == 0, said
    spec = load_spec("audit.yaml")
    assert (spec.columns.label, spec.columns.task) == (label, task)
    assert spec.columns.features == (features or ["area", "rooms", "rent"])
    assert spec.columns.classes == (["f", "m"] if task is None else None)
    code, said = command(capsys, "run", "audit.yaml", "--only", "performance", "--quiet")
    assert code in (0, 1), said
    metric = "rmse" if task else "accuracy"
    assert metric in set(open_audit(next(Path("reports/net").iterdir())).metrics.metric)


def test_stored_numbers(here, capsys):
    frame, noise = homes(300), np.random.default_rng(2).normal(0, 10, 300)
    error = 50 * (frame.sex == "f") + noise
    frame.assign(predicted_rent=frame.rent + error).to_parquet("scored.parquet")
    code, said = command(capsys, "init", "scored.parquet")
    assert code == 0, said
    spec = load_spec("audit.yaml")
    assert (spec.predictions.number, spec.columns.label) == ("predicted_rent", "rent")
    assert spec.columns.features == ["area", "rooms"]
    code, said = command(capsys, "run", "audit.yaml", "--quiet")
    assert code == 1, said
    found = open_audit(next(Path("reports/scored").iterdir()))
    assert {result.gate: result.verdict for result in found.gates}["fairness/mean_error_difference"] == "fail"
    gap = found.metrics.query("metric == 'mean_error_difference'").value.item()
    assert gap == pytest.approx(error[frame.sex == "f"].mean() - error[frame.sex == "m"].mean())


def test_compas_with_an_index_identifiers_and_other_scores(here, capsys):
    frame, rng = pd.read_csv(given("compas_two_years.csv")), np.random.default_rng(0)
    frame["v_decile_score"], frame["is_violent_recid"] = rng.integers(1, 11, len(frame)), rng.integers(0, 2, len(frame))
    frame["person"] = rng.permutation(len(frame)) + 1
    frame.to_csv("people.csv")
    code, said = command(capsys, "init", "people.csv", "--label", "two_year_recid", "--train")
    assert code == 0, said
    assert load_recipe("recipe.yaml").columns.features == [
        "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count", "days_b_screening_arrest",
        "c_charge_degree",
    ]  # fmt: skip
    text = Path("recipe.yaml").read_text()
    for name in ("(without a name)", "person", "decile_score", "v_decile_score", "score_text", "is_recid"):
        assert f"#   {name}: " in text


HOSTILE = [
    "a: b",
    "- x",
    "#c",
    "new\nline",
    '"quoted"',
    "it's",
    "{",
    "1",
    "üñ😀",
    " lead",
    "null",
    "yes",
    "\u2028",
    "<b>",
]


def test_hostile_names_survive(here, capsys):
    rng = np.random.default_rng(0)
    truth = rng.random(80) < 0.5
    frame = pd.DataFrame({name: rng.normal(size=80) for name in HOSTILE})
    frame["sex: [race]\n#"] = rng.choice(["ma'le", "fe: male\n", "#"], 80)
    frame["predicted: #\n{score}"] = np.clip(truth * 0.4 + 0.5 * rng.random(80), 0, 1)
    frame["label\n- x: 'y'"] = np.where(truth, "yes: \n#", "no")
    frame.to_parquet("it's: #1 {x}.parquet")
    code, said = command(capsys, "init", "it's: #1 {x}.parquet", "--out", "audit.yaml")
    assert code == 0, said
    spec = parse(yaml.safe_load(Path("audit.yaml").read_text()), AuditSpec, "audit.yaml")
    assert spec.columns.label == "label\n- x: 'y'"
    assert spec.columns.sensitive == ["sex: [race]\n#"]
    assert spec.predictions.score == "predicted: #\n{score}"
    assert spec.columns.features == HOSTILE
    code, said = command(capsys, "run", "audit.yaml", "--only", "performance", "--quiet")
    assert code in (0, 1), said
    code, said = command(capsys, "init", "it's: #1 {x}.parquet", "--train", "--out", "other.yaml")
    assert code == 0, said
    assert load_recipe("recipe.yaml").columns.features == HOSTILE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.rename_columns({"repaid": "outcome"}), None),
        (lambda table: table.drop_columns(["repaid"]), "cannot tell which column is the label"),
    ],
)
def test_a_label_of_another_name_is_guessed_by_its_classes(loans, here, capsys, change, says):
    pq.write_table(change(applicants(50, 3)), here / "table.parquet")
    code, said = command(capsys, "init", loans / "model", "table.parquet")
    if says is None:
        assert code == 0
        assert "label: outcome  (a guess" in said
    else:
        assert code == 2
        assert says in said
        assert not (here / "audit.yaml").exists()


@pytest.mark.parametrize("mine", ["audit.yaml", "recipe.yaml"])
def test_it_overwrites_nothing(here, capsys, mine):
    pq.write_table(applicants(100, 3), here / "people.parquet")
    (here / mine).write_text("mine")
    code, said = command(capsys, "init", "people.parquet")
    assert code == 2
    assert "already there" in said
    assert (here / mine).read_text() == "mine"
    assert {item.name for item in here.iterdir()} == {"people.parquet", mine}


def make(here, what):
    if what == "one class of pictures":
        pictures(here / "loose", each=2)
        for item in list((here / "loose").iterdir()):
            for file in item.iterdir():
                file.rename(here / "loose" / f"{item.name}{file.name}")
            item.rmdir()
    if what == "two tables":
        (here / "two").mkdir()
        for name in ("a", "b"):
            pq.write_table(applicants(20, 1), here / "two" / f"{name}.parquet")
    if what == "few rows":
        pq.write_table(applicants(4, 1), here / "few.parquet")
    if what == "nothing to learn from":
        pd.DataFrame({"id": range(60), "pay": np.random.default_rng(0).normal(size=60)}).to_csv("bare.csv", index=False)
    if what == "an endless number":
        frame = homes()
        frame.assign(rent=frame.rent.where(frame.index > 0, np.inf)).to_parquet(here / "endless.parquet")
    if what == "a text file":
        (here / "notes.docx").write_text("hello")


@pytest.mark.parametrize(
    ("what", "arguments", "says"),
    [
        ("nothing", ["gone.csv"], "there is no such file or folder"),
        ("one class of pictures", ["loose"], "no subfolders named after classes"),
        ("two tables", ["two"], "has 2 files of rows (a.parquet, b.parquet)"),
        ("few rows", ["few.parquet"], "few.parquet"),
        ("a text file", ["notes.docx"], "data of this kind are not read"),
        ("nothing to learn from", ["bare.csv"], "no column is left to learn from ('id': names rows)"),
        ("an endless number", ["endless.parquet"], "1 of 48 numbers are missing or infinite"),
        ("few rows", ["rules:approve", "few.parquet"], "does not say what it takes"),
        ("few rows", ["gone.pt2", "few.parquet"], "gone.pt2"),
        ("few rows", ["a", "b", "c"], "got 3 paths"),
        ("few rows", ["few.parquet", "--label", "repayed"], "did you mean 'repaid'"),
    ],
)
def test_what_cannot_be_started_from_is_refused_in_a_sentence(here, capsys, what, arguments, says):
    make(here, what)
    code, said = command(capsys, "init", *arguments)
    assert code == 2
    assert says in said
    assert said.count("\n") == 1
    assert not list(here.glob("*.yaml"))


def test_code_of_others_runs_only_where_it_is_named(here, capsys):
    from auditkit.subject.bundle import save_bundle
    from auditkit.subject.load import load_model

    (here / "their_nets.py").write_text(
        "from torch import nn\n\n\n"
        "class Net(nn.Sequential):\n    def __init__(self):\n        super().__init__(nn.Linear(2, 2))\n"
    )
    table = applicants(60, 1)
    pq.write_table(table, here / "people.parquet")
    model = load_model(torch.nn.Sequential(torch.nn.Linear(2, 2)), classes=["no", "yes"], features=["income", "age"])
    model.architecture = {"path": "their_nets:Net", "arguments": {}}
    save_bundle(model, here / "theirs")
    code, said = command(capsys, "init", "theirs", "people.parquet")
    assert (code, "--architecture their_nets:Net" in said) == (2, True)
    code, said = command(capsys, "init", "theirs", "people.parquet", "--architecture", "their_nets:Net")
    assert code == 0, said
    assert load_spec("audit.yaml").architecture == "their_nets:Net"
