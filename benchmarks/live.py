"""From the release of the slider to new sizes, the first estimate, the measured accuracy, in the browser."""

from statistics import median, quantiles

from playwright.sync_api import Page

from benchmarks.browser import opened
from benchmarks.report import Report, Target

MOVES = 40

# In the page: note when the key goes up, and when the strip first shows other sizes, an estimate and a measurement.
WATCH = """
() => {
  const now = () => performance.now();
  const text = () => document.querySelector('.strip')?.innerText ?? '';
  const state = window.waits = { start: 0, before: '', sizes: null, estimate: null, measured: null };
  const look = () => {
    if (!state.start) return;
    const said = text(), kept = said.match(/kept [^\\n]*/)?.[0] ?? '';
    if (kept && kept !== state.before && state.sizes === null) state.sizes = now() - state.start;
    if (state.sizes === null) return;
    if (state.estimate === null && /(estimated|measured) \\d/.test(said)) state.estimate = now() - state.start;
    if (state.measured === null && /measured \\d/.test(said)) state.measured = now() - state.start;
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
  const restart = { sizes: null, estimate: null, measured: null };
  window.addEventListener('keyup', () => {
    Object.assign(state, restart, { start: now(), before: text().match(/kept [^\\n]*/)?.[0] ?? '' });
  }, true);
}
"""


def measure() -> Report:
    """Forty moves by one step, each after the last was measured: fashion_cnn, weights, global, 10 000 samples."""
    waits: dict[str, list[float]] = {"sizes": [], "estimate": [], "measured": []}
    with opened() as (address, page):
        page.goto(address)
        _settle(page)
        page.evaluate(WATCH)
        slider = page.locator("[data-testid=stSlider] input[type=range]").first
        slider.focus()
        for _ in range(MOVES):
            page.keyboard.press("ArrowRight")  # never back: a position seen before is answered from what is kept
            page.wait_for_function("window.waits.measured !== null")
            for name, values in waits.items():
                values.append(page.evaluate(f"window.waits.{name}"))
            page.wait_for_timeout(300)
    figures: dict[str, float] = {}
    for name, values in waits.items():
        figures[f"release to {name}, median (ms)"] = median(values)
        figures[f"release to {name}, p95 (ms)"] = quantiles(values, n=20)[-1]
    return Report(
        figures,
        {
            "release to sizes, median (ms)": Target(at_most=300),
            "release to estimate, median (ms)": Target(at_most=1000),
        },
    )


def _settle(page: Page) -> None:
    page.wait_for_function("/measured \\d/.test(document.querySelector('.strip')?.innerText ?? '')")
    page.wait_for_timeout(1000)
