"""The properties that the selection of units is tested with, on many more drawn cases than the tests take."""

import sys
import time
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from hypothesis import is_hypothesis_test, settings

from benchmarks.report import Report, Target

CASES = 10_000
"""Cases of each property."""


def measure() -> Report:
    """Every property on 10 000 cases: random layouts, ties and zeros, five dtypes, all scopes and amounts."""
    rows: list[dict[str, str | float]] = []
    for name, check in properties().items():
        print(name, file=sys.stderr, flush=True)
        rows.append({"property": name, **tried(check)})
    sums = {column: sum(float(row[column]) for row in rows) for column in ("cases", "failures", "seconds")}
    return Report({"properties": len(rows), **sums}, {"failures": Target(at_most=0)}, rows)


def properties() -> dict[str, Callable[..., None]]:
    """The properties by what they say."""
    # imported when asked for: the tests' settings hold for the whole process, one thread among them
    from tests.selection import test_ranking_properties

    found = vars(test_ranking_properties).items()
    return {
        name.removeprefix("test_").replace("_", " "): check
        for name, check in found
        if name.startswith("test_") and is_hypothesis_test(check)
    }


def tried(check: Any, cases: int = CASES) -> dict[str, float]:
    """How many cases were run through, whether one of them failed, and the seconds taken."""
    from tests.conftest import PROFILE

    inner, ran = check.hypothesis.inner_test, 0

    @wraps(inner)
    def counted(*arguments: Any, **named: Any) -> None:
        nonlocal ran
        inner(*arguments, **named)
        ran += 1

    before = check._hypothesis_internal_use_settings
    check.hypothesis.inner_test = counted
    check._hypothesis_internal_use_settings = settings(PROFILE, max_examples=cases)
    start, failures = time.monotonic(), 0
    try:
        check()
    except Exception:  # whatever a property raises is a failure of it
        failures = 1
        traceback.print_exc()
    finally:
        check.hypothesis.inner_test = inner
        check._hypothesis_internal_use_settings = before
    return {"cases": ran, "failures": failures, "seconds": time.monotonic() - start}
