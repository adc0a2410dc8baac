"""Markdown, JSON and JUnit: what machines and CI pages are given."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import InputError
from auditkit.evidence.section import Section
from auditkit.evidence.verdict import GateResult
from auditkit.report import FORMATS, junit, markdown, write_reports
from auditkit.report.content import Grid, grid_of
from auditkit.report.json_report import record, render, schema
from tests.report.evidence_of_a_fake_audit import EVIL, FakeEvidence, fake_evidence


def test_json_satisfies_its_published_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    content = json.loads(render(fake_evidence()), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    jsonschema.validate(content, schema())
    assert content["verdict"] == "fail"
    assert len(content["metrics"]) == 3
    assert content["caveats"][0]["text"] == f"group {EVIL} is small"
    assert {finding["key"] for finding in content["findings"]} == {"accuracy", "rate"}


def test_the_schema_refuses_what_is_not_a_report() -> None:
    content = record(fake_evidence())
    for wrong in (
        {**content, "verdict": "maybe"},
        {**content, "extra": 1},
        {**content, "metrics": [{**content["metrics"][0], "value": None}]},
        {**content, "metrics": [{**content["metrics"][1], "value": 0.0}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema())


def test_json_is_the_same_for_the_same_evidence_and_refuses_nan() -> None:
    assert render(fake_evidence()) == render(fake_evidence())
    evidence = fake_evidence()
    evidence.info["ledger"] = [{"phase": "pass", "forwards_per_row": float("nan")}]
    with pytest.raises(ValueError, match="JSON"):
        render(evidence)


def test_junit_has_a_suite_per_analysis_and_a_case_per_gate() -> None:
    root = ElementTree.fromstring(junit.render(fake_evidence()))
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "2",
        "errors": "1",
        "skipped": "1",
    }
    suites = {suite.get("name"): suite for suite in root.iter("testsuite")}
    assert list(suites) == ["performance", "fairness", "ood"]
    assert suites["fairness"].get("time") == "2.500"
    assert suites["fairness"].get("timestamp") == "2025-11-21T09:30:00+00:00"
    outcomes = {
        case.get("name"): [child.tag for child in case if child.tag != "properties"] for case in root.iter("testcase")
    }
    assert list(outcomes.values()) == [[], ["failure"], ["failure"], ["skipped"], ["error"]]
    values = {node.get("name"): node.get("value") for node in suites["performance"].iter("property")}
    assert values == {
        "condition": "at least 0.83",
        "value": "0.85",
        "lower": "0.84",
        "upper": "0.86",
        "n": "9768",
        "unit": "rate",
    }
    for suite in suites.values():
        cases = list(suite.iter("testcase"))
        assert suite.get("tests") == str(len(cases))
        for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert suite.get(key) == str(len(list(suite.iter(tag))))


def test_junit_of_an_audit_without_gates_is_skipped_not_passed() -> None:
    root = ElementTree.fromstring(junit.render(FakeEvidence(verdict="missing", info={})))
    assert (root.get("tests"), root.get("skipped")) == ("1", "1")
    assert next(root.iter("skipped")).get("message") == "no gates were set, so nothing was judged"


@given(st.text())
def test_junit_is_well_formed_whatever_a_group_is_called(name: str) -> None:
    evidence = FakeEvidence(info={"name": name}, gates=[GateResult(name, name, name, "fail", True, name)])
    root = ElementTree.fromstring(junit.render(evidence).encode("utf-8", "surrogatepass"))
    assert len(list(root.iter("failure"))) == 1


def test_markdown_says_verdict_gates_and_findings() -> None:
    text = markdown.render(fake_evidence())
    lines = text.splitlines()
    assert lines[0] == "# adult &lt;script&gt;alert(1)&lt;/script&gt;: ✕ fail"
    assert (
        text.index("## Gates") < text.index("## Read before") < text.index("## Performance") < text.index("## Evidence")
    )
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\](?=\(http)", text)
    assert "Accuracy is 85.0 %." in text


@given(st.text(min_size=1))
def test_a_markdown_table_keeps_its_columns_whatever_a_cell_holds(name: str) -> None:
    section = Section("k", "Title", "Finding.", table=pa.table({"a": [name], "b": ["2"], "c": [name]}))
    text = markdown.render(FakeEvidence(info={}, made={"fairness": [section]}, titles={"fairness": "Fairness"}))
    start = text.index("| a | b | c |")
    row = text[start:].split("\n")[2]
    unescaped = sum(character == "|" and (index == 0 or row[index - 1] != "\\") for index, character in enumerate(row))
    assert row.startswith("| ")
    assert unescaped == 4
    assert "<" not in row


@pytest.mark.parametrize(
    ("raw", "written"),
    [
        ("a_b", "a_b"),
        ("_a_", "\\_a\\_"),
        ("`x`", "\\`x\\`"),
        ("a\nb", "a b"),
        ("@user", "&#64;user"),
        ("![x](y)", "!\\[x\\](y)"),
        ("a\\|b", "a\\\\\\|b"),
    ],
)
def test_markdown_escapes(raw: str, written: str) -> None:
    assert markdown.text(raw) == written


def test_markdown_stays_within_its_budget_and_names_what_it_left_out() -> None:
    evidence = fake_evidence()
    evidence.made = {"fairness": [Section(f"k{i}", "Title", "é" * 20_000) for i in range(60)]}
    text = markdown.render(evidence)
    assert len(text.encode()) <= markdown.BUDGET
    assert "Left out for its size, see report.html: " in text
    assert "fairness/k59" in text
    assert "## Gates" in text


def test_reports_are_written_whole_and_an_unknown_format_is_refused(tmp_path: Path) -> None:
    paths = write_reports(fake_evidence(), tmp_path / "new", FORMATS)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    with pytest.raises(InputError, match=r"'pfd' is not a report format; did you mean|known"):
        write_reports(fake_evidence(), tmp_path, ["pfd"])


def test_grids_cut_rows_and_set_numbers_to_the_right() -> None:
    grid = grid_of(pa.table({"a": ["x", None, "z"], "n": ["1,234", "–", "5"]}), 2)
    assert grid.rows == (("x", "1,234"), ("–", "–"))
    assert grid.left_out == 1
    assert (grid.numeric(0), grid.numeric(1)) == (False, True)
    cells = ["84.5 %", "[84.0, 85.0]", "-3.1 pts", "12 mJ", "[−0.5, 1e-5]"]
    assert all(Grid(("c",), ((cell,),)).numeric(0) for cell in cells)
    assert not Grid(("c",), (("3 of 5",),)).numeric(0)
