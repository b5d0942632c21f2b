"""What the sanitizer's run asks of the device tests."""

import sys

import fake_cupy
import test_cuda_device


def test_device_tests_put_the_pool_away_when_told(monkeypatch):
    cupy = fake_cupy.make(1)
    given = []
    cupy.cuda.set_allocator = given.append
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    for value, wanted in (("", []), ("1", [None])):
        monkeypatch.setenv("RAWGAN_NO_POOL", value)
        test_cuda_device.cuda.__wrapped__()
        assert given == wanted
