"""The kernels in CUDA C++, for an NVIDIA GPU and for its stand-in on the processor.

- `*.cu`: the kernels, one file a family, including nothing but the `.cuh` files; beside each a module of the
  same name with the functions of the contract table, which choose blocks and grids.
- `program.py` reads a kernel's parameters in its source, checks what it is called with, and launches it:
  through CuPy for its arrays, through `host.py` for those of the device "cuda-sim".
- `host.py` and `host/*.h` compile the same `.cu` with the system's C++ compiler and run a block's threads as
  fibers. That says whether a kernel is right, not how fast it is; it knows nothing of fused multiply-adds,
  numbers flushed to zero, or the device's own sine and logarithm.
"""
