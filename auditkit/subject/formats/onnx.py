"""ONNX networks, run by onnxruntime as a black box: outputs only, neither layers nor gradients.

onnxruntime computes on the CPU here, whatever the model's device; inputs are given in the number types that the file
declares. A batch size fixed in the file is met by filling the last batch up. Large weights may lie beside the file as
`<file>.data` (where `torch.onnx.export` puts them); no other file is ever opened for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auditkit.errors import InputError
from auditkit.subject.formats.archive import digest
from auditkit.subject.formats.program import Program

LIMITS = {
    "layers": "onnxruntime runs an ONNX file as a whole, so its activations and penultimate features cannot be read",
    "gradients": "onnxruntime computes no gradients",
}
GRADIENTS = "{path}: an ONNX file is run as a black box, without gradients; use methods that need none (perturbation)"
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def load_onnx(path: str | Path) -> Program:
    """An ONNX file as a module. Its layers are hidden and it has no gradients: see `limits`.

    Raises InputError where onnxruntime is not installed or cannot read the file, and, from the module, where gradients
    are asked for.
    """
    path = Path(path).expanduser()
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f"{path}: reading ONNX files needs onnxruntime: pip install 'auditkit[onnx]'") from None
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    content, beside = path.read_bytes(), path.with_name(path.name + ".data")
    outside = beside.read_bytes() if beside.is_file() else b""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if outside:
        options.add_external_initializers_from_files_in_memory([beside.name], [outside], [len(outside)])
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as problem:
        said = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise InputError(f"{path}: onnxruntime cannot load this file ({said[:200]})") from None
    wanted = session.get_inputs()
    for one in wanted:
        if one.type not in _TYPES or not one.shape:
            raise InputError(f"{path}: input {one.name!r} is {one.type} {one.shape}, no tensor of rows")
    fixed = {one.shape[0] for one in wanted if isinstance(one.shape[0], int)}
    if len(fixed) > 1:
        raise InputError(f"{path}: its inputs take different numbers of rows: {sorted(fixed)}")
    size = fixed.pop() if fixed else None

    def run(*inputs: Tensor) -> Any:
        if torch.is_grad_enabled() and any(part.requires_grad for part in inputs):
            raise InputError(GRADIENTS.format(path=path))
        if len(inputs) != len(wanted):
            raise InputError(f"{path}: takes {len(wanted)} inputs, and was given {len(inputs)}")
        fed: dict[str, Any] = {
            one.name: part.detach().cpu().numpy().astype(_TYPES[one.type], copy=False)
            for one, part in zip(wanted, inputs, strict=True)
        }
        try:
            outputs = session.run(None, fed)
        except Exception as problem:
            said = (str(problem).splitlines() or [type(problem).__name__])[0]
            raise InputError(f"{path}: onnxruntime cannot run it on these inputs ({said[:200]})") from None
        made = tuple(torch.from_numpy(np.array(one)).to(inputs[0].device) for one in outputs)
        return made[0] if len(made) == 1 else made

    return Program(
        run, digest({"program": content, "weights": outside}), limits=LIMITS, smallest=size or 1, largest=size
    )
