import pytest

from dashboard.appearance import DARK, LIGHT


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("mode", [LIGHT, DARK], ids=["light", "dark"])
def test_all_text_can_be_read(mode: dict[str, str]) -> None:
    for name in ("textColor", "linkColor", "greenTextColor", "redTextColor", "yellowTextColor", "grayTextColor"):
        assert contrast(mode[name], mode["backgroundColor"]) >= 4.5, name
        assert contrast(mode[name], mode["secondaryBackgroundColor"]) >= 4.5, name
    for hue in ("green", "red", "yellow", "blue"):
        assert contrast(mode[f"{hue}TextColor"], mode[f"{hue}BackgroundColor"]) >= 4.5, hue


def test_light_and_dark_set_the_same_things() -> None:
    assert set(LIGHT) == set(DARK)
