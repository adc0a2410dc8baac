"""The fairness page's threshold: moving it changes every number and figure, from counts alone and without a model."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from auditkit import check_fairness
from auditkit.fairness.record import keep
from auditkit.fairness.result import FairnessCheck
from auditkit.theme import short

APP = Path(__file__).parents[2] / "dashboard" / "app.py"
SCRIPT, MARKUP = "<script>alert(1)</script>", '**bold** $x$ "quotes" 🙂'
N = 2000
RNG = np.random.default_rng(0)
COLUMNS = {"sex": RNG.choice([SCRIPT, MARKUP], N), "age": RNG.choice(["old", "young"], N)}
SCORES = RNG.beta(2, 2, N) * np.where(COLUMNS["sex"] == SCRIPT, 0.85, 1.0)
TRUTH = (RNG.random(N) < SCORES).astype(int)


def check_at(threshold: float, **more: Any) -> FairnessCheck:
    decision = (threshold <= SCORES).astype(int)
    return check_fairness(TRUTH, decision, sensitive_features=COLUMNS, replicates=300, **more)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["app.py", str(tmp_path)])
    keep(check_at(0.5, scores=SCORES), tmp_path)
    app = AppTest.from_file(APP, default_timeout=30).run()
    app.switch_page("screens/fairness.py").run()
    app.session_state["fairness-chapters"] = "Try another threshold"
    return app.run()


def shown(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value.replace("\\", "").replace("\u00a0", " ") for metric in app.metric}


def figures(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def rate_of(check: FairnessCheck, metric: str, group: str = "") -> float:
    rows = [row for row in check.metrics if row.metric == metric and row.attribute == ("sex" if group else "")]
    return next(float(row.value) for row in rows if row.group == group and row.value is not None)


def test_it_opens_at_the_threshold_in_use(page: AppTest) -> None:
    assert not page.exception
    assert not page.error
    assert page.slider[0].value == 0.5
    percent = float(shown(page)["Selection rate"].removesuffix(" %"))
    assert percent == pytest.approx(100 * rate_of(check_at(0.5), "selection_rate"), abs=0.5)


def test_moving_it_changes_every_number_and_figure_to_those_of_a_check(page: AppTest) -> None:
    before, drawn = shown(page), figures(page)
    page.slider[0].set_value(0.35).run()
    assert not page.exception
    after, moved = shown(page), figures(page)
    assert all(after[label] != before[label] for label in before)
    assert len(drawn) == len(moved) == 2
    assert all(old["data"] != new["data"] for old, new in zip(drawn, moved, strict=True))
    dots = next(trace for trace in moved[1]["data"] if isinstance(trace["marker"]["color"], list))
    groups = sorted([SCRIPT, MARKUP])
    assert dots["x"] == pytest.approx([rate_of(check_at(0.35), "selection_rate", group) for group in groups])


def test_a_group_can_be_given_a_threshold_of_its_own(page: AppTest) -> None:
    page.toggle[0].set_value(True).run()
    assert len(page.slider) == 3
    labels = {slider.label.replace("\\", "") for slider in page.slider[1:]}
    assert labels == {short(SCRIPT), short(MARKUP)}
    assert not any("<script>" in slider.label for slider in page.slider), "names are escaped"
    assert page.slider[0].disabled, "with a threshold for every group there is none for all"
    before = shown(page)
    page.slider[1].set_value(0.7).run()
    assert not page.exception
    assert shown(page)["Selection-rate ratio, worst"] != before["Selection-rate ratio, worst"]


def test_groups_can_be_taken_by_any_attribute_and_crossed(page: AppTest) -> None:
    box = next(box for box in page.selectbox if box.label == "Groups by")
    assert box.options == ["sex", "age", "sex × age"]
    box.select("sex × age").run()
    assert not page.exception
    ticks = figures(page)[1]["layout"]["yaxis"]["ticktext"]
    assert len(ticks) == 4
    assert not any("<script" in tick for tick in ticks)


def test_without_scores_the_page_is_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(tmp_path)])
    keep(check_at(0.5), tmp_path)
    app = AppTest.from_file(APP, default_timeout=30).run()
    app.switch_page("screens/fairness.py").run()
    assert not app.exception
    assert "Try another threshold" not in [tab.label for tab in app.tabs]
    assert not app.slider
    assert len(figures(app)) > 2


def test_changed_counts_are_answered_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", str(tmp_path)])
    folder = keep(check_at(0.5, scores=SCORES), tmp_path)
    rates = folder / "fairness" / "rates.parquet"
    (folder / "fairness" / "score_counts.parquet").write_bytes(rates.read_bytes())
    app = AppTest.from_file(APP, default_timeout=30).run()
    app.switch_page("screens/fairness.py").run()
    app.session_state["fairness-chapters"] = "Try another threshold"
    app.run()
    assert not app.exception
    assert any("no table of score counts" in error.value.replace("\\", "") for error in app.error)
