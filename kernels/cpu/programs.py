"""Short programs for linear maps: how fast convolutions transform images, weights and results.

A `Program` is a list of sums of earlier values, so that transposing it is mechanical, and one description of
an algorithm gives the forward pass, both gradients and the transposed convolution (see `bilinear.py`). This
file is pure Python: a program's `matrix()` is what it computes, and the tests compare that.

>>> program = Program(2)
>>> a, b = 0, 1
>>> program.outputs = [program.add([(1, a), (1, b)]), program.add([(1, a), (-1, b)])]
>>> program.matrix()
array([[ 1.,  1.],
       [ 1., -1.]])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

Value = int | None  # the number of a value; None is zero
Term = tuple[float, Value]


class Program:
    """Values 0 ... inputs − 1 are given; each `add` makes one more; `outputs` names the results."""

    def __init__(self, inputs: int):
        self.inputs = inputs
        self.sums: list[list[tuple[float, int]]] = []
        self.outputs: list[Value] = []

    def add(self, terms: Sequence[Term]) -> Value:
        """The value Σ coefficient · value; what is zero, or a value unchanged, takes no step."""
        kept = [(float(c), v) for c, v in terms if c != 0 and v is not None]
        if not kept:
            return None
        if len(kept) == 1 and kept[0][0] == 1.0:
            return kept[0][1]
        self.sums.append(kept)
        return self.inputs + len(self.sums) - 1

    def transpose(self) -> Program:
        """The program of the transposed matrix: every arrow turned round."""
        turned = Program(len(self.outputs))
        readers: dict[int, list[Term]] = {}
        for i, value in enumerate(self.outputs):
            if value is not None:
                readers.setdefault(value, []).append((1.0, i))
        for value in reversed(range(self.inputs, self.inputs + len(self.sums))):
            adjoint = turned.add(readers.get(value, []))
            for c, source in self.sums[value - self.inputs]:
                readers.setdefault(source, []).append((c, adjoint))
        turned.outputs = [turned.add(readers.get(value, [])) for value in range(self.inputs)]
        return turned

    def matrix(self) -> np.ndarray:
        """What the program computes, (outputs, inputs), float64."""
        values = list(np.eye(self.inputs))
        for terms in self.sums:
            values.append(np.sum([c * values[v] for c, v in terms], axis=0))
        zero = np.zeros(self.inputs)
        return np.array([zero if v is None else values[v] for v in self.outputs]).reshape(-1, self.inputs)

    def apply(self, matrix: np.ndarray, values: Sequence[Value]) -> list[Value]:
        """The products of a matrix with values. Rows that differ in signs alone share their two halves."""
        made: dict[int, Value] = {}
        sizes = abs(matrix).tolist()
        for i, row in enumerate(matrix):
            for j in range(i + 1, len(matrix)):
                if i in made or j in made or sizes[i] != sizes[j]:
                    continue
                halves = []
                for sign in (1, -1):
                    pairs = zip(row, matrix[j], values, strict=True)
                    halves.append([(c, v) for c, d, v in pairs if c * d * sign > 0])
                if min(map(len, halves)) and len(halves[0]) + len(halves[1]) > 2:
                    same, other = (self.add(half) for half in halves)
                    made[i], made[j] = self.add([(1, same), (1, other)]), self.add([(1, same), (-1, other)])
            if i not in made:
                made[i] = self.add(list(zip(row, values, strict=True)))
        return [made[i] for i in range(len(matrix))]


def separable(rows: np.ndarray, columns: np.ndarray) -> Program:
    """rows · X · columnsᵀ of an image X, both in row-major order."""
    height, width = rows.shape[1], columns.shape[1]
    program = Program(height * width)
    across = [program.apply(columns, range(r * width, (r + 1) * width)) for r in range(height)]
    down = [program.apply(rows, [line[j] for line in across]) for j in range(len(columns))]
    program.outputs = [down[j][i] for i in range(len(rows)) for j in range(len(columns))]
    return program


def toom_cook(
    outputs: int, taps: int, points: Sequence[Fraction]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B, G, A) with Aᵀ[(G w) · (B x)] the correlation y[i] = Σ x[i + u] w[u]; outputs + taps − 2 points.

    The values of polynomials at the points and at ∞ (Toom 1963, Cook 1966; Winograd 1980). Each point's rows
    are scaled by powers of 2 so that the three matrices are of like size, which keeps rounding small.
    """
    size = outputs + taps - 1
    b, g, a = (np.zeros((size, count)) for count in (size, taps, outputs))
    for i, point in enumerate(points):
        others = [p for p in points if p != point]
        scale = math.prod(point - p for p in others)
        b[i, : size - 1] = _with_roots(others)
        g[i] = [point**u / scale for u in range(taps)]
        a[i] = [point**k for k in range(outputs)]
    b[-1] = _with_roots(points)
    g[-1, -1] = a[-1, -1] = 1
    for i in range(size):
        for matrix, excess in ((b, abs(b[i]).max()), (a, (abs(a[i]).max() / abs(g[i]).max()) ** 0.5)):
            factor = 2.0 ** round(math.log2(excess))
            matrix[i] /= factor
            g[i] *= factor
    return b, g, a


