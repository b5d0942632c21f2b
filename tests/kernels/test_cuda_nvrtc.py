"""What NVIDIA's compiler says of the kernels, with no GPU; and that CuPy has what is called of it.

`make cuda` runs these in an environment of their own, with CuPy and NVRTC.
"""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from turns import in_turn

import rawgan
from rawgan import bench, kernels
from rawgan.kernels.cuda.program import FOLDER
from rawgan.kernels.cuda.tiles import TOGETHER

pytestmark = pytest.mark.nvrtc
ARCHITECTURES = ("80", "90", "100", "120")
# Registers a thread and bytes of shared memory a block, over the kernels of a file and all architectures:
# 65,536 registers and 100 to 228 KB are what a multiprocessor has, so these say how many threads it holds.
LIMITS = {
    "activation": (28, 0),
    "history": (32, 0),
    "data": (40, 0),
    "layout": (40, 8_448),
    "loss": (48, 64),
    "normalization": (108, 24_576),
    "peak": (64, 0),
    "pooling": (56, 0),
    "random": (48, 0),
    "reduction": (56, 8_192),
    "sigmoid": (28, 0),
    "softmax": (56, 0),
    "update": (48, 72),
}
# Tiles of 1, 2, 4 and 8 warps, whose shared memory is dynamic: 8, 12, 12 and 8 warps fit a multiprocessor.
TILES = {"fp32": (255, 168, 168, 224), "tf32": (200, 168, 168, 168)}
LIMITS |= {
    f"{file} {kind} {warps}": (most, shared)
    for file, shared in (("convolution", 0), ("linear", 2_048))
    for kind, each in TILES.items()
    for warps, most in zip(TOGETHER, each, strict=True)
}
PROGRAMS = sorted(LIMITS)


def program_of(name):
    """name: "layout", or "linear tf32 8" for tiles of a precision and of as many warps."""
    file, *tile = name.split()
    module = import_module(f"rawgan.kernels.cuda.{file}")
    return module.TILED.programs[tile[0], int(tile[1])] if tile else module.PROGRAM


def compiled(name, architecture, ptx=False):
    """[(kernel, registers, spilled bytes, shared bytes)], or the PTX."""
    from cupy.cuda import nvrtc

    program = program_of(name)
    made = nvrtc.createProgram(program.text, f"{program.name}.cu", (), ())
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


def widths(ptx):
    """Bytes of each parameter of each kernel, in the PTX's order."""
    found = {}
    for name, parameters in re.findall(r"\.entry\s+(\w+)\s*\(([^)]*)\)", ptx):
        each = [
            re.search(r"\.[bfsu](8|16|32|64)\b.*?(?:\[(\d+)\])?$", p.strip()) for p in parameters.split(",")
        ]
        found[name] = [int(p[1]) // 8 * int(p[2] or 1) for p in each]
    return found


def width(parameter):
    """Of one in a kernel's signature: "*f4", "i8", "*f4[64]"."""
    pointer, size, _, many = re.fullmatch(r"(\*?)[fiu](\d)(\[(\d+)\])?", parameter).groups()
    return (8 if pointer else int(size)) * int(many or 1)


@pytest.mark.parametrize("name", PROGRAMS)
def test_parameters_are_as_wide_as_what_the_launcher_passes(name):
    """CuPy passes whatever it is given; the simulator's compiler is asked by the launcher itself."""
    in_turn(name.partition(" ")[0])
    program = program_of(name)
    compiled_kernels = widths(compiled(name, "90", ptx=True))
    assert len(compiled_kernels) == len(program.instances)
    passed = sorted(
        [width(p) for p in kernel.signature(code).split(",")[:-1]] for kernel, code in program.instances
    )
    assert sorted(compiled_kernels.values()) == passed
    assert all(sum(wide) <= 4096 for wide in compiled_kernels.values())


def test_every_file_has_its_limits():
    assert {name.partition(" ")[0] for name in LIMITS} == {path.stem for path in FOLDER.glob("*.cu")}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_compiles_within_its_limits_and_spills_nothing(name, architecture):
    in_turn(name.partition(" ")[0])
    registers, shared = LIMITS[name]
    for kernel, used, spilled, room in compiled(name, architecture):
        assert spilled == 0, kernel
        assert used <= registers, kernel
        assert room <= shared, kernel


@pytest.mark.parametrize("warps", TOGETHER)
@pytest.mark.parametrize(
    ("file", "kernels_of"), [("convolution", ("convolve", "conv2d_weight_grad")), ("linear", ("product",))]
)
def test_tiles_are_copied_asynchronously_and_only_tf32_uses_tensor_cores(file, kernels_of, warps):
    in_turn(file)
    for kind in ("fp32", "tf32"):
        bodies = compiled(f"{file} {kind} {warps}", "90", ptx=True).split(".entry ")[1:]
        for kernel in kernels_of:
            for code in "fd":
                (body,) = (b for b in bodies if re.match(rf"_Z\w*{len(kernel)}{kernel}I{code}E", b))
                assert re.search(r"cp\.async\.ca\.shared\.global \[\S+\], \[\S+\], 16,", body)
                assert re.search(r"cp\.async\.wait_group 2;", body)
                tensor = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32" in body
                assert tensor == (kind == "tf32" and code == "f"), (kernel, code)


# What CuPy, a part of it, or what it makes goes by.
CUPY = {
    **dict.fromkeys(("cupy", "_cupy()", "self._cupy", "import_module('cupy')", "xp"), ""),
    **dict.fromkeys(("cuda", "self._cuda"), "cuda"),
    "runtime": "cuda.runtime",
    "self._stream": "cuda.Stream",
    "self._pool": "cuda.MemoryPool",
    "self._graph": "cuda.graph.Graph",
    "cupy.cuda.Device(number)": "cuda.Device",
    "module": "RawModule",
    "function": "RawKernel",
}


def used_of_cupy(path):
    """The dotted names that a file of rawgan takes from CuPy."""
    text = path.read_text("utf-8")
    for node in ast.walk(ast.parse(text)):
        chain = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
            owner = ast.unparse(node)
            if re.fullmatch(r"(.*\.)?namespace\(.*\)", owner):
                yield ".".join(chain)
            elif owner in CUPY and (owner == "xp" or "cupy" in text):
                yield ".".join(filter(None, [CUPY[owner], *chain]))


def test_cupy_has_every_attribute_that_is_used():
    cupy = pytest.importorskip("cupy")
    folders = (Path(package.__file__).parent for package in (rawgan, bench, kernels))
    used = {name for folder in folders for path in folder.rglob("*.py") for name in used_of_cupy(path)}
    assert used >= USED
    for name in used:
        owner = cupy
        for part in name.split("."):
            assert hasattr(owner, part), f"cupy.{name}"
            owner = getattr(owner, part)


USED = {  # some of them, one for each way to write it
    "RawModule",
    "cuda.runtime.getDevice",
    "cuda.runtime.getDeviceCount",
    "cuda.runtime.memGetInfo",
    "cuda.driver.CUDADriverError",
    "cuda.Stream.begin_capture",
    "cuda.MemoryPool.malloc",
    "cuda.graph.Graph.launch",
    "cuda.Device.compute_capability",
    "RawModule.get_function",
    "RawKernel.max_dynamic_shared_size_bytes",
    "sqrt",
    "zeros_like",
}
