// Convolution, its adjoint in the image and its adjoint in the weight, each as one product of matrices that are never
// made: the numbers of an image that a window sees are fetched from the image itself (an implicit GEMM; Chetlur et al.,
// "cuDNN: Efficient Primitives for Deep Learning", 2014). Images are (N, H, W, C), weights (O, kh, kw, C) inside.
//
// - conv2d: lines are positions (n, p, q) of the result, columns its channels, k = (a, b, c) a tap and a channel.
// - conv_transpose2d: with stride (s, t) the positions fall into s * t phases, each of which meets only every s-th and
//   t-th tap: a phase is a convolution of stride 1 with those taps, turned round. No tap that meets nothing is
//   multiplied, and no two threads add to one number.
// - conv2d_weight_grad: lines are channels of gy, columns taps and channels (a, b, c) of the weight, k = (n, p, q).
//   There are few tiles and k is long, so blocks take parts of k, which `add_weight_parts` adds in their order.
//
// The tiles are those of product.cuh. Four channels at a time are copied where their number is a multiple of four, else
// each; where a window leaves the image zeros are. No index is divided within the loop over k: counters go on by 16.

struct Sizes {
    int batch, height, width, channels, out_height, out_width, outputs, kernel_h, kernel_w;
    int stride_h, stride_w, padding_h, padding_w;
};

// A number written as (high, middle, low) with low < lows and middle < middles, as (row, column, channel).
struct Count { int high, middle, low; };

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
struct Axis { int positions, step, first, direction, taps, tap, tap_step, out, out_step; };

// Those positions of a transposed convolution that meet the taps phase, phase + stride, ...
static __device__ __forceinline__ Axis phase_of(int size, int kernel, int stride, int padding, int phase) {
    int out = ((phase - padding) % stride + stride) % stride;
    int positions = out < size ? (size - out + stride - 1) / stride : 0;
    int taps = phase < kernel ? (kernel - phase + stride - 1) / stride : 0;
    return {positions, 1, (out + padding - phase) / stride, -1, taps, phase, stride, out, stride};
}

// Both axes of a convolution, or of a phase of a transposed one.
static __device__ __forceinline__ void see(const Sizes& z, int transposed, int phase_h, int phase_w, Axis& h, Axis& w) {
    h = {z.out_height, z.stride_h, -z.padding_h, 1, z.kernel_h, 0, 1, 0, 1};
    w = {z.out_width, z.stride_w, -z.padding_w, 1, z.kernel_w, 0, 1, 0, 1};
    if (!transposed) return;
    h = phase_of(z.out_height, z.kernel_h, z.stride_h, z.padding_h, phase_h);
    w = phase_of(z.out_width, z.kernel_w, z.stride_w, z.padding_w, phase_w);
}

constexpr int OUTSIDE = -(1 << 30);  // a row of no image, whatever tap is added

// The left side is what windows see, the right the weight: numbers of both lie side by side along the channels.
template <class T>
struct Windows {
    using Left = Side<T, ROWS<T>, true>;
    using Right = Side<T, COLUMNS<T>, true>;
    const T *x, *weight;
    int height, width, channels, taps_w, direction, outputs, output, k, last, copied;
    int rows[Left::COPIES], columns[Left::COPIES];
    long long pixels[Left::COPIES], right_at;
    int weight_down, weight_along, one_weight;  // numbers from one tap, or one result's taps, to the next
    Count tap, by;

    __device__ __forceinline__ Windows(const T* x, const T* weight, const Axis& h, const Axis& w, const Sizes& z,
        long long lines, long long top, int left, int first, int last)
        : x(x), weight(weight), height(z.height), width(z.width), channels(max(1, z.channels)),
          taps_w(max(1, w.taps)), direction(h.direction), outputs(z.outputs), last(last) {
        k = first + Left::along();
        tap = counted(k, taps_w, channels);
        by = counted(DEPTH, taps_w, channels);
        copied = aligned(x) && aligned(weight) && channels % CHUNK<T> == 0 ? CHUNK<T> : 1;
        output = left + Right::run();
        weight_along = w.tap_step * channels;
        weight_down = h.tap_step * z.kernel_w * channels;
        one_weight = z.kernel_h * z.kernel_w * channels;
        right_at = (long long)output * one_weight + (h.tap * z.kernel_w + w.tap) * channels;
#pragma unroll
        for (int i = 0; i < Left::COPIES; i++) {
            long long line = top + Left::run() + i * Left::SKIP;
            Count at = counted(line, h.positions, w.positions);
            rows[i] = line < lines ? at.middle * h.step + h.first : OUTSIDE;
            columns[i] = at.low * w.step + w.first;
            pixels[i] = (((long long)at.high * height + rows[i]) * width + columns[i]) * channels;
        }
    }

