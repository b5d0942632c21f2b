"""One entry for every kernel: what it takes and returns, what it costs, how exact it is, how to try it.

Tests, benchmarks and documentation run over `CONTRACTS`; a new kernel is a new row here, a check in
`checks.py`, a function of the same name and arguments in every column, and inputs in `samples.py` (each of
the two has a second file for the kernels of a step around its networks).

>>> CONTRACTS["dense"].arguments
('x', 'weight', 'bias')
"""

import numpy as np

from .contract import CONTRACTS as CONTRACTS
from .contract import EXACT, contract
from .contract import Contract as Contract
from .costs import conv_bytes, conv_flops, conv_transpose_bytes, moved, pool_out

SPREADS = (  # of the three convolutions: fast ones add and subtract neighbours before they multiply
    " In the fast columns a NaN or an infinity in an image may spread over its whole tile or image, never to "
    "another, and in a weight gradient over all taps of its channel."
)
UPDATED = {"float32": 1e-6, "float64": 1e-14}

contract(
    "linear",
    "matmul",
    "a b",
    "a (..., M, K) times b (..., K, N) -> (..., M, N); leading axes broadcast, transposed views cost no "
    "copy.",
    lambda a, b: 2 * max(a.size * b.shape[-1], b.size * a.shape[-2]),
    lambda a, b: moved(a, b) + a.itemsize * max(a.size // max(a.shape[-1], 1) * b.shape[-1], 0),
)
contract(
    "linear",
    "dense",
    "x weight bias",
    "x (N, I), weight (O, I), bias (O,) or None -> x weightᵀ + bias, (N, O).",
    lambda x, weight, bias: 2 * x.shape[0] * weight.size,
    lambda x, weight, bias: moved(x, weight, bias) + x.shape[0] * weight.shape[0] * x.itemsize,
)
contract(
    "perceptron",
    "perceptron",
    "x weights biases slopes squashed",
    "x (N, I₀), weights (I₁, I₀), (I₂, I₁), ..., biases (Iᵢ,) or None, slopes of as many leaky ReLUs (1 for "
    "none) -> (h₁, h₂, ...): hᵢ (N, Iᵢ) = leaky_relu(dense(hᵢ₋₁, Wᵢ, bᵢ), sᵢ), h₀ = x; the last of them "
    "through a sigmoid where `squashed`, and then its slope is 1.",
    lambda x, weights, biases, slopes, squashed=False: 2 * len(x) * sum(w.size for w in weights),
    lambda x, weights, biases, slopes, squashed=False: (
        moved(x, *weights, *biases) + len(x) * sum(map(len, weights)) * x.itemsize
    ),
)
contract(
    "perceptron",
    "perceptron_grad",
    "gy x outputs weights slopes wanted squashed",
    "gy (N, I_last) and perceptron's x, outputs, weights, slopes, squashed; wanted: two flags -> (gx, if the "
    "first is set, then gW₁, gb₁, gW₂, gb₂, ..., if the second is).",
    lambda gy, x, outputs, weights, slopes, wanted, squashed=False: (
        2 * len(x) * ((1 + wanted[1]) * sum(w.size for w in weights) - (not wanted[0]) * weights[0].size)
    ),
    lambda gy, x, outputs, weights, slopes, wanted, squashed=False: (
        moved(gy, x, *outputs, *weights) + wanted[0] * x.nbytes + wanted[1] * moved(*weights)
    ),
)
contract(
    "convolution",
    "conv2d",
    "x weight bias stride padding",
    "x (N, C, H, W), weight (O, C, kh, kw), bias (O,) or None, stride and padding pairs of integers -> "
    "(N, O, P, Q) with P = ⌊(H + 2·padding − kh) / stride⌋ + 1, Q likewise." + SPREADS,
    conv_flops,
    conv_bytes,
)
contract(
    "convolution",
    "conv_transpose2d",
    "x weight bias stride padding output_padding",
    "x (N, I, H, W), weight (I, O, kh, kw), bias (O,) or None -> (N, O, P, Q) with "
    "P = (H − 1)·stride − 2·padding + kh + output_padding, Q likewise: the adjoint of conv2d in x." + SPREADS,
    lambda x, weight, bias, stride, padding, output_padding: 2 * x.size * weight.size / max(x.shape[1], 1),
    conv_transpose_bytes,
)
contract(
    "convolution",
    "conv2d_weight_grad",
    "x gy kernel_size stride padding",
    "x (N, C, H, W), gy (N, O, P, Q), kernel_size (kh, kw) -> (O, C, kh, kw), the adjoint of conv2d in "
    "weight: gw[o,c,a,b] = Σ x̂[n,c,s·p+a,t·q+b] · gy[n,o,p,q], x̂ zero-padded." + SPREADS,
    lambda x, gy, kernel_size, stride, padding: 2 * gy.size * x.shape[1] * np.prod(kernel_size),
    lambda x, gy, kernel_size, stride, padding: (
        moved(x, gy) + gy.shape[1] * x.shape[1] * np.prod(kernel_size) * x.itemsize
    ),
)
contract(
    "reduction",
    "channel_sum",
    "x",
    "x (N, C) or (N, C, H, W) -> (C,): the sum over all axes but 1, as if in float64 and rounded once.",
    lambda x: x.size,
    lambda x: x.nbytes,
)
contract(
    "layout",
    "contiguous",
    "x",
    "x of any shape and memory order -> a copy in C order.",
    lambda x: 0,
    lambda x: 2 * x.nbytes,
    EXACT,
)
contract(
    "pooling",
    "max_pool2d",
    "x kernel_size stride padding",
    "x (N, C, H, W) -> (y, indices), both (N, C, P, Q): the largest of each window and its int32 position "
    "h·W + w in x's plane. The first maximum wins a tie, the first NaN wins over numbers, padding counts as "
    "−∞ and may be at most half the kernel.",
    lambda x, kernel_size, stride, padding: pool_out(x, kernel_size, stride, padding) * np.prod(kernel_size),
    lambda x, kernel_size, stride, padding: (
        x.nbytes + pool_out(x, kernel_size, stride, padding) * (x.itemsize + 4)
    ),
)
contract(
    "pooling",
    "max_pool2d_scatter",
    "gy indices shape",
    "gy and indices (N, C, P, Q), shape (H, W) -> (N, C, H, W), zero but for gy added at its indices.",
    lambda gy, indices, shape: gy.size,
    lambda gy, indices, shape: (
        moved(gy, indices) + gy.shape[0] * gy.shape[1] * shape[0] * shape[1] * gy.itemsize
    ),
)
contract(
    "pooling",
    "max_pool2d_gather",
    "x indices",
    "x (N, C, H, W), indices (N, C, P, Q) -> x at those positions of its planes, (N, C, P, Q).",
    lambda x, indices: 0,
    lambda x, indices: moved(indices) + 2 * indices.size * x.itemsize,
)
contract(
    "normalization",
    "batch_norm",
    "x scale shift eps",
    "x (N, C) or (N, C, H, W), scale and shift (C,) -> (y, mean, var): y = scale · (x − mean) / √(var + "
    "eps) + shift with mean and biased variance, (C,), over all axes but 1, computed stably.",
    lambda x, scale, shift, eps: 7 * x.size,
    lambda x, scale, shift, eps: 3 * x.nbytes,
)
contract(
    "normalization",
    "batch_norm_grad",
    "gy x scale mean var eps",
    "gy, x (N, C) or (N, C, H, W); scale, mean, var (C,) -> (gx, gscale, gshift), the gradients of "
    "batch_norm, through its statistics too.",
    lambda gy, x, scale, mean, var, eps: 9 * x.size,
    lambda gy, x, scale, mean, var, eps: 5 * x.nbytes,
)
contract(
    "activation",
    "leaky_relu",
    "x negative_slope",
    "x of any shape -> negative_slope · x where x ≤ 0 (0 for slope 0, whatever x), else x.",
    lambda x, negative_slope: x.size,
    lambda x, negative_slope: 2 * x.nbytes,
)
contract(
    "activation",
    "leaky_relu_grad",
    "gy y negative_slope",
    "gy and y of one shape -> gy where y > 0, else negative_slope · gy; negative_slope is at least 0.",
    lambda gy, y, negative_slope: gy.size,
    lambda gy, y, negative_slope: 3 * gy.nbytes,
)
contract(
    "activation",
    "dropout_grad",
    "gy y p negative_slope",
    "gy, and dropout's result y of the same shape -> gy / (1 − p), times negative_slope where y is not "
    "above 0, but 0 where y is −0.0, which was dropped.",
    lambda gy, y, p, negative_slope: gy.size,
    lambda gy, y, p, negative_slope: 3 * gy.nbytes,
    EXACT,
)
contract(
    "sigmoid",
    "sigmoid",
    "x",
    "x of any shape -> 1 / (1 + e^−x), x being taken as at least −87 in float32.",
    lambda x: 12 * x.size,
    lambda x: 2 * x.nbytes,
)
contract(
    "sigmoid",
    "sigmoid_grad",
    "gy y",
    "gy, and sigmoid's result y of the same shape -> gy · y (1 − y).",
    lambda gy, y: 3 * gy.size,
    lambda gy, y: 3 * gy.nbytes,
)
contract(
    "sigmoid",
    "tanh",
    "x",
    "x of any shape -> tanh x.",
    lambda x: 14 * x.size,
    lambda x: 2 * x.nbytes,
)
contract(
    "sigmoid",
    "tanh_grad",
    "gy y",
    "gy, and tanh's result y of the same shape -> gy · (1 − y²).",
    lambda gy, y: 3 * gy.size,
    lambda gy, y: 3 * gy.nbytes,
)
contract(
    "softmax",
    "log_softmax",
    "x",
    "x of one or more axes, the last with an element -> x − log Σ eˣ along the last axis; never overflows.",
    lambda x: 14 * x.size,
    lambda x: 2 * x.nbytes,
)
contract(
    "softmax",
    "log_softmax_grad",
    "gy y",
    "gy, and log_softmax's result y of the same shape -> gy − eʸ Σ gy, sums along the last axis.",
    lambda gy, y: 13 * gy.size,
    lambda gy, y: 3 * gy.nbytes,
)
contract(
    "loss",
    "bce",
    "p t",
    "p of any shape with an element, t of the same or a number -> (loss, slope): the mean of −t log p − "
    "(1 − t) log(1 − p), of no axes, logarithms being at least −100, and ((1 − t) / (1 − p) − t / p) / n, "
    "divisors being at least 1e-12. A p outside [0, 1] makes the loss NaN.",
    lambda p, t: 12 * p.size,
    lambda p, t: 2 * p.nbytes + (0 if isinstance(t, float) else t.nbytes),
)
contract(
    "loss",
    "bce_with_logits",
    "x t",
    "x of any shape with an element, t of the same or a number -> (loss, slope): the mean of max(x, 0) − x t "
    "+ log(1 + e^−|x|), of no axes, and (σ(x) − t) / n of x's shape.",
    lambda x, t: 12 * x.size,
    lambda x, t: 2 * x.nbytes + (0 if isinstance(t, float) else t.nbytes),
)
contract(
    "random",
    "dropout",
    "x p key draw channels negative_slope",
    "x of one or more axes, p in [0, 1) -> leaky_relu(x, negative_slope) / (1 − p), slope 1 for none, where "
    "Philox word e of (key, draw) is at least round(p · 2³²), else −0.0; what is kept is never −0.0, so y "
    "tells which. e counts elements in (N, H, W, C) order for four axes, else in C order; with channels=True "
    "it counts n · C + c, one decision for a whole map.",
    lambda x, p, key, draw, channels, negative_slope: x.size,
    lambda x, p, key, draw, channels, negative_slope: 2 * x.nbytes,
    EXACT,
)
contract(
    "random",
    "philox_words",
    "out key draw",
    "Fills a C-contiguous uint32 array and returns it. Element e is word e mod 4 of the Philox4x32-10 block "
    "with counter words (⌊e/4⌋ low, ⌊e/4⌋ high, draw low, draw high) and key words (key low, key high).",
    lambda out, key, draw: 20 * out.size,
    lambda out, key, draw: out.nbytes,
    {"uint32": 0.0},
    ("out",),
)
contract(
    "random",
    "philox_uniform",
    "out key draw",
    "Fills a C-contiguous array with numbers in [0, 1) and returns it: float32 (word e ≫ 8) · 2⁻²⁴; float64 "
    "((w₀ ≫ 5) · 2²⁶ + (w₁ ≫ 6)) · 2⁻⁵³ from words 2e and 2e + 1.",
    lambda out, key, draw: 20 * out.size,
    lambda out, key, draw: out.nbytes,
    EXACT,
    ("out",),
)
contract(
    "random",
    "philox_normal",
    "out key draw",
    "Fills a C-contiguous array with standard normal numbers and returns it. Elements 2i and 2i + 1 are r "
    "cos 2πu₂ and r sin 2πu₂, r = √(−2 ln u₁). float32: u₁ = ((word 2i ≫ 8) + 1) · 2⁻²⁴, u₂ = (word 2i+1 ≫ "
    "8) · 2⁻²⁴. float64: with k(a, b) = (a ≫ 5) · 2²⁶ + (b ≫ 6), u₁ = (k(words 4i, 4i+1) + 1) · 2⁻⁵³, u₂ = "
    "k(words 4i+2, 4i+3) · 2⁻⁵³. Computed in float64, quarter turns reduced exactly, rounded once; columns "
    "agree within 4 units in the last place. An odd size drops the last sine.",
    lambda out, key, draw: 60 * out.size,
    lambda out, key, draw: out.nbytes,
    {"float32": 2.0**-22, "float64": 2.0**-51},
    ("out",),
)
contract(
    "data",
    "gather",
    "items table row low high",
    "items (N, ...), uint8 or float32, table (R, B) of int32 numbers of items, row ≥ 0, on a GPU maybe a "
    "cuda.count.Count, low < high -> the items of row mod R as float32 (B, ...): uint8 are divided by "
    "float32(255 / (high − low)), float32 multiplied by float32(high − low), and low is added; with low "
    "0 and high 1 float32 stay as they are. On a GPU a number that is no item's stands for the nearest.",
    lambda items, table, *rest: 2 * table.shape[1] * items[0].size,
    lambda items, table, *rest: table.shape[1] * (4 + items[0].size * (4 + items.itemsize)),
    EXACT,
)
contract(
    "update",
    "sum_squares",
    "xs",
    "A list of arrays of any shapes -> of each the sum of its squares, a float64 array (len(xs),).",
    lambda xs: 2 * sum(x.size for x in xs),
    lambda xs: moved(*xs),
    {"float32": 1e-13, "float64": 1e-13},
)
contract(
    "update",
    "clip_norm",
    "xs sums limit each",
    "A list of C-contiguous arrays, sum_squares of them, limit > 0; returns None. Scales xs in place by "
    "limit / norm where limit < norm < ∞; norm = √Σ sums, of all together, or with `each` of each its own.",
    lambda xs, *rest: sum(x.size for x in xs),
    lambda xs, *rest: 2 * moved(*xs),
    UPDATED,
    ("xs",),
)
contract(
    "update",
    "clip_value",
    "xs limit",
    "A list of C-contiguous arrays, limit > 0; cuts their elements to [−limit, limit] in place, NaN staying; "
    "returns None.",
    lambda xs, *rest: sum(x.size for x in xs),
    lambda xs, *rest: 2 * moved(*xs),
    EXACT,
    ("xs",),
)
contract(
    "update",
    "adam",
    "params grads ms vs lr beta1 beta2 eps step",
    "Four lists of as many C-contiguous arrays, of one shape where they meet, all of one dtype; updates "
    "params, ms and vs in place, returns None: m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², "
    "param ← param − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + eps), with t = step counted from 1; on a "
    "GPU it may be a cuda.count.Count.",
    lambda params, *rest: 14 * sum(p.size for p in params),
    lambda params, *rest: 7 * moved(*params),
    UPDATED,
    ("params", "ms", "vs"),
)
contract(
    "update",
    "sgd",
    "params grads vs lr momentum",
    "Lists as adam's; updates params and vs in place, returns None: v ← momentum · v + g, param ← param − lr "
    "· v. Without momentum vs may be an empty list, and v is g.",
    lambda params, grads, vs, *rest: (2 + 2 * bool(vs)) * sum(p.size for p in params),
    lambda params, grads, vs, *rest: (3 + 2 * bool(vs)) * moved(*params),
    UPDATED,
    ("params", "vs"),
)
contract(
    "update",
    "rmsprop",
    "params grads vs lr rho eps",
    "Lists as adam's; updates params and vs in place, returns None: v ← rho · v + (1 − rho) g², param ← "
    "param − lr · g / (√v + eps).",
    lambda params, *rest: 9 * sum(p.size for p in params),
    lambda params, *rest: 5 * moved(*params),
    UPDATED,
    ("params", "vs"),
)
contract(
    "update",
    "adagrad",
    "params grads sums lr eps",
    "Lists as adam's; updates params and sums in place, returns None: s ← s + g², param ← param − lr · g / "
    "(√s + eps).",
    lambda params, *rest: 7 * sum(p.size for p in params),
    lambda params, *rest: 5 * moved(*params),
    UPDATED,
    ("params", "sums"),
)
