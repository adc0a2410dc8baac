"""How the dashboard looks and how its server behaves, as Streamlit settings.

Streamlit finds a `config.toml` only under the working directory, so every setting is given on the command line: the
dashboard then looks and behaves the same from the repository, from an installed wheel and from any folder. Light and
dark follow the browser's `prefers-color-scheme`. Colours come from `auditkit.theme`; the dark ones are lighter shades
of the same hues, so that text keeps a contrast of at least 4.5 to 1.
"""

import json

from auditkit.theme import CATEGORIES, GRID, INK, MUTED, PAPER, VERDICTS

FONT = "Source Sans"
"""The typeface Streamlit carries with it: page and figures look the same on every machine, without a network."""

_SHAPE = {
    "font": "sans-serif",
    "headingFontSizes": '["2rem", "1.5rem", "1.25rem", "1.125rem", "1rem", "1rem"]',
    "headingFontWeights": "[650, 600, 600, 600, 600, 600]",
    "baseRadius": "0.5rem",
    "showSidebarBorder": "true",
    "chartCategoricalColors": json.dumps(CATEGORIES),
}

LIGHT = {
    "primaryColor": CATEGORIES[0],
    "backgroundColor": PAPER,
    "secondaryBackgroundColor": "#F5F7FA",
    "textColor": INK,
    "borderColor": GRID,
    "linkColor": CATEGORIES[0],
    "greenColor": VERDICTS["pass"][1],
    "redColor": VERDICTS["fail"][1],
    "yellowColor": VERDICTS["inconclusive"][1],
    "grayColor": MUTED,
    "greenTextColor": VERDICTS["pass"][1],
    "redTextColor": VERDICTS["fail"][1],
    "yellowTextColor": VERDICTS["inconclusive"][1],
    "grayTextColor": MUTED,
    "greenBackgroundColor": "#E6F4EF",
    "redBackgroundColor": "#FBEAE9",
    "yellowBackgroundColor": "#FBF3E0",
    "blueBackgroundColor": "#E8F1F8",
    "blueTextColor": "#00558A",
    "dataframeHeaderBackgroundColor": "#F5F7FA",
}

DARK = {
    "primaryColor": CATEGORIES[4],
    "backgroundColor": "#0E1117",
    "secondaryBackgroundColor": "#171C24",
    "textColor": "#E4E7EB",
    "borderColor": "#2E3742",
    "linkColor": CATEGORIES[4],
    "greenColor": "#4CC39B",
    "redColor": "#FF8A80",
    "yellowColor": "#E3B341",
    "grayColor": "#9AA5B1",
    "greenTextColor": "#4CC39B",
    "redTextColor": "#FF8A80",
    "yellowTextColor": "#E3B341",
    "grayTextColor": "#9AA5B1",
    "greenBackgroundColor": "#11291F",
    "redBackgroundColor": "#341917",
    "yellowBackgroundColor": "#2E2510",
    "blueBackgroundColor": "#12263A",
    "blueTextColor": "#8CC8F0",
    "dataframeHeaderBackgroundColor": "#171C24",
}


def theme_settings() -> dict[str, str]:
    """Setting → value for the look, such as `theme.light.primaryColor`.

    >>> theme_settings()["theme.light.backgroundColor"]
    '#FFFFFF'
    """
    settings = {f"theme.{name}": value for name, value in _SHAPE.items()}
    settings |= {f"theme.light.{name}": value for name, value in LIGHT.items()}
    settings |= {f"theme.dark.{name}": value for name, value in DARK.items()}
    sidebars = {"light": LIGHT, "dark": DARK}
    return settings | {
        f"theme.{mode}.sidebar.{name}": colours["secondaryBackgroundColor" if name == "backgroundColor" else name]
        for mode, colours in sidebars.items()
        for name in ("backgroundColor", "borderColor")
    }
