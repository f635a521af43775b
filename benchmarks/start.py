"""From the server being up to a trained network on the first page, in the browser."""

import time
from statistics import median

from benchmarks.browser import opened
from benchmarks.report import Report, Target

STARTS = 3


def measure() -> Report:
    """Three fresh servers; the browser is ready before the clock starts, as a person's is."""
    shown: list[float] = []
    measured: list[float] = []
    for _ in range(STARTS):
        with opened() as (address, page):
            start = time.monotonic()
            page.goto(address)
            page.locator(".row").nth(1).wait_for()
            shown.append(time.monotonic() - start)
            page.wait_for_function("/measured \\d/.test(document.querySelector('.strip')?.innerText ?? '')")
            measured.append(time.monotonic() - start)
    return Report(
        {
            "server up to network and layers shown, median (s)": median(shown),
            "server up to cut measured on 10 000 samples, median (s)": median(measured),
        },
        {"server up to network and layers shown, median (s)": Target(at_most=5.0)},
        better={"server up to cut measured on 10 000 samples, median (s)": "less"},
    )
