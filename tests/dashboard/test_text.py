import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dashboard.parts.text import escape, muted, unbroken

COMMONMARK = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def shown(markdown: str) -> tuple[str, set[str]]:
    """The text that a Markdown reader sees, and the kinds of marks it is given."""
    tokens = COMMONMARK.parse(markdown)
    inline = [child for token in tokens if token.type == "inline" for child in token.children or []]
    kinds = {token.type for token in tokens} | {child.type for child in inline}
    return "".join(child.content for child in inline), kinds - {"paragraph_open", "paragraph_close", "inline", "text"}


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cf")), min_size=1))
def test_any_text_is_shown_letter_by_letter_and_marked_up_nowhere(text: str) -> None:
    words = " ".join(text.split())
    text_shown, kinds = shown(escape(text))
    assert text_shown.replace("\u2060", "").replace("\u00a0", " ") == words
    assert kinds <= {"text_special"}


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '**bold** $x$ "quotes" 🙂',
        "# heading",
        "    code block",
        "- list",
        "1. list",
        "> quote",
        "[link](http://a.example)",
        "![image](http://a.example/x.png)",
        "a | b\n--|--\n1 | 2",
        "&lt;b&gt; &amp;",
        "`code` ```code```",
        "back\\slash \\* end\\",
    ],
)
def test_markup_in_names_is_shown_and_not_followed(text: str) -> None:
    text_shown, kinds = shown(escape(text))
    assert text_shown.replace("\u2060", "") == " ".join(text.split())
    assert kinds <= {"text_special"}


@pytest.mark.parametrize("text", [":smile:", ":material/home:", ":streamlit:", ":red[x]", ":material_home:"])
def test_streamlits_own_directives_find_nothing_to_replace(text: str) -> None:
    escaped = escape(text)
    assert not re.search(r":[\w+-][\w+-]*:", escaped)
    assert not re.search(r":(material_\w+|streamlit):", escaped.replace("\\", ""))
    assert not re.search(r"(?<!\\):\w+\[", escaped)


@pytest.mark.parametrize("text", ["https://a.example", "www.a.example", "me@a.example", "a -> b", "a <= b"])
def test_words_that_streamlit_replaces_after_parsing_are_broken_up(text: str) -> None:
    plain = escape(text).replace("\\", "")
    assert "\u2060" in plain
    assert not re.search(r"https?://|www\.|\w@\w|\s(->|<=)\s", plain)


def test_marks_that_turn_the_reading_direction_are_dropped() -> None:
    assert escape("a\u202eb\u2066c\x00d") == "abcd"


def test_a_number_its_unit_and_its_interval_stay_together() -> None:
    shown_text, _ = shown(escape("85.5 % [84.8, 86.2] of 3 pts [-1, 2] and 5 pairs [a, b]"))
    assert shown_text == "85.5\u00a0% [84.8,\u00a086.2] of 3\u00a0pts [-1,\u00a02] and 5 pairs [a, b]"


def test_unbroken_and_muted_keep_the_escape() -> None:
    assert unbroken("*a* b") == "\\*a\\*\u00a0b"
    assert muted("x]y") == ":gray[x\\]y]"
