"""A page opened in Chromium, and watched: what it writes to the console and what it asks for."""

import time
from contextlib import contextmanager
from pathlib import Path

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # what is asked for is not answered either
)
SLOW = 60_000  # milliseconds; a busy machine is slow, not wrong
OWN = ("data:", "blob:", "about:")  # made by the page itself; they reach no host and no file


def expect(locator):
    """Playwright's `expect`, which waits: a page follows its events in its own time."""
    from playwright import sync_api

    sync_api.expect.set_options(timeout=SLOW)
    return sync_api.expect(locator)


def until(page, expression):
    """Wait until a JavaScript expression is true.

    Playwright's `wait_for_function` looks again from inside the page, by `eval`, which a page with a strict
    content security policy forbids: it fails whenever the first look comes too early.
    """
    end = time.monotonic() + SLOW / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"{expression} has not become true"
        page.wait_for_timeout(10)


@contextmanager
def watched(browser):
    """A function that opens files as pages; AssertionError on leaving, if one of them was not quiet."""
    contexts, said, asked = [], [], []

    def opened(path, **options):
        own = Path(path).absolute().as_uri()
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOW)
        page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("websocket", lambda socket: asked.append(socket.url))
        context.on(
            "request",
            lambda r: None if r.url.startswith(OWN) or r.url.split("#")[0] == own else asked.append(r.url),
        )
        page.goto(own)
        return page

    try:
        yield opened
    finally:
        for context in contexts:
            context.close()
    assert asked == [], "the page asked for something beside itself"
    assert said == [], "the page wrote to the console"
