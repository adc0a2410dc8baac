"""How everything looks: the plotly template, colours, number and interval formats, verdict words and marks.

Okabe-Ito colours for categories (a group keeps its colour on every page), a perceptually even scale for magnitudes, a
diverging one centred on zero for signed values. A verdict is told by word and mark as well as by colour.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

CATEGORIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C7A00", "#6B6B6B")
MAGNITUDE = "Viridis"
SIGNED = [[0.0, "#D55E00"], [0.5, "#F4F4F2"], [1.0, "#0072B2"]]
INK, PAPER, GRID, MUTED = "#1F2933", "#FFFFFF", "#E4E7EB", "#616E7C"
FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"

VERDICTS: dict[str, tuple[str, str]] = {
    "pass": ("✓", "#00795A"),
    "fail": ("✕", "#B3261E"),
    "inconclusive": ("≈", "#8A6100"),
    "missing": ("–", "#616E7C"),
}
NO_VALUE = "–"


def colour_of(name: str, names: Sequence[str]) -> str:
    """The colour of a category: by its place among all names in sorted order, so that it is the same on every page.

    >>> colour_of("Female", ["Male", "Female"]) == CATEGORIES[0]
    True
    """
    order = sorted(set(names))
    return CATEGORIES[order.index(name) % len(CATEGORIES)] if name in order else MUTED


def verdict_label(verdict: str) -> str:
    """A verdict's mark and word, such as `✓ pass`."""
    return f"{VERDICTS[verdict][0]} {verdict}"


def _digits(value: float, lower: float | None, upper: float | None) -> int:
    """As many decimals as the interval supports: about two significant digits of its width."""
    if lower is not None and upper is not None and upper > lower:
        return min(6, max(0, 1 - math.floor(math.log10(2 * (upper - lower)))))
    return 0 if value == 0 else min(6, max(0, 2 - math.floor(math.log10(abs(value)))))


def number(value: float | None, unit: str = "", lower: float | None = None, upper: float | None = None) -> str:
    """A number with its unit and no more digits than its interval supports.

    Units: `rate` is shown in percent, `points` as percentage points, `ratio` and `` plain, `rows` as an integer with
    thousands separators; anything else (`J`, `s`) stands behind the number.

    >>> number(0.84512, "rate", 0.8401, 0.8499), number(None), number(48842, "rows")
    ('84.5 %', '–', '48,842')
    """
    if value is None or not math.isfinite(value):
        return NO_VALUE
    if unit == "rows":
        return f"{value:,.0f}"
    factor = 100.0 if unit in ("rate", "points") else 1.0
    scaled = [None if edge is None else edge * factor for edge in (lower, upper)]
    digits = _digits(value * factor, *scaled)
    if unit == "rate":
        digits = min(digits, 2)
    text = f"{value * factor:,.{digits}f}"
    suffix = {"rate": " %", "points": " pts", "ratio": "", "": ""}.get(unit, f" {unit}")
    return text + suffix


def limit(value: float, unit: str = "") -> str:
    """A limit as somebody wrote it, in the unit of what it is held against.

    >>> limit(0.8, "ratio"), limit(0.835, "rate"), limit(0.1, "points")
    ('0.8', '83.5 %', '10 pts')
    """
    factor = 100.0 if unit in ("rate", "points") else 1.0
    suffix = {"rate": " %", "points": " pts", "ratio": "", "": ""}.get(unit, f" {unit}")
    return f"{value * factor:.10g}{suffix}"


def interval(lower: float | None, upper: float | None, unit: str = "") -> str:
    """An interval in square brackets, in the unit of its number; a dash where there is none.

    >>> interval(0.8401, 0.8499, "rate"), interval(None, None)
    ('[84.0, 85.0]', '–')
    """
    if lower is None or upper is None or not (math.isfinite(lower) and math.isfinite(upper)):
        return NO_VALUE
    factor = 100.0 if unit in ("rate", "points") else 1.0
    low, high = lower * factor, upper * factor
    digits = _digits(high, low, high)
    return f"[{low:,.{digits}f}, {high:,.{digits}f}]"


def probability(p: float | None) -> str:
    """A p-value: two digits, and nothing below one in a thousand; a dash where there is none.

    >>> probability(0.0312), probability(5e-81), probability(None)
    ('0.031', '< 0.001', '–')
    """
    return NO_VALUE if p is None else "< 0.001" if p < 0.001 else f"{p:.2g}"


def template(dark: bool = False) -> Any:
    """The plotly template of every figure. Backgrounds are transparent so that page and report supply them."""
    import plotly.graph_objects as go

    ink, grid, muted = ("#E4E7EB", "#3A4450", "#9AA5B1") if dark else (INK, GRID, MUTED)
    axis = {
        "gridcolor": grid,
        "zerolinecolor": muted,
        "linecolor": grid,
        "ticks": "",
        "automargin": True,
        "title": {"font": {"size": 13, "color": muted}, "standoff": 10},
        "tickfont": {"size": 12},
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "color": ink, "size": 13},
            "title": {"font": {"size": 16}, "x": 0, "xref": "paper", "xanchor": "left"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(CATEGORIES),
            "xaxis": axis,
            "yaxis": axis,
            "margin": {"l": 60, "r": 20, "t": 56, "b": 56},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
            "hoverlabel": {"font": {"family": FONT}},
            "colorscale": {"sequential": MAGNITUDE, "diverging": SIGNED},
        }
    )


def short(text: str, longest: int = 26) -> str:
    """Text short enough for an axis; both its ends stay, as names often differ at the end. Not yet escaped.

    >>> short("a" * 20 + "z", 7)
    'aaa…aaz'
    """
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[: longest - 1 - half]}…{text[-half:]}"


def picture(line: Mapping[str, Any]) -> Any:
    """A small picture as a plotly trace: `pixels` in [0, 1], flat, with `channels`, `height` and `width`.

    Grey for one channel, with 0 black as in any picture, in colour for three.
    """
    import numpy as np
    import plotly.graph_objects as go

    pixels = np.array(line["pixels"], dtype=np.float64).reshape(line["channels"], line["height"], line["width"])
    if line["channels"] == 3:
        return go.Image(z=(255 * pixels.transpose(1, 2, 0)).astype(np.uint8), hoverinfo="skip")
    grey = {"colorscale": "Greys", "reversescale": True, "zmin": 0, "zmax": 1}
    return go.Heatmap(z=pixels.mean(axis=0), showscale=False, hoverinfo="skip", **grey)


def escape(text: object) -> str:
    """Text as plotly must be given it: plotly reads a few HTML tags in titles, labels and hovers.

    >>> escape("<b>x</b>")
    '&lt;b&gt;x&lt;/b&gt;'
    """
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
