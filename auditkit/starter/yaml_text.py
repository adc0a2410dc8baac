"""YAML with comments: values quoted so that any column name, class or path comes back as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

WIDE = 2**31


class _OneLine(yaml.SafeDumper):
    """Writes text with line breaks and other signs that cannot be seen in escapes."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_OneLine.add_representer(str, _text)


def said(value: Any) -> str:
    """A value on one line of YAML; text that is not plainly a word is quoted.

    >>> said(["sex", "yes", "a: b", "1"]), said({"no": "p #1"}), said(0.5)
    ("[sex, 'yes', 'a: b', '1']", "{'no': 'p #1'}", '0.5')
    """
    listed = yaml.dump(
        [value], Dumper=_OneLine, default_flow_style=True, allow_unicode=True, width=WIDE, sort_keys=False
    )
    return listed.strip()[1:-1]


def remark(text: str) -> str:
    r"""A comment's text on one line, whatever is in it.

    >>> remark("line\nbreak")
    'line\\nbreak'
    """
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)


def remarks(texts: Sequence[str], indent: int = 0) -> list[str]:
    """Comment lines."""
    return [f"{' ' * indent}# {remark(text)}" for text in texts]
