"""Which `torch.export` programs can be opened without running what somebody wrote into them.

`torch.export.load` trusts its file: it unpickles weights, constants and sample inputs, looks operators up by dotted
names from `torch` and `math` (from where `os.system` can be reached), evaluates symbolic sizes with sympy (which is
Python's `eval`) and compiles guards and names as Python. So only a closed vocabulary gets through: operators of
aten and of arithmetic, sizes of symbols and a few functions, plain names, weights as raw numbers. Everything torch can
do without (sample inputs, guards, stack traces, extra files) is left out of what it is given.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from auditkit.errors import InputError

MODEL = "models/model.json"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_PLAIN = ("archive_format", "archive_version", "byteorder", ".data/version")
_WEIGHTS = re.compile(r"data/(weights/weight|constants/tensor)_\d+")

_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b)([a-z]\w*|_(?!_)\w+|__(and|or|xor|lshift|rshift)__)\.(?!_|op\b)\w+"
    r"|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|torch\.sym_(float|int|ite|max|min|not|sum)|math\.(ceil|floor|trunc)",
    re.ASCII,
)
_FUNCTIONS = re.compile(
    r"Symbol|Integer|Rational|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|IntTrueDiv|FloatTrueDiv"
    r"|ModularIndexing|ToFloat|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|True|False|oo|int_oo"
    r"|positive|negative|nonnegative|integer|finite|real|zero|nonzero"
)
_SIZE = re.compile(r"[\w+\-*/(), <>=~&|]{1,500}", re.ASCII)
_QUOTED = re.compile(r"Symbol\('([suz]f?\d+)'")
_WORD = re.compile(r"[A-Za-z_]\w*")
_SYMBOL = re.compile(r"[suz]f?\d+")
_NAME = re.compile(r"[\w.+\-]*", re.ASCII)
_TEXT = re.compile(r"[\w.,:/+\->* ]*", re.ASCII)
_TREES = frozenset(("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"))


def screen(members: dict[str, bytes], path: Path) -> dict[str, bytes]:
    """The members that torch may load. Raises InputError for a program with anything outside the vocabulary."""
    if MODEL not in members or any(name not in members for name in _CONFIGS):
        raise InputError(f"{path}: no program as torch.export.save writes it; export the network again with this torch")
    program = _json(members[MODEL], path)
    program["guards_code"] = []
    _walk(program, "", path)
    kept = {name: members[name] for name in _PLAIN if name in members}
    kept[MODEL] = json.dumps(program).encode()
    for config in _CONFIGS:
        content = _json(members[config], path)
        _walk(content, "", path)
        for name, entry in _mapping(content.get("config"), path).items():
            entry = _mapping(entry, path)
            place = config.rpartition("/")[0] + "/" + str(entry.get("path_name"))
            if entry.get("use_pickle") is not False or not _WEIGHTS.fullmatch(place) or place not in members:
                raise InputError(
                    f"{path}: {name!r} is stored as a pickle, which can run any code when it is opened, so it was not; "
                    "export a network whose weights and constants are plain tensors"
                )
            kept[place] = members[place]
        kept[config] = json.dumps(content).encode()
    kept["data/sample_inputs/model.pt"] = b""
    return kept


def _walk(value: Any, key: str, path: Path) -> None:
    """Hold every string of a JSON value against what its key may say; drop what need not be said."""
    if isinstance(value, dict):
        if "metadata" in value:
            given = value["metadata"]
            stack = given.get("nn_module_stack") if isinstance(given, dict) else None
            value["metadata"] = {"nn_module_stack": stack} if isinstance(stack, str) else {}
        for name, inner in value.items():
            if name != "metadata":
                _allow(str(name), "name", path)
                _walk(inner, str(name), path)
    elif isinstance(value, list):
        for inner in value:
            _walk(inner, key, path)
    elif isinstance(value, str):
        _allow(value, key, path)


def _allow(text: str, key: str, path: Path) -> None:
    if key == "target":
        fine = _OPERATOR.fullmatch(text) is not None
    elif key == "expr_str":
        text = _QUOTED.sub(r"Symbol(\1", text)
        words = _WORD.findall(text)
        fine = _SIZE.fullmatch(text) is not None and all(_FUNCTIONS.fullmatch(w) or _SYMBOL.fullmatch(w) for w in words)
        fine = fine and "**" not in text
    elif key in ("in_spec", "out_spec"):
        fine = not text or _plain_tree(text)
    elif key == "as_string":
        fine = _TEXT.fullmatch(text) is not None
    else:
        fine = _NAME.fullmatch(text) is not None
    if not fine:
        raise InputError(
            f"{path}: the program holds {text[:60]!r} as {key or 'value'}, which is not among the operators and names "
            "that can be opened without running code from the file, so it was not opened; give the network as a "
            "checkpoint with its architecture instead"
        )


def _plain_tree(text: str) -> bool:
    """Whether a tree of inputs or outputs is built of tuples, lists and dictionaries only."""
    try:
        found = json.loads(text)
    except ValueError:
        return False

    def plain(node: Any) -> bool:
        if not isinstance(node, dict) or not isinstance(children := node.get("children_spec", []), list):
            return False
        kind, context = node.get("type"), node.get("context")
        simple = context is None or (isinstance(context, str) and re.fullmatch(r'[\w", \[\]]*', context) is not None)
        return (kind is None or kind in _TREES) and simple and all(plain(child) for child in children)

    return isinstance(found, list) and len(found) == 2 and plain(found[1])


def _json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        return _mapping(json.loads(content), path)
    except (ValueError, RecursionError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"{path}: the program's description is not valid JSON; export the network again") from None


def _mapping(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: the program's description has not the form that torch.export.save writes")
    return value
