"""What NVIDIA's compiler says of the kernels, with no GPU; and that CuPy has what is called of it.

`make cuda` runs these in an environment of their own, with CuPy and NVRTC.
"""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import rawgan
from rawgan import bench, kernels
from rawgan.kernels.cuda.program import FOLDER

pytestmark = pytest.mark.nvrtc
ARCHITECTURES = ("80", "90", "100", "120")
# Registers a thread and bytes of shared memory a block, over the kernels of a file and all architectures:
# 65,536 registers and 100 to 228 KB are what a multiprocessor has, so these say how many threads it holds.
LIMITS = {
    "activation": (28, 0),
    "convolution": (140, 34_816),
    "history": (32, 0),
    "layout": (40, 8_448),
    "linear": (128, 34_816),
    "loss": (48, 64),
    "normalization": (108, 24_576),
    "pooling": (56, 0),
    "random": (48, 0),
    "reduction": (56, 8_192),
    "sigmoid": (28, 0),
    "update": (48, 72),
}
LIMITS |= {"convolution TF32": (140, 34_816), "linear TF32": (128, 34_816)}
PROGRAMS = sorted([*(path.stem for path in FOLDER.glob("*.cu")), "convolution TF32", "linear TF32"])


def compiled(name, architecture, ptx=False):
    """[(kernel, registers, spilled bytes, shared bytes)], or the PTX; name: "linear", "linear TF32"."""
    from cupy.cuda import nvrtc

    file, _, variant = name.partition(" ")
    program = getattr(import_module(f"rawgan.kernels.cuda.{file}"), variant or "PROGRAM")
    made = nvrtc.createProgram(program.text, f"{file}.cu", (), ())
    for kernel, code in program.instances:
        nvrtc.addNameExpression(made, kernel.instance(code))
    kind = "compute" if ptx else "sm"
    options = (
        f"-arch={kind}_{architecture}",
        "--std=c++17",
        "-ftz=true",
        *(() if ptx else ("--ptxas-options=-v",)),
    )
    try:
        nvrtc.compileProgram(made, tuple(options))
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(made))
    if ptx:
        return nvrtc.getPTX(made).decode()
    log = nvrtc.getProgramLog(made)
    found = []
    for part in log.split("Compiling entry function '")[1:]:
        registers = int(re.search(r"Used (\d+) registers", part)[1])
        spills = sum(map(int, re.findall(r"(\d+) bytes spill", part)))
        shared = re.search(r"(\d+) bytes smem", part)
        found.append((part.partition("'")[0], registers, spills, int(shared[1]) if shared else 0))
    assert len(found) == len(program.instances)
    return found


def test_every_file_has_its_limits():
    assert sorted(LIMITS) == PROGRAMS


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_compiles_within_its_limits_and_spills_nothing(name, architecture):
    registers, shared = LIMITS[name]
    for kernel, used, spilled, room in compiled(name, architecture):
        assert spilled == 0, kernel
        assert used <= registers, kernel
        assert room <= shared, kernel


@pytest.mark.parametrize("name", ["convolution", "linear"])
def test_only_tf32_uses_tensor_cores(name):
    assert "mma.sync.aligned.m16n8k8" in compiled(f"{name} TF32", "90", ptx=True)
    assert "mma.sync" not in compiled(name, "90", ptx=True)


def test_cupy_has_every_attribute_that_is_used():
    cupy = pytest.importorskip("cupy")
    used = set()
    for package in (rawgan, bench, kernels):
        for path in Path(package.__file__).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                chain = []
                while isinstance(node, ast.Attribute):
                    chain.insert(0, node.attr)
                    node = node.value
                if chain and isinstance(node, ast.Name) and node.id == "cupy":
                    used.add(tuple(chain))
    assert ("RawModule",) in used
    for chain in used:
        owner = cupy
        for name in chain:
            assert hasattr(owner, name), ".".join(("cupy", *chain))
            owner = getattr(owner, name)
