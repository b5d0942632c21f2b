// Logarithms of softmax probabilities, a warp for each row: neighbours in a row lie side by side in memory, and what
// lanes have found is exchanged in registers. The sums are in double.

constexpr int ROWS = 8;  // warps of a block

// This warp's row; it may lie beyond the last.
static __device__ __forceinline__ long long row_of_warp() {
    return blockIdx.x * (long long)ROWS + threadIdx.x / 32;
}

template <class T>
__global__ void log_softmax(const T* x, T* y, long long rows, int size) {
    long long row = row_of_warp();
    if (row >= rows) return;
    const T* numbers = x + row * size;
    T most = numbers[0];
    for (int i = threadIdx.x % 32; i < size; i += 32) {
        T value = numbers[i];
        most = value > most || value != value ? value : most;  // NaN wins
    }
    for (int distance = 16; distance; distance /= 2) {
        T other = __shfl_xor_sync(~0u, most, distance);
        most = other > most || other != other ? other : most;
    }
    double total = 0.0;
    for (int i = threadIdx.x % 32; i < size; i += 32) total += exp(numbers[i] - most);
    T all = log(T(warp_sum(total)));
    for (int i = threadIdx.x % 32; i < size; i += 32) y[row * size + i] = numbers[i] - most - all;
}

template <class T>
__global__ void log_softmax_grad(const T* gy, const T* y, T* gx, long long rows, int size) {
    long long row = row_of_warp(), begin = row * size;
    if (row >= rows) return;
    double total = 0.0;
    for (int i = threadIdx.x % 32; i < size; i += 32) total += gy[begin + i];
    T all = T(warp_sum(total));
    for (int i = threadIdx.x % 32; i < size; i += 32) gx[begin + i] = gy[begin + i] - exp(y[begin + i]) * all;
}
