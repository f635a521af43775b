"""Take the README's pictures from the running page: `python -m tests.browser.screenshots docs`."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, expect

from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning
from tests.browser.conftest import address_of, chromium, serving

RECIPE = Recipe("fashion_cnn", amount=Sparsity(0.8), schedule=Polynomial(rounds=5), tuning=Tuning(epochs=1))
WIDTHS = {"lab": 1440, "narrow": 390}
COMPARED = Recipe("fashion_cnn", amount=Sparsity(0.8))


def main(folder: Path) -> None:
    """`lab.png`, `narrow.png` and `lab-dark.png` with a finished run, `running.png` before; and other pages."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as home, serving(Path(home)) as app, chromium() as browser:
        page = browser.new_page()
        page.set_viewport_size({"width": 1440, "height": 1100})
        page.set_default_timeout(60_000)
        page.goto(address_of(app, RECIPE))
        _measured(page)
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_text(re.compile("round 3 of 5, epoch"))).to_be_visible(timeout=180_000)
        page.screenshot(path=folder / "running.png")
        expect(page.get_by_text(re.compile("Verified: this network"))).to_be_visible(timeout=240_000)
        address = page.url
        for name, width in WIDTHS.items():
            _shoot(page, address, width, folder / f"{name}.png")
        page.emulate_media(color_scheme="dark")
        _shoot(page, address, 1440, folder / "lab-dark.png")
        page.emulate_media(color_scheme="light")
        _compare(page, app, folder / "compare.png")
        _sensitivity(page, app, folder / "sensitivity.png")
        _runs(page, app, folder / "runs.png")


def _sensitivity(page: Page, app: str, file: Path) -> None:
    page.set_viewport_size({"width": 1440, "height": 1300})
    page.goto(address_of(app, COMPARED))
    _measured(page)
    page.get_by_role("link", name="Sensitivity").click()
    expect(page.get_by_text(re.compile("^done: "))).to_be_visible(timeout=120_000)
    expect(page.locator(".strip")).to_contain_text(re.compile(r"measured [\d.]+"))
    page.wait_for_timeout(1500)
    page.screenshot(path=file)


def _runs(page: Page, app: str, file: Path) -> None:
    """Two finished runs, compared."""
    page.goto(address_of(app, replace(RECIPE, amount=Sparsity(0.95))))
    _measured(page)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text(re.compile("Verified: this network"))).to_be_visible(timeout=240_000)
    page.get_by_role("link", name="Runs").click()
    page.locator("tr[data-run]").nth(1).get_by_role("checkbox").check()
    expect(page.get_by_text("2 runs compared")).to_be_visible()
    page.wait_for_timeout(3000)
    page.screenshot(path=file)


def _shoot(page: Page, address: str, width: int, file: Path) -> None:
    page.set_viewport_size({"width": width, "height": 1600 if width > 600 else 3000})
    page.goto(address)
    _measured(page)
    expect(page.get_by_text(re.compile("Verified: this network"))).to_be_visible()
    page.wait_for_timeout(1500)
    page.screenshot(path=file)


def _compare(page: Page, app: str, file: Path) -> None:
    page.goto(address_of(app, COMPARED))
    _measured(page)
    page.get_by_role("link", name="Compare").click()
    page.get_by_role("button", name=re.compile(r"^all \d+$")).click()
    expect(page.locator(".compared td .sure").last).to_be_visible()
    expect(page.locator(".compared")).not_to_contain_text(re.compile("estimated|evaluating|scoring"), timeout=300_000)
    page.wait_for_timeout(1500)
    page.screenshot(path=file)


def _measured(page: Page) -> None:
    expect(page.locator(".strip")).to_contain_text(re.compile(r"measured [\d.]+"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
