// Products of matrices, and the sum of a matrix's rows.
//
// Each is cut into the tiles of product.cuh. Whichever axis of an operand lies in memory side by side, consecutive
// threads read along it: a transposed matrix costs no copy. Where there are few tiles, k is cut into parts for more
// blocks, whose results `add_parts` adds in order.

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
// one whose result the gate is. As in activation.cu, slope 0 multiplies nothing where there is no gate.
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
