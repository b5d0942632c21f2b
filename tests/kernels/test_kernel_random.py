"""Philox by its published answers, and what is made of its words by its statistics."""

import numpy as np
import pytest

from rawgan import kernels
from rawgan.kernels.cpu.random import _box_muller, _stream, words_from
from rawgan.kernels.reference.random import philox4x32

ONES = 2**64 - 1

# Counter words, key words, answer: kat_vectors of Random123 1.14 (Salmon and others), philox4x32 with 10
# rounds.
ANSWERS = {
    "zeros": ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    "ones": ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    "pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_published_answers(name):
    counter, key, answer = ANSWERS[name]
    assert " ".join(f"{int(word):08x}" for word in philox4x32(counter, key)) == answer
    out = np.empty(4, np.uint32)
    whole_key, draw = key[0] + (key[1] << 32), counter[2] + (counter[3] << 32)
    words_from(out, np.uint64(counter[0] + (counter[1] << 32)), _stream(whole_key, draw))
    assert " ".join(f"{word:08x}" for word in out) == answer


def test_first_words_through_the_kernel():
    for choice in kernels.CHOICES:
        with kernels.use_kernels(choice):
            words = kernels.philox_words(np.empty(6, np.uint32), 0, 0)
        assert [f"{w:08x}" for w in words[:4]] == ANSWERS["zeros"][2].split()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [300_001, 7])
def test_normals_within_four_units_in_the_last_place(dtype, size):
    out = [np.empty(size, dtype) for _ in range(2)]
    for key, draw in ((0, 0), (ONES, ONES), (12345, 678)):
        kernels.philox_normal(out[0], key, draw)
        with kernels.use_kernels("reference"):
            kernels.philox_normal(out[1], key, draw)
        worst = (np.abs(out[0] - out[1]) / np.spacing(np.abs(out[1]))).max()
        assert worst <= 4


def test_polynomials_at_their_edges():
    """log and the turns where they are hardest: next to 1, powers of two, right angles."""
    near_one, near_half = 1 - 2.0 ** -np.arange(1.0, 54.0), np.sqrt(0.5) + np.arange(-9, 9) * 2.0**-53
    u1 = np.concatenate([2.0 ** -np.arange(54.0), near_one, near_half])
    right = np.arange(8) / 8
    u2 = np.concatenate([right, right + 2.0**-53, np.abs(right - 2.0**-53)])
    pairs = np.array([(a, b) for a in u1 for b in u2])
    cosines, sines = np.empty((2, len(pairs)))
    _box_muller(pairs.reshape(-1), 0.0, cosines, sines)
    radius = np.sqrt(-2 * np.log(pairs[:, 0]))
    quarter = np.rint(4 * pairs[:, 1])
    angle = 2 * np.pi * (pairs[:, 1] - quarter / 4)
    turned = np.array([1, 1j, -1, -1j])[quarter.astype(int) % 4]
    for got, wanted in (
        (cosines, radius * (turned.real * np.cos(angle) - turned.imag * np.sin(angle))),
        (sines, radius * (turned.real * np.sin(angle) + turned.imag * np.cos(angle))),
    ):
        assert (np.abs(got - wanted) <= 4 * np.spacing(np.abs(wanted))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniforms_are_uniform(dtype):
    u = kernels.philox_uniform(np.empty(1 << 20, dtype), 3, 4)
    assert u.min() >= 0
    assert u.max() < 1
    counts = np.bincount((u * 256).astype(int), minlength=256)
    chi_square = ((counts - u.size / 256) ** 2 / (u.size / 256)).sum()
    assert 160 <= chi_square <= 370  # 255 degrees of freedom: outside this about once in 10⁵ draws
    serial = np.corrcoef(u[:-1], u[1:])[0, 1]
    assert abs(serial) <= 5 / np.sqrt(u.size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals_are_normal(dtype):
    z = kernels.philox_normal(np.empty(1 << 20, dtype), 5, 6).astype(np.float64)
    error = 5 / np.sqrt(z.size)
    assert abs(z.mean()) <= error
    assert abs(z.var() - 1) <= error * np.sqrt(2)
    assert abs((z**3).mean()) <= error * np.sqrt(15)
    assert abs((z**4).mean() - 3) <= error * np.sqrt(96)
    assert abs(np.mean(z[::2] * z[1::2])) <= error * np.sqrt(2)


def test_a_prefix_of_a_draw_is_the_draw():
    long = kernels.philox_normal(np.empty(300_000, np.float32), 1, 2)
    for size in (1, 2, 3, 2047, 2049, 131_073):
        np.testing.assert_array_equal(kernels.philox_normal(np.empty(size, np.float32), 1, 2), long[:size])


def test_keys_and_draws_give_other_words():
    seen = {
        kernels.philox_words(np.empty(4, np.uint32), key, draw).tobytes()
        for key in (0, 1, 2**32, ONES)
        for draw in (0, 1, 2**32, ONES)
    }
    assert len(seen) == 16


@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 0.999])
def test_dropout_keeps_its_share_and_the_mean(p):
    x = np.ones((100, 3000), np.float32)
    y = kernels.dropout(x, p, 7, 8, False)
    kept = y != 0
    error = 5 * np.sqrt(p * (1 - p) / x.size)
    assert abs(kept.mean() - (1 - p)) <= error
    np.testing.assert_array_equal(y[kept], np.float32(1) / np.float32(1 - p))


def test_dropout_counts_in_channels_last_order_whatever_the_memory():
    x = np.ones((2, 3, 4, 5), np.float32)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    word = kernels.philox_words(np.empty((2, 4, 5, 3), np.uint32), 9, 10).transpose(0, 3, 1, 2)
    for choice in kernels.CHOICES:
        with kernels.use_kernels(choice):
            for image in (x, last):
                kept = kernels.dropout(image, 0.25, 9, 10, False) != 0
                np.testing.assert_array_equal(kept, word >= 2**30)


def test_dropout_of_channels_drops_whole_maps():
    y = kernels.dropout(np.ones((6, 5, 4, 3), np.float32), 0.5, 1, 2, True)
    word = kernels.philox_words(np.empty((6, 5), np.uint32), 1, 2)
    np.testing.assert_array_equal(y != 0, np.broadcast_to((word >= 2**31)[:, :, None, None], y.shape))


def test_dropout_with_a_share_that_rounds_to_one_keeps_nothing():
    for choice in kernels.CHOICES:
        with kernels.use_kernels(choice):
            for channels in (False, True):
                assert not kernels.dropout(np.ones((50, 20)), 1 - 2.0**-40, 1, 2, channels).any()


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize(
    "shape", [(70_001,), (3, 17, 33, 31), (5, 64, 9, 9), (4_200_000,), (4, 32, 190, 180)]
)
def test_dropout_and_its_gradient_are_the_references_in_every_bit(shape, slope):
    """In several parts, with ends that fill no vector, and as large as what goes past the caches."""
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    x.reshape(-1)[:6] = np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-44
    gy = x[::-1].copy()
    for channels in (False, True)[: 1 + (len(shape) == 4)]:
        found = []
        for choice in kernels.CHOICES:
            with kernels.use_kernels(choice), np.errstate(all="ignore"):
                y = kernels.dropout(x, 0.3, 3, 4, channels, slope)
                found += [y, kernels.dropout_grad(gy, y, 0.3, slope)]
        for fast, plain in zip(found[:2], found[2:], strict=True):
            np.testing.assert_array_equal(np.signbit(fast), np.signbit(plain))
            np.testing.assert_array_equal(fast, plain)
