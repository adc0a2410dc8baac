"""Text that a user named, made safe to show.

Streamlit reads Markdown in headings, captions, labels, alerts and static tables: emphasis, links, `$maths$`,
`:emoji:`, `:red[colours]`, `<html>`. `escape` is the one way in which text from evidence reaches any of them; it is
shown as it was written, letter by letter.

A backslash before each ASCII punctuation mark is enough for the Markdown parser (CommonMark, section 2.4). Streamlit
also replaces some words after parsing (web addresses, `->`, `:streamlit:`); an invisible word joiner breaks those up.
"""

import re

_JOINER = "\u2060"
_AFTER_PARSING = re.compile(
    r":material_|:streamlit:|https?://|www\.|@|(?<!\S)(?:<->|->|<-|--|>=|<=|~=)(?!\S)", flags=re.IGNORECASE
)
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_TOGETHER = re.compile(r"(?<=\d) (?=%|pts\b)|(?<=\[)(-?[\d.,]+,) (?=-?[\d.,]+\])")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def escape(text: object) -> str:
    """Text as Markdown that shows exactly that text, on one line. Control and direction marks are dropped.

    A number and its unit, and the two ends of an interval, are kept together when the line is broken.

    >>> escape("**bold** $x$")
    '\\\\*\\\\*bold\\\\*\\\\* \\\\$x\\\\$'
    """
    line = " ".join(_CONTROL.sub("", str(text)).split())
    line = _TOGETHER.sub(lambda match: (match[1] or "") + "\u00a0", line)
    line = _AFTER_PARSING.sub(lambda match: match[0][0] + _JOINER + match[0][1:], line)
    return _PUNCTUATION.sub(r"\\\1", line)


def unbroken(text: object) -> str:
    """Escaped text that stays on one line: for a number with its unit, a short condition.

    >>> unbroken("at least 1") == "at\\u00a0least\\u00a01"
    True
    """
    return escape(text).replace(" ", "\u00a0")


def muted(text: object) -> str:
    """Escaped text in the quiet colour of captions and readings, dark enough to be read."""
    return f":gray[{escape(text)}]"
