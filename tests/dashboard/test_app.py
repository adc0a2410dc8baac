"""Every page, driven through Streamlit's own test runner, over audits in every state."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

APP = Path(__file__).parents[2] / "dashboard" / "app.py"
PAGES = [path.name for path in sorted((APP.parent / "screens").glob("*.py"))]

_spec = importlib.util.spec_from_file_location("made_up", Path(__file__).with_name("made_up.py"))
assert _spec is not None
assert _spec.loader is not None
made_up = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made_up)


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["app.py", str(tmp_path)])
    return tmp_path


def opened(page: str = "overview.py", **query: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=20)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    if page != "overview.py":
        app.switch_page(f"screens/{page}").run()
    return app


def text_of(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.error, app.warning, app.info, app.success, app.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_there_is_a_page_for_every_question() -> None:
    questions = "activations energy explanations fairness out_of_distribution overview performance report"
    assert [f"{name}.py" for name in questions.split()] == PAGES
    assert not (APP.parent / "pages").exists(), "Streamlit would run its files without the frame of app.py"


def test_without_audits_the_page_says_how_to_make_one(reports: Path) -> None:
    app = opened()
    assert not app.exception
    assert app.title[0].value == "No audits yet"
    assert any("auditkit demo" in block.value for block in app.code)


def test_a_root_that_is_not_there_is_no_error(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(reports / "nowhere")])
    app = opened()
    assert not app.exception
    assert "There is no folder" in text_of(app)


def test_a_half_written_audit_is_not_shown(reports: Path) -> None:
    folder = made_up.write_audit(reports)
    (folder / "audit.json").unlink()
    assert opened().title[0].value == "No audits yet"
    made_up.write_audit(reports, "digits", "fedcbafedcba")
    (box,) = opened().sidebar.selectbox
    assert [option.split(" ")[1] for option in box.options] == ["digits"]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_a_full_audit(reports: Path, page: str) -> None:
    made_up.write_audit(reports)
    app = opened(page)
    assert not app.exception and not app.error if page != "overview.py" else not app.exception
    assert app.title


@pytest.mark.parametrize("page", PAGES)
def test_every_page_draws_an_audit_of_one_discipline(reports: Path, page: str) -> None:
    made_up.write_audit(reports, leave_out=("performance", "attribution", "activations", "ood", "energy"))
    app = opened(page)
    assert not app.exception
    if page not in ("overview.py", "fairness.py", "report.py"):
        assert "did not run" in text_of(app)


def test_the_overview_tells_the_verdict_the_gates_the_numbers_and_the_caveats(reports: Path) -> None:
    made_up.write_audit(reports)
    app = opened()
    assert "Fail" in app.error[0].value
    assert "✕ fail 1" in app.error[0].value
    assert {metric.label: metric.value for metric in app.metric}["Accuracy"] == "85\\.1\u00a0\\%"
    gates = app.table[0].value
    assert [cell.split("**")[1] for cell in gates["Verdict"]] == [
        "✓\u00a0pass",
        "✕\u00a0fail",
        "≈\u00a0inconclusive",
        "✓\u00a0pass",
        "–\u00a0missing",
    ]
    assert any("too few rows" in element.value for element in app.markdown)


@pytest.mark.parametrize("page", PAGES)
def test_hostile_names_reach_no_page_as_markup(reports: Path, page: str) -> None:
    name = f"{made_up.SCRIPT}{made_up.MARKUP}"
    made_up.write_audit(reports, name)
    app = opened(page)
    assert not app.exception
    shown = text_of(app) + "".join(str(metric.delta) + str(metric.value) for metric in app.metric)
    shown += "".join(table.value.to_csv() for table in app.table)
    assert "<script>" not in shown
    assert "**bold**" not in shown
    assert "$x$" not in shown
    assert "](http" not in shown


@pytest.mark.parametrize("page", PAGES)
def test_changed_evidence_is_said_on_every_page_and_named(reports: Path, page: str) -> None:
    made_up.tamper(made_up.write_audit(reports))
    app = opened(page)
    assert not app.exception
    assert "was changed since the audit" in app.error[0].value
    assert "audit\\.json" in app.error[0].value
    if page == "report.py":
        assert app.table[0].value.to_numpy().tolist() == [["audit\\.json", "changed"]]


@pytest.mark.parametrize(
    "damage", ["truncated json", "empty json", "json list", "truncated table", "no manifest", "flipped byte"]
)
def test_damaged_evidence_gets_a_sentence_and_no_traceback(reports: Path, damage: str) -> None:
    folder = made_up.write_audit(reports)
    content, table = folder / "audit.json", folder / "metrics.parquet"
    match damage:
        case "truncated json":
            content.write_bytes(content.read_bytes()[:100])
        case "empty json":
            content.write_text(json.dumps({"schema_version": 1}))
        case "json list":
            content.write_text("[]")
        case "truncated table":
            table.write_bytes(table.read_bytes()[:50])
        case "no manifest":
            (folder / "SHA256SUMS").unlink()
        case "flipped byte":
            changed = bytearray(table.read_bytes())
            changed[len(changed) // 2] ^= 0xFF
            table.write_bytes(bytes(changed))
    app = opened()
    for page in PAGES:
        app.switch_page(f"screens/{page}").run()
        assert not app.exception, page
        assert app.error, page
        assert "Traceback" not in text_of(app)


def test_the_choice_survives_a_change_of_page_and_stands_in_the_address(reports: Path) -> None:
    made_up.write_audit(reports, "adult", "aaaaaaaaaaaa")
    made_up.write_audit(reports, "digits", "bbbbbbbbbbbb")
    app = opened()
    assert app.query_params["audit"] == "digits/bbbbbbbbbbbb"
    app.sidebar.selectbox[0].select("adult/aaaaaaaaaaaa").run()
    assert app.title[0].value == "adult"
    assert app.query_params["audit"] == "adult/aaaaaaaaaaaa"
    app.query_params.clear()
    app.switch_page("screens/report.py").run()
    assert app.query_params["audit"] == "adult/aaaaaaaaaaaa"
    assert app.sidebar.selectbox[0].value == "adult/aaaaaaaaaaaa"


def test_an_address_opens_the_audit_it_names(reports: Path) -> None:
    made_up.write_audit(reports, "adult", "aaaaaaaaaaaa")
    made_up.write_audit(reports, "digits", "bbbbbbbbbbbb")
    assert opened(audit="adult/aaaaaaaaaaaa").title[0].value == "adult"


@pytest.mark.parametrize("asked", ["nobody/000000000000", "../../etc", "/etc/passwd", "<b>x</b>"])
def test_an_address_can_name_nothing_but_a_finished_audit(reports: Path, asked: str) -> None:
    made_up.write_audit(reports)
    app = opened(audit=asked)
    assert not app.exception
    assert "There is no finished audit" in app.warning[0].value
    assert app.title[0].value == "adult"


def test_the_root_may_be_an_audits_own_folder(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made_up.write_audit(reports)
    monkeypatch.setattr(sys, "argv", ["app.py", str(folder)])
    app = opened()
    assert app.title[0].value == "adult"
    assert app.query_params["audit"] == folder.name


def test_an_audit_written_while_the_dashboard_is_open_appears(reports: Path) -> None:
    app = opened()
    assert app.title[0].value == "No audits yet"
    made_up.write_audit(reports)
    app.button[0].click().run()
    assert app.title[0].value == "adult"


def test_the_check_reads_the_files_again_when_asked(reports: Path) -> None:
    folder = made_up.write_audit(reports)
    app = opened("report.py")
    assert "are as the audit left them" in app.success[0].value
    made_up.tamper(folder)
    next(button for button in app.button if button.label == "Check again").click().run()
    assert not app.success
    assert app.table[0].value.to_numpy().tolist() == [["audit\\.json", "changed"]]


def test_the_metric_table_is_narrowed_by_discipline_and_words(reports: Path) -> None:
    made_up.write_audit(reports)
    app = opened("report.py")
    box = next(box for box in app.selectbox if box.label == "Discipline")
    box.select("performance").run()
    assert app.dataframe[0].value["Metric"].tolist() == ["accuracy", "auc"]
    app.text_input[0].input("ACC").run()
    assert app.dataframe[0].value["Metric"].tolist() == ["accuracy"]


def test_one_answer_is_chosen_by_method_class_and_whether_it_was_right(reports: Path) -> None:
    made_up.write_audit(reports)
    app = opened("explanations.py")
    app.session_state["attribution-chapters"] = "One answer at a time"
    app.run()
    boxes = {box.label: box for box in app.main.selectbox}
    assert boxes["Method"].options == ["Integrated Gradients", "Grad-CAM"]
    assert boxes["Predicted"].options == ["any", *sorted([made_up.SCRIPT, made_up.MARKUP, made_up.SHORTCODES, "it's"])]
    assert app.dataframe[0].value["row"].tolist() == list(range(23, 13, -1))
    app.pagination[0].set_value(3).run()
    assert app.dataframe[0].value["row"].tolist() == [3, 2, 1, 0]
    boxes["Predicted"].select("it's").run()
    listed = app.dataframe[0].value
    assert set(listed["prediction"]) == {"it's"}
    app.segmented_control[0].select("Wrong").run()
    listed = app.dataframe[0].value
    assert len(listed) > 0
    assert (listed["label"] != "it's").all()
    assert not app.exception
    assert not app.error


def test_mistakes_are_listed_surest_first(reports: Path) -> None:
    made_up.write_audit(reports)
    listed = opened("performance.py").dataframe[-1].value
    assert listed["row"].tolist() == [21, 18, 15, 12, 9, 6, 3, 0]


def test_the_dashboard_never_imports_torch(tmp_path: Path) -> None:
    made_up.write_audit(tmp_path)
    script = (
        "import sys\n"
        f"sys.argv = ['app.py', {str(tmp_path)!r}]\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"app = AppTest.from_file({str(APP)!r}, default_timeout=20).run()\n"
        f"for page in {PAGES!r}:\n"
        "    app.switch_page('screens/' + page).run()\n"
        "    assert not app.exception and app.title, page\n"
        "loaded = [name for name in ('torch', 'captum', 'lightning', 'codecarbon') if name in sys.modules]\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