def _with_roots(points: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of Π (x − p), the constant first."""
    polynomial = [Fraction(1)]
    for p in points:
        polynomial = [
            higher - p * same for higher, same in zip([0, *polynomial], [*polynomial, 0], strict=True)
        ]
    return polynomial


def fourier(places: Sequence[int], others: Sequence[int], size: int, triple: str) -> Program:
    """The two-dimensional discrete Fourier transform of a real image, as the numbers of `TRIPLES[triple]`.

    The image's rows lie at `places` (integers of any sign) and its columns at `others`, modulo `size`.

    Half of the spectrum is the conjugate of the other, so there are size² numbers that count, of which the
    1 or 4 self-conjugate ones are real.
    """
    program = Program(len(places) * len(others))
    halves = range(1, (size + 1) // 2)
    real = [0, *([size // 2] if size % 2 == 0 else [])]

    def wave(function, k, j):
        value = function(2 * math.pi * ((k * j) % size) / size)
        return float(round(value)) if abs(value - round(value)) < 1e-12 else value

    def mirror(at, values):
        """Sums and differences of the values at j and −j."""
        here = dict(zip(at, values, strict=True))
        even, odd = {}, {}
        for j in sorted({abs(i) for i in at}):
            a, b = here.get(j), here.get(-j) if j else None
            even[j] = program.add([(1, a), (1, b)])
            if j:
                odd[j] = program.add([(1, a), (-1, b)])
        return even, odd

    def weigh(function, k, values):
        """Σ function(2π k j / size) · value, values of like weight added first."""
        alike: dict[float, list[Term]] = {}
        for j, value in values.items():
            weight = wave(function, k, j)
            if value is not None and weight:
                alike.setdefault(round(abs(weight), 12), []).append((weight, value))
        terms: list[Term] = []
        for group in alike.values():
            weight = abs(group[0][0])
            if weight == 1 or len(group) == 1:
                terms += group
            else:
                terms.append((weight, program.add([(math.copysign(1, w), v) for w, v in group])))
        return program.add(terms)

    def spectrum(at, values, imaginary=None):
        """{k: (real, imaginary)} of complex values; without imaginary parts, of half the frequencies only."""
        even, odd = mirror(at, values)
        cosines = {k: weigh(math.cos, k, even) for k in [*real, *halves]}
        sines = {k: weigh(math.sin, k, odd) for k in halves}
        if imaginary is None:
            lines = {k: (cosines[k], None) for k in real}
            return lines | {k: (cosines[k], program.add([(-1, sines[k])])) for k in halves}
        even, odd = mirror(at, imaginary)
        lines = {k: (cosines[k], weigh(math.cos, k, even)) for k in real}
        for k in halves:
            across, up = weigh(math.cos, k, even), weigh(math.sin, k, odd)
            lines[k] = program.add([(1, cosines[k]), (1, up)]), program.add([(1, across), (-1, sines[k])])
            lines[-k] = program.add([(1, cosines[k]), (-1, up)]), program.add([(1, across), (1, sines[k])])
        return lines

    width = len(others)
    rows = [spectrum(others, range(r * width, (r + 1) * width)) for r in range(len(places))]
    for k in real:
        lines = spectrum(places, [row[k][0] for row in rows])
        for i, (re, im) in lines.items():
            program.outputs += _products(program, triple, size, re, im, single=i in real)
    for k in halves:
        lines = spectrum(places, [row[k][0] for row in rows], [row[k][1] for row in rows])
        for re, im in lines.values():
            program.outputs += _products(program, triple, size, re, im, single=False)
    return program


# Three real products make a complex one (Gauss): with x̂ = a + ib and conj(ŵ) = c + id,
# c (a + b), (d − c) a and (c + d) b are those of "image" and "weight"; "result" is how their sums give y.
# A number that is its own conjugate is real, and is one product.
TRIPLES = {
    "image": ((1, 1), (1, 0), (0, 1)),
    "weight": ((1, 0), (-1, -1), (1, -1)),
    "result": ((1, 1), (0, 1), (-1, 0)),
}


def _products(program: Program, triple: str, size: int, re: Value, im: Value, single: bool) -> list[Value]:
    """The values of one frequency. The inverse transform's 1 / size² goes to the weights, with a 2 for the
    conjugate frequency that is not computed."""
    scale = 1.0 if triple != "weight" else (1 if single else 2) / size**2
    pairs = ((1, 0),) if single else TRIPLES[triple]
    return [program.add([(scale * a, re), (scale * b, im)]) for a, b in pairs]
