"""Recordings of what is less usual: views of parameters, terms in terms, several passes, passes in rules."""

import numpy as np
import pytest

import rawgan
from rawgan import inspect, nn, ops
from rawgan.engine import OPS
from rawgan.engine.tape import op
from rawgan.kernels.errors import ConfigError, GradientError

POINTS = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
HOW = {"data": POINTS, "noise": 4, "batch_size": 16, "steps": 2, "progress": False, "device": "cpu"}


def leaf(*values, dtype="float32"):
    return rawgan.tensor(np.array(values), dtype=dtype, requires_grad=True)


def trained(norm=None, judge=lambda layer: layer, **more):
    G = nn.Sequential(nn.Dense(4, 8), *([norm] if norm else []), nn.ReLU(), nn.Dense(8, 2))
    width = 2 * more.get("pack", 1)
    D = nn.Sequential(judge(nn.Dense(width, 8)), nn.LeakyReLU(0.2), judge(nn.Dense(8, 1)))
    return rawgan.train(generator=G, discriminator=D, **(HOW | more))


@pytest.fixture
def registered():
    """A function that registers an operation until the test is over."""
    before = dict(OPS)
    yield op
    OPS.clear()
    OPS.update(before)


def test_a_view_of_a_parameter_shows_what_it_showed():
    w = leaf(1.0, 2.0)
    with inspect.record() as tape:
        v = w.reshape((2, 1))
        (v * v).sum().backward()
    w.data += 7
    assert tape.find(v).value.tolist() == [[1], [2]]


def test_a_step_with_spectral_normalisation(tmp_path):
    tape = trained(judge=nn.SpectralNorm).inspect(step=3)
    assert len(tape.summary().rows) > 5
    tape.save_html(tmp_path / "page.html", seconds=1)
    for turn in tape.turns:
        for update in turn.parameters.values():
            assert tape.check(update.node).ok
            assert tape.ledger(update.node).rest <= 1e-5


def test_a_wrong_rule_is_found_where_the_function_bends(registered):
    """A step of 1e-3 says nothing of log at 2e-3: it must not be taken for a proof."""

    @registered("bad_log")
    def bad_log(xp, x):
        return xp.log(x)

    bad_log.rule("x", "3% too small")(lambda gy, x: gy / x * 0.97)
    x = leaf(2e-3, 1.0)
    with inspect.record() as tape:
        bad_log(x).sum().backward()
    assert not tape.check(x, 0).ok
    assert tape.check(x, 0).error > 1


@pytest.mark.parametrize(
    ("f", "at"),
    [(ops.log, 1e-4), (ops.sqrt, 1e-6), (lambda p: ops.bce(p, 1.0), 5e-4), (lambda x: 1 / x, 1e-3)],
)
def test_a_right_rule_holds_close_to_where_the_function_ends(f, at):
    x = leaf(at, 0.5)
    with inspect.record() as tape:
        ops.sum(f(x)).backward()
    assert tape.check(x, 0).ok, tape.check(x, 0)


def test_what_no_difference_can_tell_is_undecided():
    x = leaf(1e-9, 0.5)
    with inspect.record() as tape:
        ops.sum(ops.log(x)).backward()
    found = tape.check(x, 0)
    assert found.undecided
    assert not found.ok
    assert "UNDECIDED" in repr(found)


def test_a_term_inside_another_is_counted_once():
    x = leaf(1.0, 2.0)
    with inspect.record() as tape:
        a = (x * x).sum()
        loss = a + 0.1 * (a * a)
        loss.backward()
    assert [part.tolist() for part in tape.ledger(x).parts.values()] == [[2, 4], [2, 4]]
    assert tape.ledger(x, {"a": a, "all": loss}).norms["a"] == 0
    less = tape.ledger(x, {"a": a})
    assert less.rest <= 1e-6, "a alone leads to all of the loss"


def test_a_ledger_with_a_part_missing_says_so():
    x = leaf(1.0, 2.0)
    with inspect.record() as tape:
        a, b = (x * x).sum(), x.sum()
        (a + b).backward()
    assert "THESE ARE NOT ALL PARTS" in repr(tape.ledger(x, {"b": b}))
    for terms in ({}, [a], 3):
        with pytest.raises(ConfigError, match="terms is a dict"):
            tape.ledger(x, terms)


