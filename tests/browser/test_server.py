"""One server, three people in browsers of their own: a shared run, and the page of whoever runs the server."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import address_of, serving
from tests.browser.test_runs import LONG

CODE, OWNERS = "open sesame", "the owner's word"


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    environment = {"PRUNING_PASSWORD": CODE, "PRUNING_OWNER_PASSWORD": OWNERS}
    with serving(tmp_path_factory.mktemp("server"), environment=environment) as address:
        yield address


@pytest.fixture
def people(browser: BrowserContext, school: str) -> Iterator[tuple[Page, Page, Page]]:
    """The server's owner, Anna and Bert."""
    assert browser.browser is not None
    contexts = [browser.browser.new_context(viewport={"width": 1440, "height": 1300}) for _ in range(3)]
    pages = [context.new_page() for context in contexts]
    for page, password in zip(pages, (OWNERS, CODE, CODE), strict=True):
        page.goto(f"{school}/sign-in")
        page.get_by_label("Class code or password").fill(password)
        page.get_by_role("button", name="Come in").click()
        page.wait_for_url(lambda url: "sign-in" not in url)
    owner, anna, bert = pages
    yield owner, anna, bert
    for context in contexts:
        context.close()


def press_run(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Run", exact=True).click(timeout=120_000)
    page.wait_for_url(re.compile("run="), timeout=60_000)


def test_two_share_a_run_and_whoever_runs_the_server_ends_it(school: str, people: tuple[Page, ...]) -> None:
    owner, anna, bert = people
    for page in (anna, bert):
        press_run(page, address_of(school, LONG))
    expect(bert.get_by_text(re.compile("The same as the run of browser .*: carried out once"))).to_be_visible()
    expect(bert.get_by_text(re.compile("round 1 of"))).to_be_visible(timeout=300_000)
    press_run(anna, address_of(school, replace(LONG, seed=4)))
    expect(anna.get_by_text(re.compile("next in the queue"))).to_be_visible(timeout=60_000)

    owner.goto(school)
    owner.get_by_role("link", name="Server").click()
    first = owner.locator("tr[data-id]").first
    expect(first).to_be_visible(timeout=60_000)
    stop = owner.get_by_role("button", name=re.compile("^Stop waiting runs: ")).and_(owner.locator(":enabled"))
    before = first.bounding_box()
    stop.click()
    expect(owner.get_by_role("button", name="Yes")).to_be_visible()
    assert first.bounding_box() == before  # what asks once more has a place of its own
    owner.get_by_role("button", name="Yes").click()
    expect(owner.get_by_text("stopped runs that waited: 1")).to_be_visible()
    expect(anna.get_by_text(re.compile("stopped while it was waiting"))).to_be_visible()

    bert.get_by_role("button", name=re.compile("^Stop")).click()
    expect(bert.get_by_text(re.compile("it goes on for others"))).to_be_visible()
    expect(owner.get_by_role("button", name=re.compile("^Stop: "))).to_have_count(1)  # Anna's goes on
    owner.get_by_role("button", name=re.compile("^Stop: ")).click()
    owner.get_by_role("button", name="Yes").click()
    expect(owner.get_by_text("No run goes on, and none waits.")).to_be_visible(timeout=120_000)

    expect(anna.get_by_role("link", name="Server")).to_have_count(0)
    anna.goto(f"{school}/server")
    expect(anna.get_by_text(re.compile("This page is for whoever runs the server"))).to_be_visible()
    expect(anna.locator("tr[data-id]")).to_have_count(0)
