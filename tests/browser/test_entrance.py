"""The door, seen from a real browser: the question, the pages behind it, and what a hostile link comes to."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect

from pruning.recipe.recipe import Recipe
from tests.browser.conftest import address_of, serving

CODE = "open sesame"
HEADINGS = {
    "/": "Importance of",
    "/compare": "Compare criteria",
    "/sensitivity": "Sensitivity",
    "/search": "Search",
    "/runs": "Runs",
}
HOSTILE = (
    "![x](https://evil.example/a.png) [sign in](https://evil.example/login) https://evil.example :material/home: $x$"
)


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks for a code."""
    with serving(tmp_path_factory.mktemp("school"), environment={"PRUNING_PASSWORD": CODE}) as address:
        yield address


@pytest.fixture
def asked_elsewhere(browser: BrowserContext) -> Iterator[list[str]]:
    """The addresses of other servers that pages asked for."""
    asked: list[str] = []

    def hear(request: Request) -> None:
        if request.url.startswith("http") and "//localhost:" not in request.url:
            asked.append(request.url)

    browser.on("request", hear)
    yield asked
    browser.remove_listener("request", hear)


def test_whoever_knows_the_code_sees_every_page_without_a_violation(
    page: Page, school: str, asked_elsewhere: list[str]
) -> None:
    """`page` fails the test on whatever the browser reports: a violation of the policy is an error there."""
    page.goto(f"{school}/runs?run=nothing")
    expect(page.get_by_label("Class code or password")).to_be_focused()
    page.get_by_label("Class code or password").fill(CODE)
    page.get_by_role("button", name="Come in").click()
    expect(page).to_have_url(f"{school}/runs?run=nothing")
    for path, heading in HEADINGS.items():
        page.goto(school + path)
        expect(page.get_by_role("heading", name=heading).first).to_be_visible(
            timeout=120_000
        )  # the first starts workers
    assert asked_elsewhere == []
    headers = page.request.get(school).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_a_wrong_code_is_said(browser: BrowserContext, school: str) -> None:
    browser.clear_cookies()
    page = browser.new_page()
    page.goto(school)
    page.get_by_label("Class code or password").fill("open barley")
    with page.expect_response("**/sign-in") as answered:
        page.get_by_role("button", name="Come in").click()
    assert answered.value.status == 403  # which the browser reports as an error
    expect(page.get_by_role("alert")).to_contain_text("not the password")
    page.close()


def test_a_browser_is_the_same_person_after_a_reload_and_in_another_tab(page: Page, app: str) -> None:
    page.goto(app)
    (first,) = [each["value"] for each in page.context.cookies(app) if each["name"] == "pruning_visitor"]
    page.reload()
    other = page.context.new_page()
    other.goto(f"{app}/runs")
    (after,) = [each["value"] for each in page.context.cookies(app) if each["name"] == "pruning_visitor"]
    other.close()
    assert first == after


def test_a_hostile_link_draws_nothing_and_leads_nowhere(page: Page, app: str, asked_elsewhere: list[str]) -> None:
    page.goto(address_of(app, replace(Recipe("fashion_cnn"), workload=HOSTILE)))
    box = page.get_by_test_id("stAlert")
    expect(box).to_contain_text("sign in")
    assert box.locator("img, a, .katex, [data-testid=stIconMaterial]:not(:first-child)").count() == 0
    expect(box).to_contain_text("evil.example/login")
    assert asked_elsewhere == []