def test_two_passes_before_one_update():
    w = leaf(1.0, -2.0)
    with inspect.record() as tape:
        (w * w).sum().backward()
        (3 * w).sum().backward()
    for number, wanted in ((0, [2, -4]), (1, [3, 3])):
        assert tape.check(w, 0, backward=number).recorded == wanted[0]
        assert tape.explain(w, (1,), backward=tape.passes[number]).value == wanted[1]
        assert tape.ledger(w, backward=number).whole.tolist() == wanted
    assert "(of backward pass 1; 0, 1 brought gradients here)" in repr(tape.check(w, 0)) + repr(
        tape.ledger(w)
    )
    with pytest.raises(GradientError, match="backward pass 7 never brought a gradient here; these did: 0, 1"):
        tape.check(w, 0, backward=7)


def test_a_pass_inside_a_rule(registered):
    @registered("cube")
    def cube(xp, x):
        return x**3

    @cube.rule("x", formula="x̄ = ȳ ⊙ 3x²")
    def cube_x(gy, x):
        v = rawgan.tensor(x, requires_grad=True)
        return gy * rawgan.grad((v * v * v).sum(), [v])[0].data

    x = leaf(1.0, 2.0)
    with inspect.record() as tape:
        cube(cube(x) * 2.0).sum().backward()
    np.testing.assert_array_equal(tape.find(x).grad, x.grad)
    assert tape.check(x, 0).node.received[-1].backward is tape.passes[0]


def test_a_starting_gradient_that_is_changed_afterwards():
    x, g = leaf(1.0, 2.0), np.ones(2, np.float32)
    with inspect.record() as tape:
        (x * 3).backward(g)
    g[...] = 0
    assert tape.passes[0].seed.value.tolist() == [1, 1]
    assert tape.check(x, 0).ok


def test_examples_that_are_judged_in_pairs():
    found = trained(pack=2).inspect(step=3).samples()
    assert len(found.rows()) == len(found.items) == len(found.factors) == 16
    assert found.outputs[0] == found.outputs[1]
    assert "−(1 − σ(s))" in repr(found)


def test_a_bias_before_a_batch_normalisation_has_no_gradient_but_rounding():
    tape = trained(norm=nn.BatchNorm(8), steps=4).inspect(step=5)
    assert tape.check("generator.0.bias").ok, tape.check("generator.0.bias")


@pytest.mark.parametrize("objective", ["wasserstein", "hinge", "least_squares"])
def test_other_games_have_no_such_factor(objective):
    assert trained(objective=objective).inspect(step=3).samples().formula == ""


def test_several_turns_of_one_player_have_rows_each():
    rows = trained(d_steps=3).inspect(step=3).summary().rows
    updated = [
        row["turn"] for row in rows if row["layer"].startswith("discriminator.0") and row["update norm"]
    ]
    assert updated == [1, 2, 3]


def test_examples_of_a_generator_that_runs_in_parts():
    run = rawgan.train("encoder_gan", hidden=4, noise=4, batch_size=8, steps=1, progress=False, device="cpu")
    assert run.inspect(step=2).samples().items.shape == (8, 1, 8, 8)


def test_inspection_under_no_grad():
    run = trained()
    with rawgan.no_grad():
        assert run.inspect(step=3).turns[0].backward.visits


def test_a_recording_that_begins_late_says_so():
    x = leaf(1.0, 2.0)
    y = x * x
    with inspect.record() as tape:
        (y * y).sum().backward()
    for ask in (tape.check, tape.explain):
        with pytest.raises(GradientError, match="record from the start"):
            ask(x, 0)


def test_an_older_page_stays_whole_where_the_new_one_cannot_be_written(tmp_path, monkeypatch):
    x, page = leaf(1.0), tmp_path / "page.html"
    with inspect.record() as tape:
        (x * 2).sum().backward()
    page.write_text("older")

    def full(self, text, encoding):
        self.write_bytes(text[:100].encode())
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_text", full)
        with pytest.raises(rawgan.CheckpointError, match="No space left"):
            tape.save_html(page)
    assert page.read_text() == "older"
    assert list(tmp_path.iterdir()) == [page]
    with pytest.raises(ConfigError, match="takes the path of a file"):
        tape.save_html(5)
