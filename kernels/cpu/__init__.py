"""The kernels on the processor: Numba for everything that BLAS does not do, BLAS for matrix products.

`pool.py` holds the threads, `machine.py` says what is there; the rest is one file for each family of kernels.
"""
