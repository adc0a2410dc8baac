"""The dashboard as a person sees it: every page in Chromium, light and dark, wide and narrow, with hostile names."""

import contextlib
import importlib.util
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.appearance import DARK, LIGHT
from dashboard.serve import command

pytestmark = pytest.mark.browser

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

_spec = importlib.util.spec_from_file_location("made_up", Path(__file__).parents[1] / "dashboard" / "made_up.py")
made_up = importlib.util.module_from_spec(_spec)  # type: ignore[arg-type]
_spec.loader.exec_module(made_up)  # type: ignore[union-attr]

PAGES = [
    "Overview",
    "Performance",
    "Fairness",
    "Explanations",
    "Activations",
    "Out of distribution",
    "Energy",
    "Report & evidence",
    "A discipline from elsewhere",
]
NAME = f"{made_up.SCRIPT} {made_up.MARKUP}"
SHOTS = os.environ.get("AUDITKIT_SCREENSHOTS")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def audit_hostile_names(out: Path) -> None:
    """A real audit of a small network in whose data every class, column, group and split has a hostile name."""
    import numpy as np
    import pandas as pd
    import torch

    import auditkit as ak

    rng = np.random.default_rng(0)
    columns, classes, attribute = [made_up.MARKUP, made_up.SCRIPT, made_up.SHORTCODES], made_up.HOSTILE, 'group "x" 🙂'

    def table(rows: int, shift: float = 0.0) -> pd.DataFrame:
        inputs = rng.normal(shift, 1.0, (rows, 3)).astype("float32")
        group = rng.integers(2, size=rows)
        label = (inputs[:, 0] + group / 2 + rng.normal(0, 0.5, rows) > 0).astype(int)
        made = pd.DataFrame(inputs, columns=columns)
        return made.assign(**{attribute: [classes[g] for g in group], "label": [classes[y] for y in label]})

    torch.manual_seed(0)
    ak.audit(
        torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)),
        {"train": table(400), "validation": table(200), "test": table(300), "<b>set</b>": table(100, 4.0)},
        name=NAME,
        label="label",
        positive=classes[1],
        classes=classes,
        features=columns,
        sensitive=[attribute],
        out=out,
        attribution={"rows": 32},
        energy={"seconds": 0.05, "blocks": 3},
        performance={"replicates": 200},
        fairness={"replicates": 200},
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dashboard")
    audit_hostile_names(folder / "reports" / "real")
    made_up.write_audit(folder / "reports", NAME)
    made_up.write_views(folder / "installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [str(folder / "installed"), *filter(None, [os.environ.get("PYTHONPATH")])]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command(folder / "reports", port),
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=log,
            stderr=log,
        )
    try:
        for _ in range(150):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health"):
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
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


class Visit:
    """A page in the browser, and everything that went wrong in it."""

    def __init__(self, browser: Any, mode: str, width: int) -> None:
        self.context = browser.new_context(color_scheme=mode, viewport={"width": width, "height": 900})
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.problems: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda problem: self.problems.append(f"page error: {problem}"))
        self.page.on("dialog", self._refuse)
        self.page.on("request", self._watch)

    def _hear(self, message: Any) -> None:
        # Streamlit asks a deep link's own path for its server first; the answer "not there" is part of how it starts.
        starting = message.location.get("url", "").endswith(("/_stcore/health", "/_stcore/host-config"))
        if message.type == "error" and not starting:
            self.problems.append(f"console: {message.text} {message.location}")

    def _refuse(self, dialog: Any) -> None:
        self.problems.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()

    def _watch(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.problems.append(f"asked the network: {request.url}")

    def settle(self) -> None:
        self.page.wait_for_selector('[data-testid="stMain"] h1')
        self.page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        self.page.wait_for_function("document.querySelectorAll('[data-stale=\"true\"]').length === 0")

    def text(self) -> str:
        return self.page.locator('[data-testid="stMain"]').inner_text().replace("\u2060", "")


def test_a_deep_link_opens_its_page_and_audit_first_thing(address: str, browser: Any) -> None:
    visit = Visit(browser, "light", 1440)
    visit.page.goto(f"{address}/report")
    visit.settle()
    assert visit.page.locator("h1").inner_text() == "Report & evidence"
    assert "audit=" in visit.page.url
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="Download").nth(1).click()
    assert "fails its policy" in Path(download.value.path()).read_text(encoding="utf-8")
    assert visit.problems == []
    visit.context.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024])
def test_every_page_is_whole(address: str, browser: Any, mode: str, width: int) -> None:
    visit = Visit(browser, mode, width)
    page = visit.page
    page.goto(address)
    for title in PAGES:
        visit.settle()
        page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
        page.wait_for_function("title => document.title === title", arg=f"{title} · auditkit")
        visit.settle()
        assert page.get_by_test_id("stException").count() == 0, title
        if title != "Overview":
            assert page.get_by_test_id("stAlertContentError").count() == 0, title
        assert page.locator(".stMain script, .stMain b, .stMain img, .stMain .katex").count() == 0, title
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{title} overflows"
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width, title
        background = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
        assert background == _rgb((DARK if mode == "dark" else LIGHT)["backgroundColor"])
        if title not in ("Overview", "Report & evidence"):
            page.wait_for_selector(".js-plotly-plot .gtitle")
            ink = page.evaluate("getComputedStyle(document.querySelector('.ytick text')).fill")
            assert ink == _rgb("#E4E7EB" if mode == "dark" else "#1F2933"), f"{title}: unreadable on {mode}"
            text = visit.text()
            for name in (made_up.SCRIPT, made_up.MARKUP, made_up.SHORTCODES):
                assert name in text, f"{name} is not shown as it is on {title}"
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/{title}_{mode}_{width}.png")
    assert visit.problems == []
    visit.context.close()


def test_a_real_audit_shows_hostile_names_as_text(address: str, browser: Any) -> None:
    visit = Visit(browser, "dark", 1440)
    page = visit.page
    page.goto(address)
    visit.settle()
    page.get_by_test_id("stSidebar").get_by_role("combobox").click()
    page.get_by_role("option").nth(1).click()
    page.wait_for_function("location.search.includes('real')")
    for title in PAGES[:-1]:
        page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
        page.wait_for_function("title => document.title === title", arg=f"{title} · auditkit")
        visit.settle()
        assert page.get_by_test_id("stAlertContentError").count() == 0, title
        assert page.locator(".stMain script, .stMain b, .stMain img, .stMain .katex").count() == 0, title
        assert page.evaluate("document.documentElement.scrollWidth") <= 1440, f"{title} overflows"
        if title not in ("Energy", "Report & evidence"):
            assert any(name in visit.text() for name in made_up.HOSTILE), title
    assert visit.problems == []
    visit.context.close()


def test_figures_follow_when_the_reader_turns_the_light_off(address: str, browser: Any) -> None:
    visit = Visit(browser, "light", 1440)
    visit.page.goto(f"{address}/fairness")
    visit.settle()
    visit.page.wait_for_selector(".js-plotly-plot .gtitle")
    visit.page.emulate_media(color_scheme="dark")
    visit.page.wait_for_function(
        f"getComputedStyle(document.querySelector('.ytick text')).fill === '{_rgb('#E4E7EB')}'"
    )
    visit.context.close()


def _rgb(colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgb({red}, {green}, {blue})"
