"""Attributions of texts as figures: the words of a row with colour behind them, and the words that lead overall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from unicodedata import combining, east_asian_width

import plotly.graph_objects as go
import pyarrow as pa
from plotly.subplots import make_subplots

from auditkit import theme
from auditkit.attribution.framing import (
    AGAINST,
    DIGIT,
    FOR,
    LETTERS,
    error_bars,
    finished,
    heading,
    tint,
    titles,
)
from auditkit.evidence.section import matching

SIZE, LINE, GAP, WIDE, INDENT = 14, 29, 9, 640, 4
"""pixels: letters, from line to line, between words, a line's length, and from the figure's left edge"""
HALF, BETWEEN = 300, 24
"""pixels: a line's length where two methods stand side by side, and between them"""
SHOWN, LONGEST = 300, 40
"""words of a text that are drawn, and letters of a word"""
LEADING = 10
"""words drawn for each sign (of each class, where there are more than two, half as many)"""
CLASSES, APART = 6, 74
"""panels, and pixels between one and the next below"""


def sentences(
    table: pa.Table, rows: pa.Table, methods: pa.Table, chosen: Sequence[int], method: str | Sequence[str]
) -> go.Figure:
    """The chosen rows' words in lines as they were read, blue behind what speaks for the target, orange against it.

    All rows share one scale. Words are set by pixels, so that the figure reads the same at any width. Of two methods
    the words stand twice, in two columns whose lines break alike; values are then shares of a row's attribution.
    """
    pair = [method] if isinstance(method, str) else list(method)
    wide = WIDE if len(pair) == 1 else HALF
    found = {(row, name): matching(table, method=name, row=row) for row in chosen for name in pair}
    edge = max((abs(line["value"]) for lines in found.values() for line in lines), default=0.0) or 1.0
    notes, down = _scale(edge, shares=len(pair) > 1), LINE + 10.0
    for row in chosen:
        fact = matching(rows, method=pair[0], row=row)[0]
        said = f"{heading(fact)} · score {fact['score']:+.2f}, without its words {fact['baseline_score']:+.2f}"
        notes.append(_set(0, down, said, size=13, family=None))
        down += LINE
        lowest = 0.0
        for column, name in enumerate(pair):
            aside, below = column * (wide + BETWEEN), down
            if len(pair) > 1:
                entry = matching(methods, method=name)[0]
                title = f"<b>{theme.escape(theme.short(entry['title'], 38))}</b>"
                title += "" if entry["signed"] else " (tells no sign)"
                notes.append(_set(aside, below, title, size=13, family=None))
                below += LINE
            last = -1
            for across, last, word, value in _laid_out(found[row, name][:SHOWN], wide):
                told = f"{value:+.1%}" if len(pair) > 1 else f"{value:+.4f}"
                hover = f"{theme.escape(theme.short(word, LONGEST))}: {told}"
                notes.append(_set(aside + across, below + last * LINE, theme.escape(word), tint(value, edge), hover))
            lowest = max(lowest, below + (last + 1) * LINE + 4)
        down = lowest
        hidden = len(found[row, pair[0]]) - SHOWN
        if hidden > 0:
            notes.append(_set(0, down, f"… and {hidden} words more", size=12, family=None))
            down += LINE
        down += 14
    axis = {"visible": False, "range": [0, 1], "fixedrange": True}
    figure = go.Figure(go.Scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip"))
    figure.update_layout(xaxis=axis, yaxis=axis, annotations=notes)
    title = " and ".join(titles(methods)[name] for name in pair)
    return finished(figure, title, int(down) + 70, top=56, bottom=4).update_layout(margin_l=INDENT)


def _scale(edge: float, shares: bool = False) -> list[dict[str, Any]]:
    """What the colours mean, as five steps."""
    notes, across = [_set(0, 0, "lowers the score", size=12, family=None)], 104.0
    for share in (-1.0, -0.5, 0.0, 0.5, 1.0):
        text = (f"{share * edge:+.1%}" if shares else f"{share * edge:+.2g}") if share else "0"
        notes.append(_set(across, 0, text, tint(share * edge, edge), size=12))
        across += len(text) * DIGIT * 12 + GAP
    return [*notes, _set(across + 4, 0, "raises it", size=12, family=None)]


def _laid_out(lines: Sequence[dict[str, Any]], most: int = WIDE) -> Iterator[tuple[float, int, str, float]]:
    """(pixels across, line, word, value) of each word; one that goes on with a word (##) stands right behind it."""
    across, line = 0.0, 0
    for place, part in enumerate(lines):
        goes_on = part["word"].startswith("##") and len(part["word"]) > 2
        longest = min(LONGEST, int(most / (DIGIT * SIZE)))
        word = theme.short(part["word"][2:] if goes_on else part["word"], longest) or "(no word)"
        if goes_on and place:
            across -= GAP - 4
        wide = width(word) * DIGIT * SIZE
        if across and across + wide > most:
            across, line = 0.0, line + 1
        yield across, line, word, part["value"]
        across += wide + GAP


def width(text: str) -> int:
    """How many letters wide a text is: those of East Asian scripts and pictures count twice, accents not at all.

    >>> width("word"), width("日本"), width("e\\u0301")
    (4, 4, 1)
    """
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _set(
    across: float,
    down: float,
    text: str,
    back: str = "rgba(0, 0, 0, 0)",
    hover: str | None = None,
    size: int = SIZE,
    family: str | None = LETTERS,
) -> dict[str, Any]:
    """A text at a place in pixels from the figure's upper left."""
    return {
        **{"x": 0, "y": 1, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "top"},
        **{"xshift": across, "yshift": -down, "text": text, "align": "left", "showarrow": False},
        **{"bgcolor": back, "borderpad": 2, "hovertext": hover, "captureevents": hover is not None},
        "font": {"size": size} | ({"family": family} if family else {}),
    }


def leading_words(words: pa.Table, methods: pa.Table, method: str) -> go.Figure:
    """The words that speak most clearly for a target and against it, with intervals; a panel for each class, where
    there are more than two (their targets differ)."""
    panels = _panels(words, method)
    shown = {name: ordered(lines, LEADING if len(panels) == 1 else LEADING // 2) for name, lines in panels.items()}
    heads = [theme.escape(f"predicted {theme.short(name, 20)}") if name else "" for name in shown]
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    tall = max(2, *(len(lines) for lines in shown.values())) * 26
    drawn, top = rows * tall + (rows - 1) * APART, 84 if any(heads) else 64
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=heads if any(heads) else None,
        horizontal_spacing=0.24,
        vertical_spacing=APART / drawn if rows > 1 else 0,
        shared_xaxes="all",
    )
    for place, lines in enumerate(shown.values()):
        at = {"row": place // columns + 1, "col": place % columns + 1}
        labels = [theme.escape(f"{theme.short(line['word'], 20)} ({line['rows']})") for line in lines]
        figure.add_bar(
            x=[line["mean"] for line in lines],
            y=list(range(len(lines))),
            orientation="h",
            marker_color=[FOR if line["mean"] > 0 else AGAINST for line in lines],
            error_x=error_bars(lines, "mean"),
            customdata=[theme.escape(f"{line['word']}, in {line['rows']} rows") for line in lines],
            hovertemplate="%{customdata}: %{x:+.3f}<extra></extra>",
            showlegend=False,
            **at,
        )
        ticks = {"tickvals": list(range(len(lines))), "ticktext": labels, "showgrid": False, "zeroline": False}
        figure.update_yaxes(range=[len(lines) - 0.4, -0.6], **ticks, **at)
    figure.update_xaxes(showticklabels=True)
    figure.update_xaxes(title="mean attribution", row=rows)
    figure.update_annotations(font_size=13)
    return finished(figure, "Leading words (rows that have them)", drawn + top + 56, top=top)


def _panels(words: pa.Table, method: str) -> dict[str, list[dict[str, Any]]]:
    """Class → its lines: one class "" where all rows share a target."""
    lines = matching(words, method=method)
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        found.setdefault(line["class"], []).append(line)
    return {"": found[""]} if "" in found else dict(list(found.items())[:CLASSES])


def ordered(lines: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The clearest words for the target, then those against it, the clearest of all at both ends.

    Clear is what lies far from zero with its whole interval, so that a word of a few rows does not lead by chance.
    """
    known = [line for line in lines if line["lower"] is not None]
    up = sorted((line for line in known if line["mean"] > 0), key=lambda line: (-line["lower"], line["word"]))
    down = sorted((line for line in known if line["mean"] < 0), key=lambda line: (line["upper"], line["word"]))
    return [*up[:most], *reversed(down[:most])]
