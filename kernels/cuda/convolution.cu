// Convolution, its adjoint in the image and its adjoint in the weight, each as one product of matrices that are never
// made: the numbers of an image that a window sees are fetched from the image itself (an implicit GEMM; Chetlur et al.,
// "cuDNN: Efficient Primitives for Deep Learning", 2014). Images are (N, H, W, C), weights (O, kh, kw, C) inside.
//
// - conv2d: lines are positions (n, p, q) of the result, columns its channels, k = (a, b, c) a tap and a channel.
// - conv_transpose2d: with stride (s, t) the positions fall into s * t phases, each of which meets only every s-th and
//   t-th tap: a phase is a convolution of stride 1 with those taps, turned round. No product with 0 is computed, and no
//   two threads add to one number.
// - conv2d_weight_grad: lines are channels of gy, columns taps and channels (a, b, c) of the weight, k = (n, p, q).
//   There are few tiles and k is long, so blocks take parts of k, which `add_weight_parts` adds in their order.
//
// The product itself is that of linear.cu. Neighbouring threads read neighbouring channels; where a window leaves the
// image they read nothing. No index is divided within the loop over k: counters with carries go on by 16.

constexpr int SIDE = 64, DEPTH = 16, EACH = 4;
constexpr int PITCH = SIDE + 4;  // of a tile's line: a multiple of 16 bytes; threads that store meet no bank thrice

template <class T>
struct __align__(16) Four {
    T of[EACH];
};

// sum = the products of all lines of the left with all of the right, `steps` tiles deep. source.load(left, right) reads
// four numbers a thread of each side's next tile; they go to the tile's place + i * skip.
template <class T, class Source>
static __device__ __forceinline__ void multiply(Source& source, int steps, T (&sum)[EACH][EACH]) {
    __shared__ __align__(16) T tiles[2][2][DEPTH * PITCH];
    int thread = threadIdx.x, row = EACH * (thread / (SIDE / EACH)), column = EACH * (thread % (SIDE / EACH));
    T left[EACH], right[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) sum[i][j] = 0;
    if (steps > 0) source.load(left, right);
    for (int step = 0; step < steps; step++) {
        T *lefts = tiles[step & 1][0], *rights = tiles[step & 1][1];
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            lefts[source.left_place + i * source.left_skip] = left[i];
            rights[source.right_place + i * source.right_skip] = right[i];
        }
        __syncthreads();
        if (step + 1 < steps) source.load(left, right);
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            Four<T> a = *(const Four<T>*)(lefts + k * PITCH + row), b = *(const Four<T>*)(rights + k * PITCH + column);
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < EACH; j++) sum[i][j] += a.of[i] * b.of[j];
        }
    }
}

// A number written as (high, middle, low) with low < lows and middle < middles, as (row, column, channel).
struct Count {
    int high, middle, low;
};

static __device__ __forceinline__ Count counted(long long number, int middles, int lows) {
    long long rest = number / lows;
    return {int(rest / middles), int(rest % middles), int(number % lows)};
}

static __device__ __forceinline__ void advance(Count& at, const Count& by, int middles, int lows) {
    at.low += by.low;
    bool carry = at.low >= lows;
    if (carry) at.low -= lows;
    at.middle += by.middle + carry;
    carry = at.middle >= middles;
    if (carry) at.middle -= middles;
    at.high += by.high + carry;
}

// Along one axis: positions p see the input at p * step + first + direction * a through tap + a * tap_step of the
// kernel, a < taps, and are out + p * out_step of the result.
struct Axis {
    int positions, step, first, direction, taps, tap, tap_step, out, out_step;
};

static __device__ __forceinline__ Axis whole(int size, int kernel, int stride, int padding) {
    return {size, stride, -padding, 1, kernel, 0, 1, 0, 1};
}

// Those positions of a transposed convolution that meet the taps phase, phase + stride, ...
static __device__ __forceinline__ Axis phase_of(int size, int kernel, int stride, int padding, int phase) {
    int out = ((phase - padding) % stride + stride) % stride;
    int positions = out < size ? (size - out + stride - 1) / stride : 0;
    int taps = phase < kernel ? (kernel - phase + stride - 1) / stride : 0;
    return {positions, 1, (out + padding - phase) / stride, -1, taps, phase, stride, out, stride};
}

constexpr int OUTSIDE = -(1 << 30);  // a row of no image, whatever tap is added

// The left side is what windows see, the right the weight; a thread reads four lines of each at one k.
template <class T>
struct Windows {
    const T *x, *weight;
    Axis h, w;
    int height, width, channels, kernel_w, outputs, output, k, last, rows[EACH], columns[EACH];
    long long from[EACH], one_weight;
    Count tap, by;
    int left_place, left_skip, right_place, right_skip;

