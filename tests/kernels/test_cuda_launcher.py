"""What the launcher refuses, and the planted bugs that running on the processor finds."""

import numpy as np
import pytest

from rawgan.kernels.cuda import activation, host
from rawgan.kernels.cuda.program import FOLDER, LISTED, Listed, Program, read
from rawgan.kernels.errors import DeviceError, DTypeError, ShapeError

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")
DEVICE = (FOLDER / "device.cuh").read_text()
LISTS = (FOLDER / "lists.cuh").read_text()


def planted(code):
    """A program of these kernels."""
    program = Program("planted")
    program.__dict__["text"] = f'{DEVICE}\n#line 1 "planted.cu"\n{code}'
    return program


def floats(n, dtype=np.float32):
    return host.on_device(np.arange(n, dtype=dtype))


def test_parameters_are_read_in_the_source():
    kernels = read(
        "template <class T>\n__global__ void __a(const T* x, T* __restrict__ y_or_null,\n T z, long long n);"
        "__global__ __launch_bounds__(256) void b(const unsigned* words, unsigned long long key) {}"
    )
    assert kernels["__a"].signature("f4") == "*f4,*f4,f4,i8,"
    assert kernels["__a"].instance("f8") == "__a<double>"
    assert [(p.written, p.optional) for p in kernels["__a"].parameters] == [(0, 0), (1, 1), (0, 0), (0, 0)]
    assert kernels["b"].signature("f4") == "*u4,u8,"
    with pytest.raises(ValueError, match="'float4 x' is not a parameter"):
        read("__global__ void c(float4 x) {}")


def test_lists_are_read_in_the_source():
    kernels = read(
        "template <class T> __global__ void f(List<const T*> xs, List<T*> ys, List<long long> sizes) {}"
    )
    assert kernels["f"].signature("f8") == f"*f8[{LISTED}],*f8[{LISTED}],i8[{LISTED}],"
    assert [(p.pointer, p.written, p.listed) for p in kernels["f"].parameters] == [
        (True, False, True),
        (True, True, True),
        (False, False, True),
    ]
    for words in ("List<float4*> x", "List<float* x", "float*> x", "Other<float*> x"):
        with pytest.raises(ValueError, match="is not a parameter"):
            read(f"__global__ void c({words}) {{}}")


