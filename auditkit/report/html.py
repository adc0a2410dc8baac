"""The HTML report: one file that opens from disk without a network, on a screen light or dark, and on paper.

plotly.js is inlined once, compressed (the browser unpacks it), and figures are JSON that one small script draws; it
redraws them when the scheme changes or the page is printed. Jinja escapes all text; JSON inside a script element has
every `<`, `>` and `&` written as an escape, so that no name can end the element.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from auditkit.evidence.section import Section
from auditkit.report.content import Content, content_of, grid_of
from auditkit.theme import FONT, VERDICTS, template

TABLE_ROWS = 200
"""Rows of a table that are shown; the evidence holds all of them."""
FOLDED_ROWS = 12
"""A table of more rows than this is folded."""

PRINTED_ROWS = 40
"""A folded table of up to so many rows is unfolded on paper."""
FIGURE_HEIGHT = 420
"""Pixels, for a figure that does not say."""


def render(evidence: Any) -> str:
    """The report as one HTML document."""
    content = content_of(evidence)
    page = _environment().get_template("report.html.j2")
    return page.render(
        content=content,
        figures=json_for_script(_figures(content)),
        templates=json_for_script({"light": _template(dark=False), "dark": _template(dark=True)}),
        plotly=_plotly() if _has_figures(content) else "",
        css=_own("report.css"),
        script=_own("report.js"),
        font=Markup(FONT),
        verdict_colours={name: colour for name, (_, colour) in VERDICTS.items()},
    )


def json_for_script(content: Any) -> Markup:
    """JSON that stands safely inside a script element, whatever names it holds.

    >>> print(json_for_script("</script>"))
    "\\u003c/script\\u003e"
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("auditkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"grid": lambda table: grid_of(table, TABLE_ROWS), "folded_rows": FOLDED_ROWS}
    environment.globals["printed_rows"] = PRINTED_ROWS
    environment.filters["breakable"] = breakable
    return environment


def breakable(name: str) -> Markup:
    """A long name, escaped, that may break after a slash or an underscore.

    >>> print(breakable("fairness/a_b<"))
    fairness/<wbr>a_<wbr>b&lt;
    """
    return Markup(re.sub("([/_])", r"\1<wbr>", str(escape(name))))


def _own(name: str) -> Markup:
    """A style or script of ours, which is trusted as it is."""
    return Markup((files("auditkit.report") / "templates" / name).read_text(encoding="utf-8"))


@cache
def _plotly() -> str:
    """plotly.js, gzipped and in base64: two fifths of its size."""
    source = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(source, mtime=0)).decode("ascii")


def _has_figures(content: Content) -> bool:
    return any(section.figure is not None for part in content.disciplines for section in part.sections)


def _figures(content: Content) -> dict[str, Any]:
    """Anchor → figure as plain JSON, without the template, which is common to all."""
    return {
        f"{part.name}-{section.key}": _figure(section)
        for part in content.disciplines
        for section in part.sections
        if section.figure is not None
    }


def _figure(section: Section) -> dict[str, Any]:
    figure = json.loads(section.figure.to_json(), parse_constant=lambda _: None)
    figure["layout"].pop("template", None)
    figure["layout"].setdefault("height", FIGURE_HEIGHT)
    return {"data": figure["data"], "layout": figure["layout"]}


def _template(dark: bool) -> Any:
    return json.loads(json.dumps(template(dark).to_plotly_json()))
