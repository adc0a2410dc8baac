"""The HTML report as text and in a browser: hostile names show as text, nothing is loaded, figures are drawn."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from auditkit.report import write_reports
from auditkit.report.html import json_for_script, render
from auditkit.theme import VERDICTS
from tests.report.evidence_of_a_fake_audit import EVIL, QUOTES, FakeEvidence, fake_evidence


class Parsed(HTMLParser):
    """Start tags with attributes, script contents by id, and all text outside scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.text: list[str] = []
        self._inside: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = dict(attrs).get("id") or tag

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self.text.append(data)
        else:
            self.scripts[self._inside] = self.scripts.get(self._inside, "") + data


@pytest.fixture(scope="module")
def page() -> str:
    return render(fake_evidence())


def test_hostile_names_are_text_and_nothing_else(page: str) -> None:
    parsed = Parsed(page)
    assert [tag for tag, _ in parsed.tags].count("script") == 4  # figures, templates, plotly and ours
    assert EVIL not in page
    shown = "".join(parsed.text)
    assert EVIL in shown
    assert QUOTES in shown
    figures = json.loads(parsed.scripts["report-figures"])
    assert figures["fairness-rate"]["data"][0]["customdata"][1] == EVIL
    assert set("<>&").isdisjoint(parsed.scripts["report-figures"])


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "]]>", "\u2028", "&lt;", QUOTES])
def test_json_in_a_script_cannot_end_it_and_is_read_back(text: str) -> None:
    written = str(json_for_script({"name": text}))
    assert set("<>&\u2028").isdisjoint(written)
    assert json.loads(written) == {"name": text}


def test_the_file_is_whole_in_itself(page: str) -> None:
    parsed = Parsed(page)
    loading = {"src", "href", "data", "poster", "srcset", "action"}
    outside = [(tag, value) for tag, attributes in parsed.tags for name, value in attributes.items() if name in loading]
    assert all(value is not None and value.startswith("#") for _, value in outside)
    assert not {"link", "iframe", "img", "object", "embed", "base"} & {tag for tag, _ in parsed.tags}
    assert not re.search(r"url\(|@import", parsed.scripts["style"])
    assert "default-src 'none'" in page


def test_plotly_is_there_once_and_only_with_figures(page: str) -> None:
    import base64
    import gzip

    parsed = Parsed(page)
    source = gzip.decompress(base64.b64decode(parsed.scripts["report-plotly"])).decode()
    assert source.count("plotly.js v") == 1
    assert len(page.encode()) < 2_200_000
    without = fake_evidence()
    without.made = {"performance": without.made["performance"]}
    assert len(render(without).encode()) < 60_000


def test_verdict_gates_and_caveats_come_before_the_findings(page: str) -> None:
    text = "".join(Parsed(page).text)
    order = [
        text.index(part) for part in ("✕ fail", "Gates, the worst first", "Read before trusting", "Accuracy is 85.0 %")
    ]
    assert order == sorted(order)
    rows = page[page.index("<tbody>") :]
    assert re.findall(r'class="badge (\w+)"', rows) == ["fail", "missing", "inconclusive", "inconclusive", "pass"]
    assert "Of 5 gate results, 1 fails, 1 is missing its evidence, 2 are inconclusive and 1 passes." in text
    assert page.count("warns only") == 1


@pytest.mark.parametrize("verdict", list(VERDICTS))
def test_a_verdict_has_its_word_and_its_mark(verdict: str) -> None:
    evidence = fake_evidence()
    evidence.verdict = verdict
    assert f"<strong>{VERDICTS[verdict][0]} {verdict}</strong>" in render(evidence)


@pytest.mark.parametrize(("rows", "folded", "left_out"), [(12, False, 0), (13, True, 0), (250, True, 50)])
def test_long_tables_are_folded_and_very_long_ones_cut_with_a_note(rows: int, folded: bool, left_out: int) -> None:
    page = render(fake_evidence(rows))
    assert (f"Table: {rows} rows" in page) is folded
    assert page.count("31.0 %") == min(rows, 200)
    assert (f"{left_out} more rows are in the evidence" in page) is (left_out > 0)


def test_tables_have_captions_and_headers_and_figures_a_label(page: str) -> None:
    tags = [tag for tag, _ in Parsed(page).tags]
    assert tags.count("table") == tags.count("caption") > 0
    assert all(attributes.get("scope") == "col" for tag, attributes in Parsed(page).tags if tag == "th")
    figures = [attributes for tag, attributes in Parsed(page).tags if "data-figure" in attributes]
    assert len(figures) == 1
    assert figures[0]["role"] == "img"
    assert QUOTES in (figures[0]["aria-label"] or "")
    anchors = {attributes["id"] for _, attributes in Parsed(page).tags if "id" in attributes}
    links = {str(attributes["href"])[1:] for tag, attributes in Parsed(page).tags if tag == "a"}
    assert links <= anchors


def test_the_same_evidence_gives_the_same_bytes(page: str) -> None:
    assert render(fake_evidence()) == page


def test_an_audit_with_nothing_in_it_still_makes_a_report(tmp_path: Path) -> None:
    paths = write_reports(FakeEvidence(verdict="missing", info={"name": "empty"}), tmp_path)
    assert [path.name for path in paths] == ["report.html", "report.md", "report.json", "junit.xml"]
    assert "No gates were set" in paths[0].read_text(encoding="utf-8")


def test_reports_import_neither_torch_nor_streamlit() -> None:
    code = (
        "import sys; from auditkit.report import html, markdown, json_report, junit;"
        "print([n for n in ('torch', 'streamlit', 'captum', 'codecarbon') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.fixture(scope="module")
def browser(chromium: str) -> Any:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024, 400])
def test_in_a_browser(browser: Any, tmp_path: Path, page: str, scheme: str, width: int) -> None:
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    problems: list[str] = []
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab.on("dialog", lambda dialog: (problems.append(f"dialog {dialog.message}"), dialog.dismiss()))
    tab.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-drawn]")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    title = tab.locator(".figure .gtitle")
    assert title.text_content() == EVIL
    ink = title.evaluate("node => getComputedStyle(node).fill")
    assert ink == ("rgb(228, 231, 235)" if scheme == "dark" else "rgb(31, 41, 51)")
    assert EVIL in tab.locator(".figure .xtick").all_text_contents()
    tab.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
    tab.wait_for_function("ink => getComputedStyle(document.querySelector('.figure .gtitle')).fill !== ink", arg=ink)
    assert problems == []
    tab.close()


@pytest.mark.browser
def test_on_paper_figures_are_light_fit_the_page_and_what_was_folded_is_open(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(fake_evidence(20)), encoding="utf-8")
    tab = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-drawn]")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.wait_for_function("document.querySelector('.figure .main-svg').getBoundingClientRect().width <= 660")
    assert tab.locator("details.printed:not([open])").count() == 0
    assert tab.locator(".figure .gtitle").evaluate("node => getComputedStyle(node).fill") == "rgb(31, 41, 51)"
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    tab.wait_for_function("document.querySelector('.figure .main-svg').getBoundingClientRect().width > 660")
    assert tab.locator("details.printed[open]").count() == 0
    tab.close()
