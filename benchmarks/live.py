"""From the slider's release to new sizes, the first estimate, the measured accuracy, in the browser."""

from statistics import median, quantiles

from playwright.sync_api import Page

from benchmarks.browser import opened
from benchmarks.report import Direction, Report, Target

MOVES = 24  # twice as many as from 50 % on there are positions not seen before

# In the page: note when the key goes up, and when the strip first shows other sizes, an estimate and a measurement; who
# has exposed `told` is told. Never by innerText, for which the browser lays the page out at every change.
WATCH = """
() => {
  const now = () => performance.now();
  const lines = () => [...document.querySelectorAll('.strip *')].filter(one => !one.childElementCount)
    .map(one => one.textContent);
  const line = (says) => lines().find(text => says.test(text)) ?? '';
  const state = window.waits = { start: 0, before: '', sizes: null, estimate: null, measured: null };
  const look = () => {
    if (!state.start) return;
    const shown = Object.values(state).join();
    const kept = line(/^kept /);
    if (kept && kept !== state.before && state.sizes === null) state.sizes = now() - state.start;
    if (state.sizes === null) return;
    if (state.estimate === null && line(/(estimated|measured) \\d/)) state.estimate = now() - state.start;
    if (state.measured === null && line(/measured \\d/)) state.measured = now() - state.start;
    if (Object.values(state).join() !== shown) window.told?.(state);
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
  const restart = { sizes: null, estimate: null, measured: null };
  window.addEventListener('keyup', () => {
    Object.assign(state, restart, { start: now(), before: line(/^kept /) });
  }, true);
}
"""


def measure() -> Report:
    """Moves by one step, each after the last was measured: fashion_cnn, weights, global, 10 000 samples.

    Then as many while a run of the recipe on the page trains in its worker, started with the page's own button.
    """
    with opened() as (address, page):
        page.goto(address)
        _settle(page)
        page.evaluate(WATCH)
        quiet = _moves(page)
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_function("/epoch \\d/.test(document.body.innerText)", timeout=60_000)
        busy = _moves(page, while_running=True)
    figures: dict[str, float] = {}
    for when, waits in (("", quiet), (", a run training", busy)):
        for name, values in waits.items():
            figures[f"release to {name}{when}, median (ms)"] = median(values)
            figures[f"release to {name}{when}, p95 (ms)"] = quantiles(values, n=20)[-1]
    figures["moves, a run training"] = float(len(busy["sizes"]))
    return Report(figures, TARGETS, better=BETTER)


TARGETS = {
    "release to sizes, median (ms)": Target(at_most=150),
    "release to estimate, median (ms)": Target(at_most=350),
    "release to estimate, p95 (ms)": Target(at_most=900),
    "release to sizes, a run training, median (ms)": Target(at_most=300),
    "release to estimate, a run training, median (ms)": Target(at_most=700),
    "release to estimate, a run training, p95 (ms)": Target(at_most=1800),
    "moves, a run training": Target(at_least=15),
}

BETTER: dict[str, Direction] = {
    "release to measured, median (ms)": "less",
    "release to measured, a run training, median (ms)": "less",
}


def _moves(page: Page, while_running: bool = False) -> dict[str, list[float]]:
    """Milliseconds from the key's release to each thing shown; stops where the run is over before the moves are."""
    waits: dict[str, list[float]] = {"sizes": [], "estimate": [], "measured": []}
    slider = page.locator("[data-testid=stSlider] input[type=range]").first
    slider.focus()
    for _ in range(MOVES):
        page.keyboard.press("ArrowRight")  # never back: a position seen before is answered from what is kept
        page.wait_for_function("window.waits.measured !== null", timeout=60_000)
        if while_running and page.get_by_role("button", name="Stop").count() == 0:
            break
        for name, values in waits.items():
            values.append(page.evaluate(f"window.waits.{name}"))
        page.wait_for_timeout(300)
    return waits


def _settle(page: Page) -> None:
    page.wait_for_function("/measured \\d/.test(document.querySelector('.strip')?.innerText ?? '')")
    page.wait_for_timeout(1000)
