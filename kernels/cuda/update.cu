// What an optimiser does to the arrays of its parameters.

constexpr int WARPS = 8;

// sums[place + block] = a block's share of the sum of x * x, in double.
template <class T>
__global__ void squares(const T* x, double* sums, int place, long long n) {
    __shared__ double room[WARPS];
    double total = 0.0;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        double value = x[i];
        total += value * value;
    }
    total = block_sum(total, room);
    if (threadIdx.x == 0) sums[place + blockIdx.x] = total;
}

template <class T>
__global__ void adam(T* param, const T* grad, T* m, T* v, T rate, T old1, T new1, T old2, T new2, T correction, T eps,
                     long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    T g = grad[i], first = old1 * m[i] + new1 * g, second = old2 * v[i] + new2 * (g * g);
    m[i] = first;
    v[i] = second;
    param[i] -= rate * first / (sqrt(second * correction) + eps);
}
