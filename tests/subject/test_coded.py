"""A black box for a table with categories: the same answers, and its codes can be changed from outside."""

import torch
from torch import nn

from auditkit.engine.space import InputSpace
from auditkit.subject.formats.coded import with_codes
from auditkit.subject.formats.program import Program, limits_of
from auditkit.subject.model import Model
from auditkit.subject.preprocessing import Categorical, Numeric, TablePreprocessing

TABLE = TablePreprocessing(
    numeric=(Numeric(name="age"),),
    categorical=(
        Categorical(name="town", vocabulary=("a", "b")), Categorical(name="work", vocabulary=("c", "d", "e"))
    ),
)  # fmt: skip
WEIGHTS = torch.tensor([[0.0, 1.0, 2.0, 0.0], [0.0, 10.0, 20.0, 30.0]])


def run(numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    score = numbers[:, 0] + WEIGHTS[0][codes[:, 0]] + WEIGHTS[1][codes[:, 1]]
    return torch.stack([-score, score], dim=1)


def box() -> Program:
    return Program(run, "00" * 32, limits={"gradients": "it is a black box", "layers": "it is a black box"})


def test_answers_and_limits_stay_and_each_column_can_be_changed():
    module = with_codes(box(), TABLE)
    assert limits_of(module) == limits_of(box())
    model = Model(module, ("no", "yes"), TABLE, device=torch.device("cpu"))
    inputs = torch.tensor([[0.5], [1.0]]), torch.tensor([[2, 3], [0, 1]])
    with model.evaluating(), torch.no_grad():
        assert torch.equal(model.logits(inputs), run(*inputs))
        space = InputSpace.trace(model, inputs)
        assert [slot.owners for slot in space.slots] == [((1, 0),), ((1, 1),)]
        (numbers, towns, works), _ = space.enter(inputs)
        works = torch.tensor([[0.1, 0.2, 0.6, 0.1]]).expand(2, 4)
        assert torch.equal(space.logits((numbers, towns, works))[:, 1], torch.tensor([22.5, 21.0]))


def test_other_modules_are_left_alone():
    for module, table in ((nn.Linear(1, 2), TABLE), (box(), TablePreprocessing(numeric=TABLE.numeric))):
        assert with_codes(module, table) is module