REFUSED = {
    "too few arguments": (ShapeError, "takes 4 arguments, got 3", lambda x, y: (x, y, 0.1)),
    "a dtype": (DTypeError, "y takes float32, got an array of", lambda x, y: (x, floats(8, float), 0.1, 8)),
    "strides": (ShapeError, "x takes a C-contiguous array", lambda x, y: (floats(16)[::2], y, 0.1, 8)),
    "a CPU's array": (DeviceError, "x takes an array on the device", lambda x, y: (np.ones(8), y, 0.1, 8)),
    "None": (DeviceError, "y takes an array on the device, got None", lambda x, y: (x, None, 0.1, 8)),
    "a number too large": (ShapeError, "n takes int64, which cannot hold", lambda x, y: (x, y, 0.1, 2**63)),
    "a fraction for a count": (DTypeError, "n takes a whole number", lambda x, y: (x, y, 0.1, 8.0)),
    "a text": (DTypeError, "slope takes a number, got str", lambda x, y: (x, y, "0.1", 8)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_arguments_are_refused_by_name(case):
    kind, words, make = REFUSED[case]
    x, y = floats(8), floats(8)
    with pytest.raises(kind, match=f"leaky_relu: .*{words}"):
        activation.PROGRAM("leaky_relu", np.float32, 1, 32, *make(x, y))


def test_what_is_written_must_be_writable_and_what_is_launched_must_fit():
    x, y = floats(8), floats(8)
    y.flags.writeable = False
    with pytest.raises(ShapeError, match="y is written, and the array is read-only"):
        activation.PROGRAM("leaky_relu", np.float32, 1, 32, x, y, 0.1, 8)
    activation.PROGRAM("leaky_relu", np.float32, 1, 32, y, x, 0.1, 8)
    for grid, block in (
        (2**31, 32),
        ((1, 65536), 32),
        ((1, 1, 1, 1), 32),
        (1, 2048),
        (1, (64, 32)),
        (-1, 32),
    ):
        with pytest.raises(ShapeError, match=r"leaky_relu: .*; takes up to"):
            activation.PROGRAM("leaky_relu", np.float32, grid, block, x, floats(8), 0.1, 8)
    with pytest.raises(DTypeError, match="exists for float32 and float64, got int32"):
        activation.PROGRAM("leaky_relu", np.int32, 1, 32, x, x, 0.1, 8)


SCALED = (
    LISTS
    + """
template <class T>
__global__ void scaled(List<const T*> xs, List<T*> ys, List<int> sizes, T factor) {
    int i = blockIdx.x;
    for (int j = threadIdx.x; j < sizes[i]; j += blockDim.x) ys[i][j] = factor * xs[i][j];
}"""
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lists_go_by_value(dtype):
    """Each array by its own address, and each number at its own place; what is not used stays 0."""
    program = planted(SCALED)
    for count in (1, 3, LISTED):
        xs, ys = ([floats(n + 1, dtype) + i for n in range(count)] for i in (0, 100))
        program("scaled", dtype, count, 32, xs, ys, [x.size for x in xs], 3.0)
        for x, y in zip(xs, ys, strict=True):
            np.testing.assert_array_equal(np.asarray(y), 3 * np.asarray(x))


LISTS_REFUSED = {
    "a list too long": (ShapeError, f"xs takes a list of up to {LISTED}, got {LISTED + 1}", [floats(1)] * 65),
    "no list": (ShapeError, "xs takes a list of up to 64, got HostArray", floats(3)),
    "a dtype": (DTypeError, "xs takes float32, got an array of float64", [floats(1), floats(1, float)]),
    "strides": (ShapeError, "xs takes a C-contiguous array", [floats(1), floats(6)[::2]]),
    "a CPU's array": (DeviceError, "xs takes an array on the device", [np.ones(1, np.float32)]),
    "None": (DeviceError, "xs takes an array on the device, got None", [None]),
}  # fmt: skip


@pytest.mark.parametrize("case", LISTS_REFUSED)
def test_what_a_list_holds_is_checked_like_the_rest(case):
    kind, words, xs = LISTS_REFUSED[case]
    with pytest.raises(kind, match=f"scaled: {words}"):
        planted(SCALED)("scaled", np.float32, 1, 32, xs, [floats(1)], [1], 3.0)


def test_what_a_list_writes_must_be_writable_and_its_numbers_must_fit():
    fixed = floats(1)
    fixed.flags.writeable = False
    program = planted(SCALED)
    program("scaled", np.float32, 1, 32, [fixed], [floats(1)], [1], 3.0)
    for ys, sizes, kind, words in (
        ([fixed], [1], ShapeError, "ys is written, and the array is read-only"),
        ([floats(1)], [2**31], ShapeError, "sizes takes int32, which cannot hold"),
        ([floats(1)], [1.0], DTypeError, "sizes takes a whole number"),
    ):
        with pytest.raises(kind, match=f"scaled: {words}"):
            program("scaled", np.float32, 1, 32, [floats(1)], ys, sizes, 3.0)


def test_a_list_of_another_length_than_the_launchers_is_refused():
    program = planted(SCALED.replace(f"LISTED = {LISTED}", f"LISTED = {LISTED // 2}"))
    with pytest.raises(DeviceError, match=r"scaled takes \*f4\[32\].* and is read as \*f4\[64\]"):
        program("scaled", np.float32, 1, 32, [floats(1)], [floats(1)], [1], 3.0)


def test_a_list_is_one_element_of_bytes_for_cupy():
    """Only then does it pass a NumPy array by value."""
    arrays = [floats(2), floats(3)]
    words = Listed(arrays, np.dtype("u8")).words(lambda array: array.ctypes.data)
    assert (words.size, words.nbytes) == (1, 8 * LISTED)
    assert words.view("u8").tolist() == [x.ctypes.data for x in arrays] + [0] * (LISTED - 2)
    numbers = Listed([np.int32(5), np.int32(-1)], np.dtype("i4")).words(id)
    assert (numbers.size, numbers.nbytes) == (1, 4 * LISTED)
    assert numbers.view("i4")[:3].tolist() == [5, -1, 0]


def test_an_empty_grid_launches_nothing():
    y = floats(8)
    activation.PROGRAM("leaky_relu", np.float32, 0, 32, floats(8), y, 0.1, 8)
    np.testing.assert_array_equal(np.asarray(y), np.arange(8))


def test_arrays_of_two_devices_do_not_meet():
    x = floats(3)
    with pytest.raises(DeviceError, match="multiply: an array of 'cuda-sim' meets one of 'cpu'"):
        x * np.ones(3, np.float32)
    assert type(x * np.float32(2)) is type(x.sum()) is type(x.reshape(3, 1).T) is host.HostArray


def test_errors_of_the_compiler_name_the_line():
    with pytest.raises(DeviceError, match=r"(?s)planted\.cu: .* cannot compile it:.*planted\.cu:2:"):
        planted("__global__ void broken(float* y) {\n  y[0] = nothing;\n}")(
            "broken", np.float32, 1, 1, floats(1)
        )


def test_no_compiler_says_what_to_install(monkeypatch):
    monkeypatch.setattr(host.shutil, "which", lambda name: None)
    host.compiler.cache_clear()
    try:
        with pytest.raises(DeviceError, match=r"finds no C\+\+ compiler; install g\+\+"):
            host.compiler()
        assert not host.has_compiler()
    finally:
        host.compiler.cache_clear()


STOPPED = {  # what the scheduler itself sees: (kernel body, its words)
    "a divergent barrier": (
        "if (threadIdx.x < 32) {\n__syncthreads();\n} else {\n__syncthreads();\n}",
        "threads wait at different __syncthreads: planted.cu:3 and line 5",
    ),
    "a barrier that some have left": (
        "if (threadIdx.x == 3) return;\n__syncthreads();",
        "__syncthreads at planted.cu:3 is reached by 63 threads after 1 have exited",
    ),
    "a barrier inside a warp's branch": (
        "if (threadIdx.x % 2) __syncthreads(); else __syncwarp();",
        "deadlock: lane .* waits in __syncwarp",
    ),
    "a shuffle by lanes that have exited": (
        "if (threadIdx.x % 32 > 20) return;\ny[threadIdx.x] = __shfl_xor_sync(~0u, y[threadIdx.x], 1);",
        "__shfl_xor_sync: the mask ffffffff names lanes that have exited|deadlock: .* in __shfl_xor",
    ),
    "a lane outside of its mask": (
        "y[threadIdx.x] = __shfl_sync(0xffff, y[threadIdx.x], 0);",
        "__shfl_sync: lane (1[6-9]|2.|3.) is not in its mask 0000ffff",
    ),
    "lanes that disagree about the mask": (
        "y[threadIdx.x] = __shfl_sync(threadIdx.x % 32 ? ~0u : 1u, y[threadIdx.x], 0);",
        "deadlock: lane .* waits in __shfl_sync|lanes disagree|names lanes that have exited",
    ),
    "lanes that disagree about the operation": (
        "if (threadIdx.x % 2) __shfl_sync(~0u, 1, 0); else __ballot_sync(~0u, 1);",
        "lanes disagree: lane .* is in",
    ),
    "a misaligned asynchronous copy": (
        "__shared__ float room[80];\nrg_cp_async(room + 1, y, 16, 16);",
        "cp.async of 16 bytes is misaligned",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", STOPPED)
@pytest.mark.parametrize("order", [0, 5])
def test_threads_that_cannot_go_on_are_named(bug, order):
    body, words = STOPPED[bug]
    program = planted(f"__global__ void wrong(float* y) {{\n{body}\n}}")
    with host.use_seed(order), pytest.raises(DeviceError, match=f"wrong: .*({words})"):
        program("wrong", np.float32, 2, 64, floats(64))


REVERSED = """
__global__ void turned(const float* x, float* y) {
    __shared__ float room[256];
    room[threadIdx.x] = x[threadIdx.x];
    BARRIER
    y[threadIdx.x] = room[255 - threadIdx.x];
}
"""
COPIED = """
__global__ void copied(const float* x, float* y) {
    __shared__ __align__(16) float room[2][256];
    for (int step = 0; step < 4; step++) {
        rg_cp_async(&room[step % BUFFERS][threadIdx.x], x + 256 * step + threadIdx.x, 4, 4);
        rg_cp_async_commit();
        WAIT
        __syncthreads();
        y[256 * step + threadIdx.x] = room[step % BUFFERS][255 - threadIdx.x];
        TRAILING
    }
}
"""


def wrong_orders(program, kernel, n, expected):
    """The seeds under which the result is not what it should be."""
    wrong = set()
    for order in range(8):
        y = host.on_device(np.zeros(n, np.float32))
        with host.use_seed(order):
            program(kernel, np.float32, 1, 256, floats(n), y)
        if not np.array_equal(np.asarray(y), expected):
            wrong.add(order)
    return wrong


@pytest.mark.parametrize(("barrier", "found"), [("__syncthreads();", False), ("", True)])
def test_a_missing_barrier_gives_other_results(barrier, found):
    program = planted(REVERSED.replace("BARRIER", barrier))
    assert bool(wrong_orders(program, "turned", 256, np.arange(256)[::-1])) == found


@pytest.mark.parametrize(
    ("wait", "trailing", "wrong"),
    [
        ("rg_cp_async_wait<0>();", "__syncthreads();", set()),
        ("", "__syncthreads();", {0, 2, 4, 6}),  # copies come as late as they may
        ("rg_cp_async_wait<1>();", "__syncthreads();", {0, 2, 4, 6}),
    ],
)
def test_a_missing_wait_for_copies_shows_under_even_seeds(wait, trailing, wrong):
    code = COPIED.replace("WAIT", wait).replace("TRAILING", trailing).replace("BUFFERS", "2")
    expected = np.arange(1024).reshape(4, 256)[:, ::-1].reshape(-1)
    assert wrong_orders(planted(code), "copied", 1024, expected) == wrong


def test_a_missing_trailing_barrier_shows_under_odd_seeds():
    """The next copy lands in a buffer that others still read: at once, or it would come after them."""
    code = COPIED.replace("WAIT", "rg_cp_async_wait<0>();").replace("TRAILING", "").replace("BUFFERS", "1")
    expected = np.arange(1024).reshape(4, 256)[:, ::-1].reshape(-1)
    assert {1, 3, 5, 7} <= wrong_orders(planted(code), "copied", 1024, expected)


@pytest.mark.parametrize("room", ["__shared__ float room[64];", "extern __shared__ float room[];"])
def test_shared_memory_that_nobody_wrote_is_nan(room):
    """In every block anew: what an earlier one has left there is not found."""
    body = f"{room}\ny[64 * blockIdx.x + threadIdx.x] = room[threadIdx.x];\nroom[threadIdx.x] = 1;"
    program = planted(f"__global__ void unset(float* y) {{\n{body}\n}}")
    y = floats(128)
    program("unset", np.float32, 2, 64, y, shared=256)
    assert np.isnan(np.asarray(y)).all()


def test_dynamic_shared_memory_and_two_axes():
    code = """
    __global__ void sums(const float* x, float* y) {
        extern __shared__ float room[];
        int i = threadIdx.y * blockDim.x + threadIdx.x;
        room[i] = x[i];
        __syncthreads();
        for (int half = 32; half; half /= 2) {
            if (i < half) room[i] += room[i + half];
            __syncthreads();
        }
        if (i == 0) y[blockIdx.y * gridDim.x + blockIdx.x] = room[0];
    }"""
    y = floats(6)
    planted(code)("sums", np.float32, (3, 2), (16, 4), floats(64), y, shared=256)
    np.testing.assert_array_equal(np.asarray(y), np.full(6, 2016))


def test_tensor_cores_multiply_what_tf32_holds():
    code = """
    __global__ void product(const float* a, const float* b, float* d) {
        int group = threadIdx.x >> 2, in_group = threadIdx.x & 3;
        unsigned A[4], B[2];
        for (int i = 0; i < 4; i++) A[i] = rg_tf32(a[(group + 8 * (i & 1)) * 8 + in_group + 4 * (i >> 1)]);
        for (int i = 0; i < 2; i++) B[i] = rg_tf32(b[(in_group + 4 * i) * 8 + group]);
        float C[4] = {}, D[4];
        rg_mma_m16n8k8_tf32(D, A, B, C);
        for (int i = 0; i < 4; i++) d[(group + 8 * (i >> 1)) * 8 + 2 * in_group + (i & 1)] = D[i];
    }"""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((16, 8)).astype(np.float32), rng.standard_normal((8, 8)).astype(np.float32)
    d = host.on_device(np.zeros((16, 8), np.float32))
    planted(code)("product", np.float32, 1, 32, host.on_device(a), host.on_device(b), d)
    cut = [((x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32) for x in (a, b)]
    wanted = cut[0].astype(np.float64) @ cut[1]
    assert np.abs(np.asarray(d) - wanted).max() <= 1e-6 * np.abs(wanted).max()


def test_a_cache_that_cannot_be_written_costs_a_compilation(monkeypatch, tmp_path):
    import platformdirs

    (tmp_path / "file").write_text("")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "file")
    host._folder.cache_clear()
    try:
        y = floats(1)
        planted("__global__ void one(float* y) { y[0] = 1; }")("one", np.float32, 1, 1, y)
        assert y[0] == 1
        assert host._folder() != tmp_path
    finally:
        host._folder.cache_clear()