    __device__ __forceinline__ Windows(const T* x, const T* weight, const Axis& h, const Axis& w, int height, int width,
        int channels, int kernel_h, int kernel_w, int outputs, long long lines, long long top, int left, int first,
        int last)
        : x(x), weight(weight), h(h), w(w), height(height), width(width), channels(channels), kernel_w(kernel_w),
          outputs(outputs), last(last) {
        int lane = threadIdx.x / DEPTH;
        left_place = right_place = threadIdx.x % DEPTH * PITCH + lane;
        left_skip = right_skip = SIDE / EACH;
        k = first + threadIdx.x % DEPTH;
        tap = counted(k, max(1, w.taps), max(1, channels));
        by = counted(DEPTH, max(1, w.taps), max(1, channels));
        output = left + lane;
        one_weight = (long long)kernel_h * kernel_w * channels;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            long long line = top + lane + i * left_skip;
            Count at = counted(line, h.positions, w.positions);
            rows[i] = line < lines ? at.middle * h.step + h.first : OUTSIDE;
            columns[i] = at.low * w.step + w.first;
            from[i] = (((long long)at.high * height + rows[i]) * width + columns[i]) * channels;
        }
    }

    __device__ __forceinline__ void load(T (&left)[EACH], T (&right)[EACH]) {
        int down = h.direction * tap.high, along = w.direction * tap.middle;
        long long shift = ((long long)down * width + along) * channels + tap.low;
        long long at = (h.tap + tap.high * h.tap_step) * kernel_w + w.tap + tap.middle * w.tap_step;
        at = at * channels + tap.low + output * one_weight;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            bool seen = unsigned(rows[i] + down) < unsigned(height) && unsigned(columns[i] + along) < unsigned(width);
            left[i] = k < last && seen ? x[from[i] + shift] : T(0);
            bool wanted = k < last && output + i * right_skip < outputs;
            right[i] = wanted ? weight[at + i * right_skip * one_weight] : T(0);
        }
        k += DEPTH;
        advance(tap, by, max(1, w.taps), max(1, channels));
    }
};

// One tile of one part of a convolution along the two axes.
template <class T>
static __device__ __forceinline__ void convolve(const T* x, const T* weight, const T* bias, T* y, const Axis& h,
    const Axis& w, int batch, int height, int width, int channels, int out_height, int out_width, int outputs,
    int kernel_h, int kernel_w, int part, int left, long long top) {
    long long lines = (long long)batch * h.positions * w.positions;
    if (top >= lines) return;  // the whole block: other phases have more lines
    int k = h.taps * w.taps * channels, first = min(k, int(blockIdx.y) * part), last = min(k, first + part);
    Windows<T> source(x, weight, h, w, height, width, channels, kernel_h, kernel_w, outputs, lines, top, left, first,
        last);
    T sum[EACH][EACH];
    multiply(source, (last - first + DEPTH - 1) / DEPTH, sum);
    int column = left + EACH * (threadIdx.x % (SIDE / EACH));
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        long long line = top + EACH * (threadIdx.x / (SIDE / EACH)) + i;
        if (line >= lines) continue;
        Count at = counted(line, h.positions, w.positions);
        long long image = (long long)blockIdx.y * batch + at.high;
        long long row = image * out_height + h.out + at.middle * h.out_step;
        long long place = (row * out_width + w.out + at.low * w.out_step) * outputs + column;
#pragma unroll
        for (int j = 0; j < EACH; j++)
            if (column + j < outputs) y[place + j] = bias ? sum[i][j] + bias[column + j] : sum[i][j];
    }
}

// Block (x, y) computes tile x of part y, k from y * part: the parts lie one behind another.
template <class T>
__global__ __launch_bounds__(256) void conv2d(const T* x, const T* weight, const T* bias_or_null, T* y, int batch,
    int height, int width, int channels, int out_height, int out_width, int outputs, int kernel_h, int kernel_w,
    int stride_h, int stride_w, int padding_h, int padding_w, int part, int across, int down) {
    Axis h = whole(out_height, kernel_h, stride_h, padding_h), w = whole(out_width, kernel_w, stride_w, padding_w);
    convolve(x, weight, bias_or_null, y, h, w, batch, height, width, channels, out_height, out_width, outputs, kernel_h,
        kernel_w, part, int(blockIdx.x % across) * SIDE, (long long)(blockIdx.x / across) * SIDE);
}