    __device__ __forceinline__ void copy(T* lefts, T* rights) {
        Count at = tap;
        for (int e = 0; e < CHUNK<T>; e += copied) {
            bool more = k + e < last;
            int down = direction * at.high, along = direction * at.middle;
            long long seen_at = ((long long)down * width + along) * channels + at.low;
            int weight_at = at.high * weight_down + at.middle * weight_along + at.low;
#pragma unroll
            for (int i = 0; i < Left::COPIES; i++) {
                bool seen = more && unsigned(rows[i] + down) < unsigned(height) &&
                    unsigned(columns[i] + along) < unsigned(width);
                start(lefts + Left::slot(i) + e, x, pixels[i] + seen_at, seen, copied);
            }
#pragma unroll 1
            for (int i = 0; i < Right::COPIES; i++) {
                bool wanted = more && output + i * Right::SKIP < outputs;
                long long from = right_at + (long long)(i * Right::SKIP) * one_weight + weight_at;
                start(rights + Right::slot(i) + e, weight, from, wanted, copied);
            }
            advance(at, {0, 0, copied}, taps_w, channels);
        }
        k += DEPTH;
        advance(tap, by, taps_w, channels);
    }
};

// conv2d, or conv_transpose2d phase after phase. Block (x, y) computes tile x of part y, k from y * part: the parts lie
// one behind another.
template <class T>
__global__ __launch_bounds__(TILE_THREADS, TOGETHER) void convolve(const T* x, const T* weight,
    const T* bias_or_null, T* y, int batch, int height, int width, int channels, int out_height, int out_width,
    int outputs, int kernel_h, int kernel_w, int stride_h, int stride_w, int padding_h, int padding_w, int transposed,
    int part, int across, int down) {
    Sizes z{batch, height, width, channels, out_height, out_width, outputs, kernel_h, kernel_w, stride_h, stride_w,
        padding_h, padding_w};
    int number = blockIdx.x / across, left = int(blockIdx.x % across) * COLUMNS<T>;
    Axis h, w;
    see(z, transposed, number / down / stride_w, number / down % stride_w, h, w);
    long long top = (long long)(number % down) * ROWS<T>, lines = (long long)batch * h.positions * w.positions;
    if (top >= lines) return;  // the whole block: other phases have more lines
    int k = h.taps * w.taps * channels, first = min(k, int(blockIdx.y) * part), last = min(k, first + part);
    Windows<T> source(x, weight, h, w, z, lines, top, left, first, last);
    Tile<T, typename Windows<T>::Left, typename Windows<T>::Right> tile;
    multiply(source, (last - first + DEPTH - 1) / DEPTH, tile);
#pragma unroll
    for (int i = 0; i < tile.HIGH; i++) {
        long long line = top + tile.row(i);
        if (line >= lines) continue;
        Count at = counted(line, h.positions, w.positions);
        long long image = (long long)blockIdx.y * batch + at.high;
        long long row = image * out_height + h.out + at.middle * h.out_step;
        long long place = (row * out_width + w.out + at.low * w.out_step) * outputs;
#pragma unroll
        for (int j = 0; j < tile.WIDE; j++) {
            int column = left + tile.column(j);
            T sum = tile.sum(i, j);
            if (column < outputs) y[place + column] = bias_or_null ? sum + bias_or_null[column] : sum;
        }
    }
}

constexpr int FEW = 4;

// Results of few channels would leave most of a tile idle: here a warp computes one pixel, its lanes take channels of
// the image side by side, and add what they found at the end.
template <class T>
__global__ __launch_bounds__(256) void few_outputs(const T* x, const T* weight, const T* bias_or_null, T* y, int batch,
    int height, int width, int channels, int out_height, int out_width, int outputs, int kernel_h, int kernel_w,
    int stride_h, int stride_w, int padding_h, int padding_w, int transposed) {
    long long pixel = blockIdx.x * 8LL + threadIdx.x / 32, one_weight = (long long)kernel_h * kernel_w * channels;
    int lane = threadIdx.x % 32;
    Count at = counted(pixel, out_height, out_width);
    if (at.high >= batch) return;  // the whole warp
    Sizes z{batch, height, width, channels, out_height, out_width, outputs, kernel_h, kernel_w, stride_h, stride_w,
        padding_h, padding_w};
    Axis h, w;
    see(z, transposed, (at.middle + padding_h) % stride_h, (at.low + padding_w) % stride_w, h, w);
    int row = at.middle / h.out_step, column = at.low / w.out_step;
    T sum[FEW] = {};
    for (int a = 0; a < h.taps; a++) {
        int u = row * h.step + h.first + h.direction * a;
        if (unsigned(u) >= unsigned(height)) continue;
        for (int b = 0; b < w.taps; b++) {
            int v = column * w.step + w.first + w.direction * b;
            if (unsigned(v) >= unsigned(width)) continue;
            const T* seen = x + (((long long)at.high * height + u) * width + v) * channels;
            int tap = (h.tap + a * h.tap_step) * kernel_w + w.tap + b * w.tap_step;
            const T* taps = weight + (long long)tap * channels;
            for (int c = lane; c < channels; c += 32) {
                T value = seen[c];
#pragma unroll
                for (int o = 0; o < FEW; o++)
                    if (o < outputs) sum[o] += value * taps[o * one_weight + c];
            }
        }
    }
#pragma unroll
    for (int o = 0; o < FEW; o++) {
        for (int flip = 16; flip > 0; flip /= 2) sum[o] += __shfl_xor_sync(~0u, sum[o], flip);
        if (lane == o && o < outputs) y[pixel * outputs + o] = bias_or_null ? sum[o] + bias_or_null[o] : sum[o];
    }
}

