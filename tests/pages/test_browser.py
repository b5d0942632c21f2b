"""The fixture `opened` itself: it sees what a page must not do."""

import pytest
from browser import watched

pytestmark = pytest.mark.browser

PAGE = "<!doctype html><meta charset=utf-8><title>{title}</title><body>{body}"
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="


def written(folder, body):
    path = folder / "a page #1.html"
    path.write_text(PAGE.format(title="T", body=body), "utf-8")
    return path


def test_a_page_of_its_own_opens_in_light_and_dark(opened, tmp_path):
    path = written(
        tmp_path, f'<img src="{PIXEL}"><a href="#here">x</a><script>document.title += "est"</script>'
    )
    for scheme in ("light", "dark"):
        page = opened(path, color_scheme=scheme, viewport={"width": 500, "height": 400})
        page.click("a")
        assert page.title() == "Test"
        assert page.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
        assert page.evaluate("innerWidth") == 500


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<script>console.error('oh')</script>", "wrote to the console"),
        ("<script>nothing.there</script>", "wrote to the console"),
        ('<img src="https://example.org/x.png">', "asked for something"),
        ('<link rel="stylesheet" href="beside.css">', "asked for something"),
        ("<script>fetch('http://192.0.2.1/').catch(() => 0)</script>", "asked for something"),
        ("<script>new WebSocket('ws://192.0.2.1/')</script>", "asked for something"),
        ("<style>@font-face { font-family: f; src: url(f.woff2) } body { font-family: f }</style>f",
         "asked for something"),
    ],
    ids=["error", "exception", "picture", "neighbour", "fetch", "socket", "font"],
)  # fmt: skip
def test_what_a_page_must_not_do_is_seen(chromium, tmp_path, body, message):
    with pytest.raises(AssertionError, match=message), watched(chromium) as open_page:
        open_page(written(tmp_path, body)).wait_for_timeout(200)