// The same, phase after phase.
template <class T>
__global__ __launch_bounds__(256) void conv_transpose2d(const T* x, const T* weight, const T* bias_or_null, T* y,
    int batch, int height, int width, int channels, int out_height, int out_width, int outputs, int kernel_h,
    int kernel_w, int stride_h, int stride_w, int padding_h, int padding_w, int part, int across, int down) {
    int number = blockIdx.x / across, phase = number / down;
    Axis h = phase_of(out_height, kernel_h, stride_h, padding_h, phase / stride_w);
    Axis w = phase_of(out_width, kernel_w, stride_w, padding_w, phase % stride_w);
    convolve(x, weight, bias_or_null, y, h, w, batch, height, width, channels, out_height, out_width, outputs, kernel_h,
        kernel_w, part, int(blockIdx.x % across) * SIDE, (long long)(number % down) * SIDE);
}

// The left side is gy, the right what the taps see; a thread reads four positions (n, p, q) of one line of each.
template <class T>
struct Taps {
    const T *gy, *x;
    int height, width, channels, out_height, out_width, outputs, stride_h, stride_w, output, row, column, channel;
    long long k, last;
    Count at[EACH], by;
    int left_place, left_skip, right_place, right_skip;

    __device__ __forceinline__ Taps(const T* gy, const T* x, int height, int width, int channels, int out_height,
        int out_width, int outputs, int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h,
        int padding_w, int top, int left, long long first, long long last)
        : gy(gy), x(x), height(height), width(width), channels(channels), out_height(out_height), out_width(out_width),
          outputs(outputs), stride_h(stride_h), stride_w(stride_w), last(last) {
        int lane = threadIdx.x % SIDE;
        left_place = right_place = threadIdx.x / SIDE * PITCH + lane;
        left_skip = right_skip = DEPTH / EACH * PITCH;
        output = top + lane;
        Count tap = counted(left + lane, kernel_w, channels);
        row = tap.high < kernel_h ? tap.high - padding_h : OUTSIDE;
        column = tap.middle - padding_w;
        channel = tap.low;
        k = first + threadIdx.x / SIDE;
        by = counted(DEPTH, out_height, out_width);
#pragma unroll
        for (int i = 0; i < EACH; i++) at[i] = counted(k + i * (DEPTH / EACH), out_height, out_width);
    }

    __device__ __forceinline__ void load(T (&left)[EACH], T (&right)[EACH]) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            long long position = k + i * (DEPTH / EACH);
            left[i] = position < last && output < outputs ? gy[position * outputs + output] : T(0);
            int u = at[i].middle * stride_h + row, v = at[i].low * stride_w + column;
            bool seen = position < last && unsigned(u) < unsigned(height) && unsigned(v) < unsigned(width);
            right[i] = seen ? x[(((long long)at[i].high * height + u) * width + v) * channels + channel] : T(0);
            advance(at[i], by, out_height, out_width);
        }
        k += DEPTH;
    }
};

// Block (x, y) computes tile x of part y, positions from y * part: the parts (O, kh, kw, C) lie one behind another.
template <class T>
__global__ __launch_bounds__(256) void conv2d_weight_grad(const T* x, const T* gy, T* parts, int batch, int height,
    int width, int channels, int out_height, int out_width, int outputs, int kernel_h, int kernel_w, int stride_h,
    int stride_w, int padding_h, int padding_w, long long part, int across) {
    int left = int(blockIdx.x % across) * SIDE, top = int(blockIdx.x / across) * SIDE;
    int columns = kernel_h * kernel_w * channels;
    long long positions = (long long)batch * out_height * out_width;
    long long first = min(positions, blockIdx.y * part), last = min(positions, first + part);
    Taps<T> source(gy, x, height, width, channels, out_height, out_width, outputs, kernel_h, kernel_w, stride_h,
        stride_w, padding_h, padding_w, top, left, first, last);
    T sum[EACH][EACH];
    multiply(source, int((last - first + DEPTH - 1) / DEPTH), sum);
    int row = top + EACH * (threadIdx.x / (SIDE / EACH)), column = left + EACH * (threadIdx.x % (SIDE / EACH));
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++)
            if (row + i < outputs && column + j < columns)
                parts[((long long)blockIdx.y * outputs + row + i) * columns + column + j] = sum[i][j];
}

// The sum of the parts (O, taps, C), n numbers each, in their order, as (O, C, taps).
template <class T>
__global__ void add_weight_parts(const T* parts, T* y, int count, long long n, int taps, int channels) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    T sum = parts[i];
    for (int part = 1; part < count; part++) sum += parts[part * n + i];
    Count at = counted(i, taps, channels);
    y[((long long)at.high * channels + at.low) * taps + at.middle] = sum;
}
