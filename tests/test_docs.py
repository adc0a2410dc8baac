"""The README tells the truth: its commands, options, settings and names exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import auditkit
from auditkit.cli import app
from auditkit.fairness.groups.definitions import GAPS
from auditkit.spec import AuditSpec, parse, parse_gates

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = typer.main.get_command(app).commands


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    joined = "\n".join(blocks("sh")).replace("\\\n", " ")
    return re.findall(r"auditkit [a-z][^`\n#;]*", joined + "\n" + "\n".join(re.findall(r"`(auditkit [^`]*)`", README)))


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_readme_exists_with_its_options(line):
    _, name, *arguments = shlex.split(line)
    assert name in COMMANDS
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known


def test_the_readme_shows_commands():
    assert {line.split()[1] for line in commands()} >= {"fairness", "run", "dashboard", "verify", "init", "train"}


def test_every_yaml_in_the_readme_is_valid():
    gates, spec = (yaml.safe_load(block) for block in blocks("yaml"))
    assert parse_gates(gates, "README").keys() <= set(GAPS)
    parse(spec, AuditSpec, "README")


def test_every_name_the_readme_uses_is_public():
    used = set(re.findall(r"\bak\.(\w+)", README))
    assert used
    assert used <= set(auditkit.__all__)


def test_every_make_target_in_the_readme_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", README)) <= targets | {"sure"}


def test_links_to_files_of_the_project_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