// The left side is gy, the right what the taps see: at each position (n, p, q) channels lie side by side.
template <class T>
struct Taps {
    using Left = Side<T, ROWS<T>, false>;
    using Right = Side<T, COLUMNS<T>, false>;
    const T *gy, *x;
    Sizes z;
    int output, left_copied, right_copied;
    long long k, last;
    Count tap, at[Right::COPIES], by;

    __device__ __forceinline__ Taps(
        const T* gy, const T* x, const Sizes& z, int top, int left, long long first, long long last)
        : gy(gy), x(x), z(z), last(last) {
        output = top + Left::along();
        tap = counted(left + Right::along(), z.kernel_w, z.channels);
        left_copied = aligned(gy) && z.outputs % CHUNK<T> == 0 ? CHUNK<T> : 1;
        right_copied = aligned(x) && z.channels % CHUNK<T> == 0 ? CHUNK<T> : 1;
        k = first;
        by = counted(DEPTH, z.out_height, z.out_width);
#pragma unroll
        for (int i = 0; i < Right::COPIES; i++)
            at[i] = counted(k + Right::run() + i * Right::SKIP, z.out_height, z.out_width);
    }

    __device__ __forceinline__ void copy(T* lefts, T* rights) {
        for (int e = 0; e < CHUNK<T>; e += left_copied)
#pragma unroll 1
            for (int i = 0; i < Left::COPIES; i++) {
                long long position = k + Left::run() + i * Left::SKIP;
                bool inside = position < last && output + e < z.outputs;
                start(lefts + Left::slot(i) + e, gy, position * z.outputs + output + e, inside, left_copied);
            }
        Count seen = tap;
        for (int e = 0; e < CHUNK<T>; e += right_copied) {
#pragma unroll
            for (int i = 0; i < Right::COPIES; i++) {
                int u = at[i].middle * z.stride_h - z.padding_h + seen.high;
                int v = at[i].low * z.stride_w - z.padding_w + seen.middle;
                bool inside = k + Right::run() + i * Right::SKIP < last && seen.high < z.kernel_h &&
                    unsigned(u) < unsigned(z.height) && unsigned(v) < unsigned(z.width);
                long long from = (((long long)at[i].high * z.height + u) * z.width + v) * z.channels + seen.low;
                start(rights + Right::slot(i) + e, x, from, inside, right_copied);
            }
            advance(seen, {0, 0, right_copied}, z.kernel_w, z.channels);
        }
#pragma unroll
        for (int i = 0; i < Right::COPIES; i++) advance(at[i], by, z.out_height, z.out_width);
        k += DEPTH;
    }
};

// Block (x, y) computes tile x of part y, positions from y * part: the parts (O, kh, kw, C) lie one behind another.
template <class T>
__global__ __launch_bounds__(TILE_THREADS, TOGETHER) void conv2d_weight_grad(const T* x, const T* gy, T* parts,
    int batch, int height, int width, int channels, int out_height, int out_width, int outputs, int kernel_h,
    int kernel_w, int stride_h, int stride_w, int padding_h, int padding_w, long long part, int across) {
    int left = int(blockIdx.x % across) * COLUMNS<T>, top = int(blockIdx.x / across) * ROWS<T>;
    int columns = kernel_h * kernel_w * channels;
    long long positions = (long long)batch * out_height * out_width;
    long long first = min(positions, blockIdx.y * part), last = min(positions, first + part);
    Sizes z{batch, height, width, channels, out_height, out_width, outputs, kernel_h, kernel_w, stride_h, stride_w,
        padding_h, padding_w};
    Taps<T> source(gy, x, z, top, left, first, last);
    Tile<T, typename Taps<T>::Left, typename Taps<T>::Right> tile;
    multiply(source, int((last - first + DEPTH - 1) / DEPTH), tile);
    in_order(tile, [&](int row, int column, T sum) {
        row += top, column += left;
        if (row < outputs && column < columns)
            parts[((long long)blockIdx.y * outputs + row) * columns + column] = sum;
    });
}

// The sum of the parts (O, taps, C), n numbers each, in their order, as (O, C, taps).
template <class T>
__global__ void add_weight_parts(const T* parts, T* y, int count, long long n, int taps, int channels) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    T sum = parts[i];
#pragma unroll 8  // eight reads under way
    for (int part = 1; part < count; part++) sum += parts[part * n + i];
    Count at = counted(i, taps, channels);
    y[((long long)at.high * channels + at.low) * taps + at.middle] = sum;
}
