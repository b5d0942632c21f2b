"""Every CUDA kernel under the sanitizers of the C++ compiler, and the planted bugs that they must find.

Each runs in a process of its own, which the sanitizer's library must enter before Python does.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from turns import FAMILIES, in_turn

from rawgan.kernels.cuda import host

pytestmark = [
    pytest.mark.sanitizer,
    pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler"),
]
HERE = Path(__file__).parent
MEMORY = ("libasan.so", "-fsanitize=address,undefined -fno-sanitize-recover=undefined -g -O1")
RACES = ("libtsan.so", "-fsanitize=thread -g -O1")

PLANTED = """
import sys
sys.path.insert(0, {here!r})
import numpy as np
from rawgan.kernels.cuda import host
from test_cuda_launcher import floats, planted
program = planted({code!r})
for seed in range(4):
    with host.use_seed(seed):
        program("wrong", np.float32, 2, 64, floats(1024), floats(1024), shared=256)
print("went through")
"""


def run(sanitizer, *program):
    """The exit status of a program in Python, and all that it printed."""
    library, flags = sanitizer
    found = subprocess.run([host.compiler(), f"-print-file-name={library}"], capture_output=True, text=True)
    path = found.stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip(f"the compiler has no {library}")
    environment = {
        **os.environ,
        "RAWGAN_SIM_FLAGS": flags,
        "LD_PRELOAD": path,
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "report_bugs=1:halt_on_error=1:exitcode=66:ignore_noninstrumented_modules=1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *program], env=environment, capture_output=True, text=True, timeout=500
    )
    return done.returncode, done.stdout + done.stderr


def planted(lines):
    """A program of one kernel with that body."""
    code = f"__global__ void wrong(const float* x, float* y) {{\n{lines}\n}}"
    return "-c", PLANTED.format(here=str(HERE), code=code)


CLEAN = (
    "__shared__ float room[64];\nroom[threadIdx.x] = x[threadIdx.x];\n__syncthreads();\n"
    "y[threadIdx.x] = room[63 - threadIdx.x];"
)
PLANTED_MEMORY = {
    "a read beyond an array": ("y[threadIdx.x] = x[1024 + threadIdx.x];", "heap-buffer-overflow"),
    "a write beyond an array": ("y[1000 + threadIdx.x] = 1;", "heap-buffer-overflow"),
    "a write before an array": ("y[int(threadIdx.x) - 1] = 1;", "heap-buffer-overflow"),
    "a read beyond shared memory": (
        "__shared__ float room[64];\nroom[threadIdx.x] = 1;\ny[threadIdx.x] = room[threadIdx.x + 60];",
        "global-buffer-overflow|out of bounds",
    ),
    "a write beyond dynamic shared memory": (
        "extern __shared__ float room[];\nroom[threadIdx.x + 1] = 1;\ny[threadIdx.x] = room[threadIdx.x];",
        "use-after-poison",
    ),
    "a misaligned vector": (
        "float4 v = *(const float4*)(x + 1);\ny[threadIdx.x] = v.x;",
        "misaligned address",
    ),
    "a shift too far": ("y[threadIdx.x] = 1 << (31 + threadIdx.x);", "shift exponent|left shift"),
}
PLANTED_RACES = {
    "a missing barrier": CLEAN.replace("__syncthreads();\n", ""),
    "a missing trailing barrier": (
        "__shared__ float room[64];\nfor (int i = 0; i < 3; i++) {\nroom[threadIdx.x] = x[threadIdx.x + i];\n"
        "__syncthreads();\ny[threadIdx.x] += room[63 - threadIdx.x];\n}"
    ),
    "a warp's exchange taken for a barrier": CLEAN.replace("__syncthreads", "__syncwarp"),
}


@pytest.mark.parametrize("sanitizer", [MEMORY, RACES], ids=["memory", "races"])
def test_a_right_kernel_goes_through(sanitizer):
    status, said = run(sanitizer, *planted(CLEAN))
    assert (status, "went through" in said) == (0, True), said[-3000:]


@pytest.mark.parametrize("bug", PLANTED_MEMORY)
def test_wrong_addresses_are_found(bug):
    lines, words = PLANTED_MEMORY[bug]
    status, said = run(MEMORY, *planted(lines))
    assert status != 0
    assert any(word in said for word in words.split("|")), said[-3000:]
    assert "planted.cu" in said


@pytest.mark.parametrize("bug", PLANTED_RACES)
def test_races_are_found(bug):
    status, said = run(RACES, *planted(PLANTED_RACES[bug]))
    assert status != 0
    assert "data race" in said, said[-3000:]


@pytest.mark.parametrize("sanitizer", [MEMORY, RACES], ids=["memory", "races"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_kernel_goes_through(family, sanitizer):
    in_turn(family)
    status, said = run(sanitizer, str(HERE / "sanitized.py"), family)
    assert (status, "went through" in said) == (0, True), said[-5000:]
