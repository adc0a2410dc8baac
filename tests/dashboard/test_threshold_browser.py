"""The threshold dragged in Chromium: numbers and figures follow, on light and dark, wide and narrow."""

import contextlib
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashboard.serve import command

pytestmark = pytest.mark.browser

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

SCRIPT, MARKUP = "<script>alert(1)</script>", '**bold** $x$ "quotes" 🙂 and a name that does not end'
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def write_checks(out: Path) -> None:
    """Evidence with two groups of hostile names, and with two hundred."""
    from dataclasses import replace

    from auditkit import check_fairness
    from auditkit.fairness.record import keep

    rng = np.random.default_rng(0)
    n = 12_000
    regions = [SCRIPT, MARKUP, *(f"region {at:02d}" for at in range(98))]
    for name, columns in (
        ("two", {"sex": rng.choice([SCRIPT, MARKUP], n)}),
        ("many", {"region": rng.choice(regions, n), "sex": rng.choice(["f", "m"], n)}),
    ):
        place = np.unique(next(iter(columns.values())), return_inverse=True)[1]
        scores = rng.beta(2, 2, n) * np.where(place % 2, 0.8, 1.0)
        truth = (rng.random(n) < scores).astype(int)
        check = check_fairness(
            truth, (scores >= 0.5).astype(int), sensitive_features=columns, scores=scores, replicates=200
        )
        keep(replace(check, where=f"{name}.csv"), out)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Which check → the address of its fairness page."""
    folder = tmp_path_factory.mktemp("threshold")
    write_checks(folder / "reports")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command(folder / "reports", port), cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(150):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health"):
                break
            time.sleep(0.2)
        found = {path.parent.parent.name: path.parent for path in (folder / "reports").rglob("audit.json")}
        yield {name: f"http://127.0.0.1:{port}/fairness?audit={name}/{path.name}" for name, path in found.items()}
    finally:
        server.terminate()
        server.wait(timeout=10)
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=QUIET)
        yield running
        running.close()


@pytest.mark.parametrize("which", ["two", "many"])
@pytest.mark.parametrize(("mode", "width"), [("light", 1440), ("dark", 1024)])
def test_dragging_the_threshold_moves_numbers_and_figures(
    pages: dict[str, str], browser: Any, which: str, mode: str, width: int
) -> None:
    context = browser.new_context(color_scheme=mode, viewport={"width": width, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    page.goto(pages[which])
    page.get_by_role("tab", name="Try another threshold").click()
    page.wait_for_function("document.querySelectorAll('[data-testid=stMetricValue]').length === 4")
    page.wait_for_selector(".js-plotly-plot .gtitle")
    page.wait_for_selector(IDLE)
    before, dots = page.get_by_test_id("stMetricValue").all_inner_texts(), _dots(page)
    assert len(before) == 4
    handle = page.get_by_role("slider").first.bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y, steps=4)
    page.mouse.move(x - 120, y, steps=4)
    page.mouse.up()
    page.wait_for_function(
        "before => [...document.querySelectorAll('[data-testid=stMetricValue]')]"
        ".every((card, at) => card.innerText !== before[at])",
        arg=before,
    )
    page.wait_for_function("before => JSON.stringify([...document.querySelectorAll('.js-plotly-plot')].map("
                           "plot => plot.data.map(trace => trace.x))) !== before", arg=dots)  # fmt: skip
    page.wait_for_selector(IDLE)
    assert page.get_by_test_id("stException").count() == 0
    assert page.get_by_test_id("stAlertContentError").count() == 0
    assert page.locator(".stMain script, .stMain b, .stMain img, .stMain .katex").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width
    for figure in page.locator(".js-plotly-plot").all():
        assert figure.bounding_box()["height"] < 1400, "a figure of many groups stays as tall as a screen or two"
    ink = page.evaluate("getComputedStyle(document.querySelector('.ytick text')).fill")
    assert ink == ("rgb(228, 231, 235)" if mode == "dark" else "rgb(31, 41, 51)")
    assert problems == []
    context.close()


def _dots(page: Any) -> str:
    found: str = page.evaluate(
        "JSON.stringify([...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.data.map(t => t.x)))"
    )
    return found
