"""One answer at a time: filters, one method or two side by side, their agreement and proof, all from evidence."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from auditkit.evidence.metrics import MetricRow

APP = Path(__file__).parents[2] / "dashboard" / "app.py"
PAIR = ["integrated_gradients", "grad_cam"]


@pytest.fixture
def made_up() -> ModuleType:
    spec = importlib.util.spec_from_file_location("made_up_explained", Path(__file__).with_name("made_up.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["app.py", str(tmp_path)])
    return tmp_path


@pytest.fixture
def full(reports: Path, made_up: ModuleType, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """An audit that kept groups, agreement and costs, opened at its explanations."""
    tables, rows = made_up.tables(), made_up.metric_rows()
    mine = tables["attribution"]
    n = mine["rows"].num_rows // 2
    mine["rows"] = (
        mine["rows"]
        .append_column("evaluations", pa.array([64] * n + [1] * n, pa.int64()))
        .append_column("steps", pa.array([32] * n + [None] * n, pa.int64()))
        .append_column("converged", pa.array([True] * n + [None] * n, pa.bool_()))
    )
    mine["row_groups"] = pa.table(
        {
            "row": list(range(n)),
            "attribute": [made_up.SHORTCODES] * n,
            "group": [made_up.SCRIPT if row < 3 else "o'clock" for row in range(n)],
        }
    )
    mine["row_agreement"] = pa.table(
        {
            "row": list(range(n)),
            "first": [PAIR[0]] * n,
            "second": [PAIR[1]] * n,
            "rank": [row / 100 for row in range(n)],
            "top": [0.4] * n,
            "sign": pa.array([None] * n, pa.float64()),
            "k": [5] * n,
            "reason": ["Grad-CAM tells no sign"] * n,
        }
    )
    known = {"value": 0.31, "lower": 0.3, "upper": 0.32, "confidence": 0.95, "n": n}
    rows["attribution"] = [MetricRow("attribution", "agreement", split="test", detail=" · ".join(PAIR), **known)]
    monkeypatch.setattr(made_up, "tables", lambda: tables)
    monkeypatch.setattr(made_up, "metric_rows", lambda: rows)
    made_up.write_audit(reports)
    return opened()


def opened() -> AppTest:
    app = AppTest.from_file(APP, default_timeout=20).run()
    app.switch_page("screens/explanations.py").run()
    app.session_state["attribution-chapters"] = "One answer at a time"
    return app.run()


def boxes(app: AppTest) -> dict:
    return {box.label: box for box in app.main.selectbox}


def listed(app: AppTest) -> list[int]:
    return app.dataframe[0].value["row"].tolist()


def said(app: AppTest) -> str:
    return plain("\n".join(element.value for element in app.markdown))


def proof(app: AppTest) -> dict[str, list[str]]:
    tables = [table.value.reset_index(drop=True) for table in app.table]
    table = next(table for table in tables if "Proof" in table.columns)
    return {plain(column): [plain(cell) for cell in table[column]] for column in table}


def plain(text: str) -> str:
    return text.replace("\\", "").replace("\u00a0", " ")


def plots(app: AppTest) -> list[str]:
    return [str(part.proto.spec) for part in app.get("plotly_chart")]


def test_one_method_has_its_proof_and_nothing_to_agree_with(full: AppTest) -> None:
    assert boxes(full)["Compared with"].options == ["nothing", "Grad-CAM"]
    table = proof(full)
    assert set(table) == {"Proof", "Integrated Gradients"}
    assert "64" in table["Integrated Gradients"]
    assert "32, within the tolerance" in table["Integrated Gradients"]
    assert "correlate" not in said(full)


def test_choosing_two_methods_shows_both_and_their_agreement_from_evidence(full: AppTest) -> None:
    boxes(full)["Compared with"].select("grad_cam").run()
    assert not full.exception
    assert not full.error
    assert "correlate at 0.23" in said(full), "row 23 is chosen, and its line says 0.23"
    assert "40 % of the 5 weightiest parts" in said(full)
    assert "Over 24 explained rows the median correlation is 0.310 [0.300, 0.320]" in said(full)
    assert set(proof(full)) == {"Proof", "Integrated Gradients", "Grad-CAM"}
    drawn = next(plot for plot in plots(full) if "share of the row" in plot)
    assert "Integrated Gradients" in drawn
    assert "Grad-CAM" in drawn


def test_another_first_method_leaves_no_comparison_with_itself(full: AppTest) -> None:
    boxes(full)["Compared with"].select("grad_cam").run()
    boxes(full)["Method"].select("grad_cam").run()
    assert not full.exception
    assert boxes(full)["Compared with"].options == ["nothing", "Integrated Gradients"]
    assert "Grad-CAM" in proof(full)


def test_rows_are_narrowed_by_class_group_and_text_and_ordered_by_score(full: AppTest, made_up: ModuleType) -> None:
    boxes(full)["Order"].select("Lowest score first").run()
    assert listed(full) == list(range(10))
    assert boxes(full)["Group"].options[1] == f"{made_up.SHORTCODES}: {made_up.SCRIPT}"
    boxes(full)["Group"].select((made_up.SHORTCODES, made_up.SCRIPT)).run()
    assert listed(full) == [0, 1, 2]
    boxes(full)["Class"].select(made_up.MARKUP).run()
    assert listed(full) == [1]
    boxes(full)["Group"].select(None).run()
    assert listed(full) == [1, 5, 9, 13, 17, 21]
    full.text_input[0].input("it's'; drop table t").run()
    assert "No row is like that" in full.info[0].value
    full.text_input[0].input(":SMILE:").run()
    assert listed(full) == [1, 5, 9, 13, 17, 21], "every row has that text, in whatever case"
    assert not full.exception
    assert not full.error


def test_hostile_names_are_text_in_a_comparison(full: AppTest) -> None:
    boxes(full)["Compared with"].select("grad_cam").run()
    shown = "\n".join(element.value for kind in (full.markdown, full.subheader) for element in kind)
    shown += "".join(table.value.to_csv() for table in full.table)
    assert "<script>" not in shown
    assert "**bold**" not in shown
    assert not any("<script>" in plot.replace("\\u003c", "<") for plot in plots(full))


def test_an_older_audit_says_why_something_is_not_there(reports: Path, made_up: ModuleType) -> None:
    made_up.write_audit(reports)
    app = opened()
    assert boxes(app)["Group"].disabled
    assert "made before groups were kept" in said(app)
    boxes(app)["Compared with"].select("grad_cam").run()
    assert not app.exception
    assert not app.error
    assert "How far two methods agree on one row was not kept by this audit" in said(app)
    assert "not kept by this audit" in proof(app)["Grad-CAM"]


def test_a_text_is_listed_with_its_words(reports: Path, made_up: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = made_up.tables()
    mine = tables["attribution"]
    said = ["a", made_up.SCRIPT, "##ing", made_up.MARKUP]
    lines = [(method, row, place) for method in PAIR for row in range(24) for place in range(len(said))]
    mine["explanations"] = pa.table(
        {
            "method": [method for method, _, _ in lines],
            "row": [row for _, row, _ in lines],
            "position": [place + 1 for _, _, place in lines],
            "word": [said[place] for _, _, place in lines],
            "value": [float(place) for _, _, place in lines],
        }
    ).take(list(reversed(range(len(lines)))))
    del mine["inputs"]
    monkeypatch.setattr(made_up, "tables", lambda: tables)
    made_up.write_audit(reports)
    app = opened()
    assert app.dataframe[0].value["text"].tolist() == [f"a {made_up.SCRIPT}ing {made_up.MARKUP}"] * 10
    app.text_input[0].input(made_up.SCRIPT).run()
    assert len(listed(app)) == 10
    assert not app.exception
    assert not app.error
