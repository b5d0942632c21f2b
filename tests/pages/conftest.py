"""Pages in a real browser: Debian's (or anybody's) Chromium, headless, driven by Playwright.

    @pytest.mark.browser
    def test_a_page(opened, tmp_path):
        page = opened(path, color_scheme="dark")     # a Playwright Page, after its load event
        page.get_by_role("button", name="Start").click()

`opened` takes the path of a page on disk and any option of Playwright's `new_context` (viewport,
color_scheme, reduced_motion, ...). At the end every page that a test opened must have written no error or
warning to the console and asked for nothing but itself: not of the net, not of a neighbouring file.
"""

import os
import shutil

import pytest
from browser import FLAGS, watched

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium_path():
    """The browser's path. RAWGAN_CHROMIUM names one that has to be there: then nothing is skipped."""
    wanted = os.environ.get("RAWGAN_CHROMIUM")
    if wanted:
        assert os.access(wanted, os.X_OK), f"RAWGAN_CHROMIUM={wanted} is no program"
        return wanted
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium, or name one in RAWGAN_CHROMIUM")
    return found


@pytest.fixture(scope="module")
def chromium():
    """A running browser; each page gets a profile of its own in it."""
    path = chromium_path()
    if os.environ.get("RAWGAN_CHROMIUM"):
        from playwright import sync_api
    else:
        sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright comes with rawgan[dev]")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """A function that opens a file in a new page; see the top of this file."""
    with watched(chromium) as open_page:
        yield open_page
