"""`rawgan rate`'s page in a browser: a person's whole way through it, and its figures beside Python's."""

import json
import re

import numpy as np
import pytest
from browser import expect, until

import rawgan
from rawgan import rating
from rawgan.rating import page as pages

pytestmark = pytest.mark.browser
N = 6


@pytest.fixture(scope="module")
def run():
    """A generator of digits, trained for a moment."""
    return rawgan.train(
        "mlp", steps=2, batch_size=8, noise=4, hidden=4, device="cpu", progress=False, warnings=False
    )


@pytest.fixture(scope="module")
def path(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("rating") / "rate.html"
    rating.write_page(run, path, n=N, seed=2**64 - 1, progress=False)
    return path


REAL = pages.is_real(N, 2**64 - 1)


def begin(page, name="Ada"):
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Begin").click()


def answer(page, key):
    """Press a key when the picture is there; returns when the next one is, or the result."""
    until(page, "since !== null")
    before = page.evaluate("session.verdicts.length")
    page.keyboard.press(key)
    until(page, f"session.verdicts.length !== {before}")


def keys(wrong_at=()):
    """What to press to be right but at some places; both keys of each answer are used."""
    for place, real in enumerate(REAL):
        says_real = bool(real) != (place in wrong_at)
        yield (("ArrowLeft", "r") if says_real else ("ArrowRight", "G"))[place % 2]


def downloaded(page, folder):
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the answers").click()
    target = folder / waiting.value.suggested_filename
    waiting.value.save_as(target)
    return target


def test_a_person_judges_by_keys_and_the_file_comes_back(opened, run, path, tmp_path):
    page = opened(path)
    begin(page, "Ada Lovelace")
    for place, key in enumerate(keys(wrong_at={0, 3, 4})):
        expect(page.get_by_text(f"Picture {place + 1} of {2 * N}")).to_be_visible()
        assert page.get_by_role("progressbar").evaluate("bar => [bar.value, bar.max]") == [place, 2 * N]
        answer(page, key)
    expect(
        page.get_by_text("You were wrong on 3 of 12 pictures. 95% interval: 5.5% to 57.2%.")
    ).to_be_visible()
    expect(page.get_by_text("This does not differ from guessing.")).to_be_visible()
    rows = page.locator("#table tr").all_inner_texts()
    file = downloaded(page, tmp_path)
    assert file.name == "verdicts-Ada-Lovelace.json"
    found = rating.read_verdicts(run, [file])
    assert found.people[0].name == "Ada Lovelace"
    wrong = found.people[0].real != found.people[0].said_real
    assert np.flatnonzero(wrong).tolist() == [0, 3, 4]
    for row, kind in zip(rows, ("generated, taken for real", "real, called generated", "both"), strict=True):
        count = found.count(kind)
        low, high = count.interval
        name, *cells = row.split("\t")
        assert name.lower() == kind
        assert cells == [f"{count.wrong} of {count.of}", f"{count.rate:.1%}", f"{low:.1%} to {high:.1%}"]
    assert (found.people[0].seconds > 0).all()
    assert (found.people[0].seconds < 60).all()
    images = page.locator("#galleries img")
    assert images.count() == 2 * N
    assert page.locator("#text").input_value() == file.read_text("utf-8")


def test_by_buttons_with_answers_taken_back_and_an_early_end(opened, run, path, tmp_path):
    page = opened(path)
    begin(page, "")
    real, generated = (page.get_by_role("button", name=name, exact=True) for name in ("Real", "Generated"))
    undo, stop = (
        page.get_by_text("Take the last answer back"),
        page.get_by_text("Stop here and see the result"),
    )
    expect(undo).to_be_disabled()
    expect(stop).to_be_hidden()
    for button in (real, real, generated):
        until(page, "since !== null")
        button.click()
    page.wait_for_timeout(300)  # the third picture was seen once, and will be seen again
    page.keyboard.press("Backspace")
    until(page, "since !== null")
    undo.click()
    expect(page.get_by_text("Picture 2 of 12")).to_be_visible()
    answer(page, "g")
    said = []
    page.once("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    stop.click()
    assert said == ["Stop after 2 pictures of 12? The rest cannot be judged afterwards."]
    expect(page.locator("#judging")).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    stop.click()
    expect(page.get_by_text("of 2 pictures (of 12 on this page)")).to_be_visible()
    (person,) = rating.read_verdicts(run, [downloaded(page, tmp_path)]).people
    assert person.said_real.tolist() == [True, False]
    assert person.name == person.session[:8]


def test_a_closed_page_is_gone_on_with_and_another_person_begins_anew(opened, path):
    page = opened(path)
    page.on("dialog", lambda dialog: dialog.accept())  # to leave, although nothing was downloaded
    begin(page)
    for key in list(keys())[:5]:
        answer(page, key)
    page.reload()
    page.get_by_role("button", name="Go on as Ada (5 of 12 done)").click()
    expect(page.get_by_text("Picture 6 of 12")).to_be_visible()
    for key in list(keys())[5:]:
        answer(page, key)
    expect(page.get_by_text("You were wrong on 0 of 12 pictures")).to_be_visible()
    expect(page.get_by_text("You told real from generated better than by guessing")).to_be_visible()
    first = json.loads(page.locator("#text").input_value())
    page.get_by_role("button", name="Another person").click()
    assert page.get_by_role("button", name="Go on").count() == 0
    assert page.get_by_label("Your name").input_value() == ""
    begin(page, "Ben")
    expect(page.get_by_text("Picture 1 of 12")).to_be_visible()
    assert page.evaluate("session.session") != first["session"]
    page.evaluate("kept = true")


def test_held_and_foreign_keys_do_nothing(opened, path):
    page = opened(path)
    begin(page)
    until(page, "since !== null")
    for key in ("x", "Control+r", "ArrowUp", "Enter"):
        if key != "Control+r":
            page.keyboard.press(key)
    page.evaluate("dispatchEvent(new KeyboardEvent('keydown', {key: 'r', repeat: true, bubbles: true}))")
    assert page.evaluate("session.verdicts.length") == 0
    page.keyboard.down("r")
    page.keyboard.down("r")  # a key that is held repeats
    page.wait_for_timeout(100)
    assert page.evaluate("session.verdicts.length") == 1
    page.evaluate("kept = true")


def test_the_figures_are_those_of_python(opened, path):
    page = opened(path)
    counts = [(k, n) for n in (1, 2, 3, 10, 37, 100, 2000) for k in {0, 1, n // 3, n // 2, n - 1, n}]
    found = page.evaluate("counts => counts.map(([k, n]) => [...interval(k, n), pValue(k, n)])", counts)
    for (k, n), values in zip(counts, found, strict=True):
        expected = (*rating.interval(k, n), rating.p_value(k, n))
        assert np.max(np.abs(np.subtract(values, expected))) <= 1e-10, (k, n)


def test_the_truth_opens_and_is_not_to_be_seen_before_the_end(opened, path):
    page = opened(path)
    names = np.where(REAL, "real", "generated").tolist()
    assert page.evaluate("unsealed()") == names
    begin(page)
    expect(page.locator("#result")).to_be_hidden()
    shown = page.locator("#judging").evaluate("e => e.outerHTML")
    answer(page, "r")
    again = page.locator("#judging").evaluate("e => e.outerHTML")
    changing = r'src="[^"]*"|[0-9]+|disabled=""|hidden=""|>|\s+'  # the picture, its number, what can be done
    assert re.sub(changing, "", shown) == re.sub(changing, "", again)
    page.evaluate("kept = true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_can_be_read(opened, path, scheme, width):
    """No sideways scrolling, whole enlargement, both answers in view, a contrast of 4.5 and more."""
    page = opened(path, color_scheme=scheme, viewport={"width": width, "height": 720})
    begin(page)
    until(page, "since !== null")
    image = page.locator("#picture").bounding_box()
    assert image["width"] == image["height"]
    assert image["width"] % 8 == 0
    assert 240 <= image["width"] <= 340
    for name in ("Real", "Generated"):
        box = page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box["y"] + box["height"] <= 720
    for key in keys({1}):
        answer(page, key)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ratios = page.evaluate(CONTRAST)
    assert min(ratios.values()) >= 4.5, ratios
    page.evaluate("kept = true")


def test_large_pictures_are_shown_whole_and_smooth(opened, tmp_path):
    """As they are where they fit, else smaller: then not by leaving pixels out."""
    own = np.random.default_rng(0).integers(0, 256, (20, 3, 400, 400)).astype(np.uint8)
    settings = {"noise": 4, "hidden": 4, "device": "cpu", "progress": False, "warnings": False}
    run = rawgan.train("mlp", data=own, steps=1, batch_size=4, **settings)
    rating.write_page(run, tmp_path / "large.html", n=1, data=own, progress=False)
    for height, (low, high), rendering in ((900, (400, 400), "pixelated"), (500, (200, 399), "auto")):
        page = opened(tmp_path / "large.html", viewport={"width": 1280, "height": height})
        begin(page)
        until(page, "since !== null")
        picture = page.locator("#picture")
        box = picture.bounding_box()
        assert low <= box["width"] <= high
        assert box["width"] == box["height"]
        assert picture.evaluate("e => getComputedStyle(e).imageRendering") == rendering


CONTRAST = """() => {
  const light = text => {
    const [r, g, b] = text.match(/[0-9.]+/g).map(v => v / 255)
      .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = e => {
    const colour = getComputedStyle(e).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" && e.parentElement ? behind(e.parentElement) : colour;
  };
  const found = {};
  for (const e of document.querySelectorAll("#result *:not(img)")) {
    if (!e.textContent.trim() || !e.checkVisibility()) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    found[`${e.tagName} ${e.id || e.className} ${e.textContent.trim().slice(0, 20)}`] = (a + .05) / (b + .05);
  }
  return found;
}"""
