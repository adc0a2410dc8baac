"""Memory: what an explanation needs beside rows and result stays below a bound that does not grow with the rows."""

from pathlib import Path

import pytest

from benchmarks.attribution_memory import BOUND, in_a_process


@pytest.mark.parametrize("rows", [1000, 6000])
def test_integrated_gradients_stay_below_the_bound(rows):
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of memory is read where Linux tells it, in /proc")
    found = in_a_process("small CNN", rows, "auditkit")
    assert found is not None, "the process failed"
    assert 0 < found["most"] - found["result"] < BOUND
