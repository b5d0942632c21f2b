"""The report without a browser: it stands alone, and its numbers are the recorded ones."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import HOSTILE, TINY, chain, decoded, embedded, hostile, layers

import rawgan
from rawgan.inspect import report, views
from rawgan.inspect.ledger import norm
from rawgan.inspect.nodes import digest
from rawgan.kernels.errors import CheckpointError, ConfigError


@pytest.fixture(scope="module")
def tape():
    return rawgan.train("mixture", steps=3, **TINY).inspect(step=3)


@pytest.fixture(scope="module")
def pictures():
    return rawgan.train("mlp", steps=3, **TINY).inspect(step=2)


@pytest.fixture(scope="module")
def page(tape, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "gradients.html"
    tape.save_html(path)
    return path.read_text("utf-8")


def test_it_asks_for_nothing(page):
    namespace = "http://www.w3.org/2000/svg"
    assert re.findall(r"https?://[^\"' ]*", page.replace(namespace, "")) == []
    assert (
        re.findall(r"\b(?:src|action|data)=\S*|url\(|@import|<link|<iframe|<base|fetch\(|WebSocket", page)
        == []
    )
    assert "default-src 'none'" in page
    assert re.findall(r"href\s*[:=]\s*[`\"']?(.)", page) == ["#"]
    assert len(page.encode()) < 2e6


def test_the_figures_of_every_node_are_the_recorded_ones(tape, page):
    data = embedded(page)
    assert len(data["nodes"]) == len(tape)
    for node, shown in zip(tape, data["nodes"], strict=True):
        assert (shown["op"], shown["layer"], shown["name"]) == (node.op, node.layer, node.name)
        assert (shown["source"], shown["shape"]) == (node.source, list(node.shape))
        for array, there in ((node.value, shown["value"]), (node.grad, shown["grad"])):
            assert (array is None) == (there is None)
            if array is None:
                continue
            figures = digest(array)
            for name in ("minimum", "maximum", "mean", "norm", "zeros"):
                assert there["figures"][name] == getattr(figures, name)
            assert there["figures"]["counts"] == list(figures.counts)
            if there["picture"] and there["picture"]["block"] == [1, 1]:
                assert decoded(there["picture"]).tobytes() == np.ascontiguousarray(array, "<f4").tobytes()


def test_every_share_is_there_with_its_norm_and_parts_add_up(tape, page):
    data = embedded(page)
    found = {(p, c, i, n): (size, part) for p, c, i, n, size, part in data["flows"]}
    count = 0
    for node in tape:
        for received in node.received:
            parts = []
            for share in received.shares:
                consumer = share.consumer.number if share.consumer else None
                size, part = found[received.backward.number, consumer, share.position, node.number]
                assert size == norm(share.value)
                parts.append(part)
                count += 1
            if None not in parts:
                assert abs(sum(parts) - 1) <= 1e-5
    assert count == len(found)


def test_events_are_in_the_order_in_which_they_happened(tape, page):
    kinds = {"forward": "f", "backward": "b", "pass": "p"}
    expected = [(kinds[e.kind], e.node.number) for e in tape.events() if e.kind in kinds]
    shown = [(kind, at) for kind, at, _ in embedded(page)["events"] if kind != "u"]
    assert shown == expected
    assert [at for kind, at, _ in embedded(page)["events"] if kind == "u"] == list(range(len(tape.turns)))


def test_every_node_is_in_one_box_or_goes_into_one(tape, page):
    data = embedded(page)
    boxes = [n for card in data["cards"] for group in card["groups"] for n in group["nodes"]]
    assert sorted(boxes) == list(range(len(tape)))
    assert [card["title"] for card in data["cards"]][:3] == ["G makes examples", "D on real", "D on fake"]
    for card in data["cards"]:
        for group in card["groups"]:
            assert all(data["nodes"][n]["group"] == group["id"] for n in group["nodes"])


def test_ledger_summary_and_examples_are_those_of_the_tape(tape, page):
    data = embedded(page)
    entries = {entry["parameter"]: entry for entry in data["ledger"]}
    assert set(entries) == {name for turn in tape.turns for name in turn.parameters}
    for name, entry in entries.items():
        found = tape.ledger(name)
        assert entry["parts"] == pytest.approx(found.norms, rel=1e-5)
        assert entry["whole"] == norm(found.whole)
        assert entry["clipped"] == norm(found.clipped)
        assert entry["rest"] <= 1e-5
    rows = tape.summary().rows
    assert [[row[key] for key in row] for row in data["summary"]["rows"]] == [[*row.values()] for row in rows]
    samples = tape.samples()
    assert data["examples"]["factors"] == samples.factors.tolist()
    assert data["examples"]["norms"] == samples.norms.tolist()
    for turn, shown in zip(tape.turns, data["turns"], strict=True):
        assert shown["loss"] == float(turn.backward.root.value)
        assert {k: u["gradient"] for k, u in shown["updates"].items()} == {
            k: norm(u.gradient) for k, u in turn.parameters.items()
        }


def test_clipping_is_in_the_ledger_and_found():
    run = rawgan.train("mixture", steps=2, clip_norm=1e-4, **TINY)
    data = report.document(run.inspect(step=2), seconds=0)
    assert all(entry["clipped"] < 0.1 * entry["whole"] for entry in data["ledger"])
    found = [each for each in data["summary"]["findings"] if each["column"] == "clipped"]
    assert found
    assert all("clipping left" in each["says"] for each in found)


def test_checks_and_derivations_are_those_of_the_tape(tape, page):
    data = embedded(page)
    proved = [(n, s["proof"]) for n, s in zip(tape, data["nodes"], strict=True) if s["proof"]]
    assert len(proved) == sum(bool(n.received) for n in tape)
    for node, proof in proved:
        index = tuple(proof["index"])
        assert abs(node.grad[index]) == np.abs(node.grad).max()
        check = tape.check(node, index)
        assert (proof["check"]["recorded"], proof["check"]["ok"]) == (check.recorded, check.ok)
        assert proof["check"]["numeric"] == pytest.approx(check.numeric, rel=1e-9, abs=1e-15)
        level, found = proof["derivation"][0], tape.explain(node, index)
        assert (level["value"], level["count"]) == (found.value, found.count)
        assert level["total"] == pytest.approx(found.total)
        assert ("along" in proof) == (node.op == "parameter")


def test_without_seconds_nothing_is_proved_and_said(tape):
    data = report.document(tape, seconds=0)
    assert all("check" not in (node["proof"] or {}) for node in data["nodes"])
    assert data["about"]["seconds"] == 0


def test_pictures_are_pictures(pictures):
    data = report.document(pictures, seconds=0)
    made = next(n for n in pictures if n.op == "reshape" and n.phase == "G makes examples")
    real = next(n for n in pictures if n.op == "input" and n.phase == "D on real")
    for node in (made, real):
        picture = data["nodes"][node.number]["value"]["picture"]
        assert picture["image"]
        assert picture["size"] == (8, 8)
        assert picture["shown"] == 8
        assert decoded(picture)[: 8 * 64].tobytes() == node.value.tobytes()
    weight = pictures.find("discriminator.1.weight")
    assert data["nodes"][weight.number]["value"]["picture"]["size"] == (8, 8)
    hidden = pictures.find("discriminator.3.weight")
    assert not data["nodes"][hidden.number]["value"]["picture"]["image"]
    assert decoded(data["examples"], "gradients").tobytes() == pictures.samples().gradients.tobytes()


def test_hostile_names_stay_text():
    page = report.filled(report.document(hostile(), seconds=1))
    assert "<img" not in page
    assert page.count("</script>") == 2
    data = embedded(page)
    assert data["about"]["title"] == HOSTILE
    assert any(HOSTILE in node["layer"] for node in data["nodes"])


def test_numbers_that_json_does_not_know():
    x = rawgan.tensor([1.0, float("nan"), float("inf")], requires_grad=True)
    with rawgan.inspect.record() as tape:
        (x * x).sum().backward()
    data = embedded(report.filled(report.document(tape, seconds=1)))
    assert data["nodes"][0]["value"]["figures"]["nonfinite"] == 2
    assert data["nodes"][2]["value"]["figures"]["nonfinite"] == 1


def test_what_was_not_kept_is_said(tmp_path):
    tape = rawgan.train("mlp", steps=1, **TINY).inspect(step=1, budget=0)
    tape.save_html(tmp_path / "page.html")
    data = embedded((tmp_path / "page.html").read_text("utf-8"))
    assert data["about"]["dropped"] > 0
    kept = [node for node in data["nodes"] if node["value"]["picture"]]
    assert all(node["op"] in ("parameter", "input") for node in kept)
    assert data["examples"]["why"]


@pytest.mark.parametrize("make", [chain, lambda n: layers(n // 4)], ids=["operations", "layers"])
def test_a_thousand_nodes_fit(make):
    tape = make(1000)
    assert len(tape) > 950
    page = report.filled(report.document(tape, seconds=0.5))
    assert len(page.encode()) < 10e6
    assert len(embedded(page)["nodes"]) == len(tape)


@pytest.mark.slow
def test_dcgan_at_batch_128_fits(tmp_path):
    run = rawgan.train("dcgan_mnist", data="digits", steps=1, device="cpu", progress=False, warnings=False)
    tape = run.inspect(step=1)
    assert tape.find("generator.0").shape[0] == 128
    tape.save_html(tmp_path / "page.html", seconds=2)
    assert (tmp_path / "page.html").stat().st_size < 10e6


def test_two_devices_on_one_page(tmp_path):
    found = rawgan.train("mixture", steps=2, **TINY).inspect(step=2, devices=("cpu", "cpu"))
    found.save_html(tmp_path / "page.html", seconds=0)
    data = embedded((tmp_path / "page.html").read_text("utf-8"))
    assert data["comparison"]["rows"] == found.rows()


def test_bad_input_is_refused(tape, tmp_path):
    with pytest.raises(CheckpointError, match="cannot be written"):
        tape.save_html(tmp_path / "no" / "folder.html", seconds=0)
    with pytest.raises(ConfigError, match="seconds is a number"):
        tape.save_html(tmp_path / "page.html", seconds=-1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_figures_of_numbers_that_hardly_differ(dtype):
    x = np.full(9, 0.3, dtype)
    x[3:] = np.nextafter(x[0], np.array(1, dtype))
    assert sum(digest(x).counts) == 9
    assert sum(digest(np.array([1e-300, 2e-300])).counts) == 2


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_a_cell_is_the_largest_of_its_block(h, w, high, wide, seed):
    x = np.random.default_rng(seed).normal(size=(h, w))
    small, (rows, columns) = views.strongest(x, high, wide)
    assert small.shape[0] <= high
    assert small.shape[1] <= wide
    for r in range(small.shape[0]):
        for c in range(small.shape[1]):
            block = x[r * rows : (r + 1) * rows, c * columns : (c + 1) * columns]
            assert small[r, c] == block.flat[np.abs(block).argmax()]
