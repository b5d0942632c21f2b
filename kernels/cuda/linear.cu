// Products of matrices, and the sum of a matrix's rows.
//
// Each product is cut into the tiles of product.cuh. Whichever axis of an operand lies in memory side by side, chunks
// are copied along it and lie so in shared memory: a transposed matrix costs no copy. Where there are few tiles, k is
// cut into parts for more blocks, whose results `add_parts` adds in order.

// One side of a product. Its runs, of what lies side by side in memory, are `pitch` numbers apart: lines, which have
// numbers k < last, if the side is deep, else the numbers at one k of `lines` lines.
template <class S>
struct Matrix {
    using T = typename S::Type;
    const T* numbers;
    long long at, step;
    int run, runs, along, length, pitch, width;

    __device__ __forceinline__ Matrix(const T* numbers, int pitch, int first_line, int lines, int first, int last)
        : numbers(numbers), pitch(pitch) {
        run = (S::DEEP ? first_line : first) + S::run();
        along = (S::DEEP ? first : first_line) + S::along();
        runs = S::DEEP ? lines : last;
        length = S::DEEP ? last : lines;
        at = (long long)run * pitch + along;
        step = S::DEEP ? DEPTH : (long long)DEPTH * pitch;
        width = aligned(numbers) && pitch % CHUNK<T> == 0 ? CHUNK<T> : 1;
    }

    __device__ __forceinline__ void copy(T* to) {
        for (int e = 0; e < CHUNK<T>; e += width)
#pragma unroll 1
            for (int i = 0; i < S::COPIES; i++) {
                bool inside = run + i * S::SKIP < runs && along + e < length;
                start(to + S::slot(i) + e, numbers, at + (long long)(i * S::SKIP) * pitch + e, inside, width);
            }
        (S::DEEP ? along : run) += DEPTH;
        at += step;
    }
};

template <class T, bool LEFT_DEEP, bool RIGHT_DEEP>
struct Matrices {
    using Left = Side<T, ROWS<T>, LEFT_DEEP>;
    using Right = Side<T, COLUMNS<T>, RIGHT_DEEP>;
    Matrix<Left> left;
    Matrix<Right> right;
    __device__ __forceinline__ void copy(T* lefts, T* rights) {
        left.copy(lefts);
        right.copy(rights);
    }
};

// What becomes of a sum: plus the bias, through the leaky rectifier (slope 1 for none); or with a gate, the gradient of
// one whose result the gate is. As in activation.cu, slope 0 multiplies nothing where there is no gate.
template <class T>
static __device__ __forceinline__ T finished(
    T sum, const T* bias, const T* gate, T slope, int column, long long place) {
    if (bias) sum += bias[column];
    if (gate) return gate[place] > 0 ? sum : slope * sum;
    T below = slope == 0 ? T(0) : slope * sum;
    return sum <= 0 ? below : sum;
}

template <class T>
struct Job {
    const T *a, *b, *bias, *gate;
    T *y, slope;
    int m, n, k, part, across, down;
    long long a_matrix, b_matrix, count;
};

template <class T, bool A_DEEP, bool B_DEEP>
static __device__ __forceinline__ void one_tile(const Job<T>& job) {
    long long number = blockIdx.x, matrix = number / job.across / job.down;
    int left = int(number % job.across) * COLUMNS<T>, top = int(number / job.across % job.down) * ROWS<T>;
    int first = blockIdx.y * job.part, last = min(job.k, first + job.part);
    using Source = Matrices<T, A_DEEP, B_DEEP>;
    Source source{{job.a + matrix * job.a_matrix, A_DEEP ? job.k : job.m, top, job.m, first, last},
        {job.b + matrix * job.b_matrix, B_DEEP ? job.k : job.n, left, job.n, first, last}};
    Tile<T, typename Source::Left, typename Source::Right> tile;
    multiply(source, (last - first + DEPTH - 1) / DEPTH, tile);
    long long begin = (blockIdx.y * job.count + matrix) * job.m;
    in_order(tile, [&](int row, int column, T sum) {
        row += top, column += left;
        if (row >= job.m || column >= job.n) return;
        long long place = (begin + row) * job.n + column;
        job.y[place] = finished(sum, job.bias, job.gate, job.slope, column, place);
    });
}

// y = a b for `count` pairs of matrices, which lie a_matrix and b_matrix numbers apart; a_turned: a's columns lie side
// by side, as if of the transposed. Block (x, y) computes tile x of part y, k from y * part: the parts lie one behind
// another.
template <class T>
__global__ __launch_bounds__(TILE_THREADS, TOGETHER) void product(const T* a, const T* b, const T* bias_or_null,
    const T* gate_or_null, T* y, T slope, int m, int n, int k, int part, int across, int down, int a_turned,
    int b_turned, long long a_matrix, long long b_matrix, long long count) {
    Job<T> job{a, b, bias_or_null, gate_or_null, y, slope, m, n, k, part, across, down, a_matrix, b_matrix, count};
    if (a_turned)
        b_turned ? one_tile<T, false, true>(job) : one_tile<T, false, false>(job);
    else
        b_turned ? one_tile<T, true, true>(job) : one_tile<T, true, false>(job);
}

// y = the sum of the parts, n numbers each in rows of `width`, in their order.
template <class T>
__global__ void add_parts(const T* parts, const T* bias_or_null, const T* gate_or_null, T* y, T slope, int count,
    long long n, int width) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    T sum = parts[i];
#pragma unroll 8  // eight reads under way
    for (int part = 1; part < count; part++) sum += parts[part * n + i];
    y[i] = finished(sum, bias_or_null, gate_or_null, slope, int(i % width), i);
}

// y[j] = the sum over all rows of x[., j]: a block of 32 x 8 threads takes 32 columns, its lines every eighth row, in
// float64, and adds the eight results in order.
template <class T>
__global__ __launch_bounds__(256) void sum_rows(const T* x, T* y, int rows, int columns) {
    __shared__ double sums[8][32];
    int column = blockIdx.x * 32 + threadIdx.x;
    double sum = 0;
    if (column < columns)
        for (int row = threadIdx.y; row < rows; row += 8) sum += x[(long long)row * columns + column];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || column >= columns) return;
    for (int line = 1; line < 8; line++) sum += sums[line][threadIdx.x];
    y[column] = T(sum);
}
