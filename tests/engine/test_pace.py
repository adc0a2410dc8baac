"""Pace: a faster way is taken only where numbers stay, and the module is as it was afterwards."""

import time

import pytest
import torch
from torch import Tensor, nn

from auditkit.attribution import explain
from auditkit.engine.pace import AS_GIVEN, Pace, candidates, fastest
from auditkit.errors import InputError

LAST = Pace("channels last", last=True)


class Particular(nn.Module):
    """A network of pictures that is slow, and perhaps off, in one order of memory."""

    def __init__(self, slow: bool, error: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)
        self.slow, self.error = slow, error
        self.orders: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        last = x.is_contiguous(memory_format=torch.channels_last)
        self.orders.append(last)
        if last is not self.slow:
            time.sleep(0.005)
        found = self.head(torch.relu(self.conv(x)).mean(dim=(2, 3)))
        return found * (1 + self.error) if last else found


def chosen(net: Particular, tolerance: float = 0.01):
    x = torch.randn(8, 3, 6, 6)
    with torch.inference_mode():
        return fastest(net, [LAST], lambda pace: (pace.run(net, (x,)),), tolerance)


def test_a_faster_order_is_taken_where_numbers_stay():
    found = chosen(Particular(slow=True))
    assert found.pace is LAST
    assert found.speed > 2
    assert found.difference < 1e-5
    assert str(found).startswith("channels last (")


def test_a_slower_order_is_not_taken():
    assert chosen(Particular(slow=False)).pace is AS_GIVEN


def test_an_order_that_changes_numbers_is_not_taken():
    assert chosen(Particular(slow=True, error=0.002)).pace is AS_GIVEN
    assert chosen(Particular(slow=True, error=0.002), tolerance=0.1).pace is LAST


def test_a_way_that_fails_is_not_taken():
    net = Particular(slow=True)
    x = torch.randn(2, 3, 6, 6)

    def work(pace: Pace) -> tuple[Tensor, ...]:
        if pace.last:
            raise RuntimeError("not in this order")
        return (net(x),)

    assert fastest(net, [LAST], work, 0.01).pace is AS_GIVEN


def test_weights_lie_as_before_afterwards():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last))
    before = [(part.stride(), part.clone()) for part in net.parameters()]
    with LAST.of(net):
        assert all(part.is_contiguous(memory_format=torch.channels_last) for part in net.parameters() if part.ndim == 4)
    for part, (stride, value) in zip(net.parameters(), before, strict=True):
        assert part.stride() == stride
        assert torch.equal(part, value)


def test_only_pictures_have_another_order():
    x, picture = torch.randn(2, 5), torch.randn(2, 3, 6, 6)
    assert candidates(nn.Linear(5, 2), (x,)) == []
    assert candidates(nn.Flatten(), (picture,)) == []
    assert candidates(Particular(slow=True), (picture,)) == [LAST]


def test_long_work_is_run_at_the_pace_that_was_found():
    net, x = Particular(slow=True), torch.randn(12, 3, 6, 6)
    found = explain(net, x, batch_size=1)
    assert found.pace.startswith("channels last (")
    assert sum(net.orders) > len(net.orders) / 2
    slowly = explain(net, x, batch_size=1, pace="as given")
    assert slowly.pace == "as given"
    torch.testing.assert_close(found.values, slowly.values, rtol=1e-4, atol=1e-5)
    assert explain(net, x[:2], batch_size=1).pace == "as given", "too little to do"
    assert net.conv.weight.is_contiguous()


def test_a_pace_that_is_none_is_refused():
    with pytest.raises(InputError, match="pace"):
        explain(nn.Linear(2, 1), torch.zeros(1, 2), pace="fast")  # type: ignore[arg-type]


@pytest.mark.gpu
def test_on_an_accelerator_half_precision_must_keep_the_numbers():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 8)).cuda()
    x = torch.randn(4096, 64).cuda()
    ways = candidates(net, (x,))
    assert [way.name for way in ways] == ["TF32", "float16", "bfloat16"]
    with torch.inference_mode():
        found = fastest(net, ways, lambda pace: (pace.run(net, (x,)),), 1e-9)  # type: ignore[arg-type,return-value]
    assert found.pace is AS_GIVEN
    assert torch.get_float32_matmul_precision() == "highest"
