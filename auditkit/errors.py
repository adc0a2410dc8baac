"""What is said when something is wrong: one sentence, with what, where and what to do.

`InputError` is the user's to mend (exit code 2); `AuditError` is an audit that could not finish (exit code 3).
Neither is ever shown as a traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """The input is wrong and the message says how to mend it. The command line ends with exit code 2."""


class AuditError(RuntimeError):
    """The audit could not finish for a reason outside its input. The command line ends with exit code 3."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known names could have been meant, ready to be put at the end of an error sentence.

    >>> nearest("incme", ["income", "age"])
    "did you mean 'income'? Known: age, income"
    """
    options = sorted({str(option) for option in known})
    close = get_close_matches(str(name), options, n=1, cutoff=0.6)
    listing = ", ".join(options[:20]) + (f" and {len(options) - 20} more" if len(options) > 20 else "")
    if close:
        return f"did you mean {close[0]!r}? Known: {listing}"
    return f"known: {listing}" if options else "none are known"
