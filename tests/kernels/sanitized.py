"""What the sanitizers watch: all kernels of a family, in small: `python sanitized.py linear`."""

import sys
from functools import partial
from itertools import product

import numpy as np
from test_cuda_table import on_device
from test_cuda_tiles import CASES

import rawgan
from rawgan import kernels
from rawgan.kernels.cuda import history, host, peak, tiles
from rawgan.kernels.cuda.count import Count

SEEDS = 8  # of samples: as many as reach every kernel


def table(family):
    """The contract table's samples; in odd orders copies come at once, in even ones as late as they may."""
    for kernel in kernels.KERNELS.values():
        if kernel.contract.family == family:
            for seed, order in product(range(SEEDS), range(2)):
                with host.use_seed(2 * seed + order):
                    kernel(**on_device(kernel.contract.sample(np.random.default_rng(seed))))
            print(kernel.name, flush=True)


def every_tile(family):
    """Small products would all be made whole, of the smallest tiles, which have one warp, and in fp32."""
    choose = tiles.choose
    for name, ((a, b, *rest), *_) in CASES.items():
        if kernels.CONTRACTS[name].family != family:
            continue
        for kind, warps, seed in product(("fp32", "tf32", "fp64"), tiles.TOGETHER, range(2)):
            tiles.choose = partial(cut, warps, 1 + 2 * seed)
            rng = np.random.default_rng(seed)
            dtype = np.float64 if kind == "fp64" else np.float32
            sides = [host.on_device(rng.standard_normal(shape).astype(dtype)) for shape in (a, b)]
            with rawgan.use_precision("tf32" if kind == "tf32" else "fp32"), host.use_seed(seed):
                kernels.KERNELS[name](*sides, *rest)
        print(f"{name} of every tile", flush=True)
    tiles.choose = choose


def cut(warps, parts, m, n, k, count, kind):
    """In place of `tiles.choose`."""
    return tiles._plan(warps, m, n, k, count, parts, kind)


def outside_the_table(family):
    """Two families have no contract: a row of the history, and the roof of TF32 products."""
    if family == "history":
        row, rows = host.on_device(np.arange(70.0)), host.on_device(np.zeros((3, 70)))
        history.keep_row(row, rows, Count(1, host.on_device(np.array([4]))))
    elif family == "peak":
        peak.multiply(host.on_device(np.empty(0, np.float32)), 2, 1)


def everything(family):
    """All of the above."""
    table(family)
    every_tile(family)
    outside_the_table(family)


if __name__ == "__main__":
    everything(sys.argv[1])
    print("went through")
