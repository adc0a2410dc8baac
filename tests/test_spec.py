"""audit.yaml: what is refused, and in which words."""

import pytest

from auditkit.errors import InputError
from auditkit.spec import AuditSpec, load_spec, parse, parse_gates


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nmae: x", "unknown key 'nmae'; did you mean 'name'?"),
        ("fairness: {minimum_grup: 3}", "unknown key 'minimum_grup' under 'fairness'; did you mean 'minimum_group'?"),
        ("gates: {accuracy: {at_laest: 1}}", "did you mean 'at_least'?"),
        ("gates: {accuracy: {}}", "exactly one of at_least and at_most"),
        ("gates: {accuracy: {at_least: 1, at_most: 1}}", "exactly one of at_least and at_most"),
        ("- a\n- b", "expected a mapping"),
        ("name: [", "not valid YAML at line"),
        ("seed: minus one", "seed: "),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path, text, says):
    path = tmp_path / "audit.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as problem:
        load_spec(path)
    assert says in str(problem.value)
    assert str(path) in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        load_spec(tmp_path / "none.yaml")


def test_defaults_are_a_whole_spec():
    spec = parse({}, AuditSpec, "here")
    assert spec.fairness.replicates == 10_000
    assert spec.analyses == ["performance", "fairness", "attribution", "activations", "ood", "energy", "insights"]


def test_a_gate_may_have_several_conditions():
    gates = parse_gates({"auroc": [{"at_least": 0.9}, {"at_most": 1.0}]}, "gates")
    assert [(g.at_least, g.at_most) for g in gates["auroc"]] == [(0.9, None), (None, 1.0)]
