"""Simpson's paradox: what all rows together say of two groups is not what the rows say stratum by stratum.

* `reversed`: the raw and the common gap have opposite signs, and both intervals exclude zero.
* `vanishes`: the raw gap is clearly larger than a small margin, and the common gap's interval lies within the margin.

Both are told only where the intervals bear it; anything less is no finding. That a gap vanishes among people alike in a
factor does not make the outcome fair: the factor may itself be a product of unfair treatment.

Sources: Simpson (1951), JRSS B 13, 238-241; Bickel, Hammel and O'Connell (1975), Science 187, 398-404.
"""

from typing import Literal

Edges = tuple[float, float]
Paradox = Literal["", "reversed", "vanishes"]
MARGIN = 0.05


def paradox(raw: Edges, common: Edges, margin: float = MARGIN) -> Paradox:
    """What the intervals of the raw and of the common difference bear out. margin: a gap that would not matter.

    >>> paradox((0.11, 0.17), (-0.04, 0.01)), paradox((0.02, 0.06), (-0.06, -0.02)), paradox((-0.01, 0.1), (-0.1, 0.0))
    ('vanishes', 'reversed', '')
    """
    if (raw[0] > 0 and common[1] < 0) or (raw[1] < 0 and common[0] > 0):
        return "reversed"
    beyond = raw[0] > margin or raw[1] < -margin
    return "vanishes" if beyond and -margin <= common[0] and common[1] <= margin else ""
