"""Whatever a column is called comes back from the YAML as it was."""

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.starter.yaml_text import remark, said

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "yes",
        "null",
        "~",
        "1",
        "1e3",
        "0x1f",
        "- a",
        "a: b",
        "#",
        "{",
        "[x]",
        "new\nline",
        "\x85",
        "\u2028",
        "'\"",
        "<<",
        "=",
    ]
)


@given(TEXT, st.lists(TEXT, max_size=4), st.dictionaries(TEXT, TEXT, max_size=4))
@settings(max_examples=300, deadline=None)
def test_values_survive_beside_comments(text, names, mapping):
    written = f"a: {said(text)}   # {remark(text)}\nb: {said(names)}\nc:\n  d: {said(mapping)}   # {remark(text)}\n"
    assert written.count("\n") == 4
    assert yaml.safe_load(written) == {"a": text, "b": names, "c": {"d": mapping}}
