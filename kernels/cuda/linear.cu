// Products of matrices, and the sum of a matrix's rows.
//
// A block of 256 threads computes 64 x 64 numbers of a product, each thread 4 x 4: so a number that was read from
// shared memory is used four times, and one read from the device's memory 64 times. The ladder:
// - tiles of 16 along k pass through shared memory, k by k, so that a thread's four numbers lie side by side and are
//   read in one instruction (float) without bank conflicts;
// - two tiles take turns: while one is used, the next is on its way from memory to registers, and one barrier a step
//   is enough;
// - whichever axis of an operand lies in memory side by side, consecutive threads read along it: a transposed matrix
//   costs no copy;
// - where there are few tiles, k is cut into parts for more blocks, whose results `add_parts` adds in order.
// Sums run in the array's type and in the order of k.

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

// One side of a product: number (line, k) is at line * line_step + k * k_step. A thread reads four lines at one k where
// neighbours along k lie side by side, else four k of one line.
template <class T>
struct Matrix {
    const T* numbers;
    long long offset, step, slot_step;
    int line, lines, line_skip, k, last, k_skip, place, skip;

    __device__ __forceinline__ Matrix(
        const T* numbers, long long line_step, long long k_step, int first_line, int lines, int first, int last)
        : numbers(numbers), lines(lines), last(last) {
        int thread = threadIdx.x;
        bool along_k = k_step == 1;
        int lane_k = along_k ? thread % DEPTH : thread / SIDE, lane = along_k ? thread / DEPTH : thread % SIDE;
        line_skip = along_k ? SIDE / EACH : 0;
        k_skip = along_k ? 0 : DEPTH / EACH;
        line = first_line + lane;
        k = first + lane_k;
        offset = line * line_step + k * k_step;
        step = DEPTH * k_step;
        slot_step = line_skip * line_step + k_skip * k_step;
        place = lane_k * PITCH + lane;
        skip = line_skip + k_skip * PITCH;
    }

    __device__ __forceinline__ void load(T (&to)[EACH]) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            bool inside = line + i * line_skip < lines && k + i * k_skip < last;
            to[i] = inside ? numbers[offset + i * slot_step] : T(0);
        }
        k += DEPTH;
        offset += step;
    }
};

template <class T>
struct Matrices {
    Matrix<T> left, right;
    int left_place, left_skip, right_place, right_skip;

    __device__ __forceinline__ Matrices(const Matrix<T>& a, const Matrix<T>& b)
        : left(a), right(b), left_place(a.place), left_skip(a.skip), right_place(b.place), right_skip(b.skip) {}
    __device__ __forceinline__ void load(T (&a)[EACH], T (&b)[EACH]) {
        left.load(a);
        right.load(b);
    }
};

// What becomes of a sum: plus the bias, through the leaky rectifier (slope 1 for none); or with a gate, the gradient of
// one whose result the gate is. As in activation.cu, slope 0 multiplies nothing.
template <class T>
static __device__ __forceinline__ T finished(
    T sum, const T* bias, const T* gate, T slope, int column, long long place) {
    if (bias) sum += bias[column];
    if (gate) return gate[place] > 0 ? sum : slope * sum;
    T below = slope == 0 ? T(0) : slope * sum;
    return sum <= 0 ? below : sum;
}

// y = a b for `count` pairs of matrices, which lie a_matrix and b_matrix numbers apart. Block (x, y) computes tile x of
// part y, k from y * part: the parts lie one behind another.
template <class T>
__global__ __launch_bounds__(256) void product(const T* a, const T* b, const T* bias_or_null, const T* gate_or_null,
    T* y, T slope, int m, int n, int k, int part, int across, int down, long long a_matrix, long long a_row,
    long long a_k, long long b_matrix, long long b_column, long long b_k, long long count) {
    long long number = blockIdx.x, matrix = number / across / down;
    int left = int(number % across) * SIDE, top = int(number / across % down) * SIDE;
    int first = blockIdx.y * part, last = min(k, first + part);
    Matrices<T> source(Matrix<T>(a + matrix * a_matrix, a_row, a_k, top, m, first, last),
        Matrix<T>(b + matrix * b_matrix, b_column, b_k, left, n, first, last));
    T sum[EACH][EACH];
    multiply(source, (last - first + DEPTH - 1) / DEPTH, sum);
    int row = top + EACH * (threadIdx.x / (SIDE / EACH)), column = left + EACH * (threadIdx.x % (SIDE / EACH));
    long long begin = (blockIdx.y * count + matrix) * m;
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            if (row + i >= m || column + j >= n) continue;
            long long place = (begin + row + i) * n + column + j;
            y[place] = finished(sum[i][j], bias_or_null, gate_or_null, slope, column + j, place);
        }
}

// y = the sum of the parts, n numbers each in rows of `width`, in their order.
template <class T>
__global__ void add_parts(const T* parts, const T* bias_or_null, const T* gate_or_null, T* y, T slope, int count,
    long long n, int width) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    T sum = parts[i];
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
