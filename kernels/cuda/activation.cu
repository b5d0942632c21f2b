// The leaky rectifier, its gradient, and the gradient of dropout: one number a thread, over memory order.

// With slope 0 nothing is multiplied: 0 · inf would be NaN, and 0 · -1 is -0. NaN stays NaN.
template <class T>
__global__ void leaky_relu(const T* x, T* y, T slope, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    T value = x[i], below = slope == 0 ? T(0) : slope * value;
    y[i] = value <= 0 ? below : value;
}

template <class T>
__global__ void leaky_relu_grad(const T* gy, const T* y, T* gx, T slope, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) gx[i] = y[i] > 0 ? gy[i] : slope * gy[i];
}

// What dropout dropped is -0 in y.
template <class T>
__global__ void dropout_grad(const T* gy, const T* y, T* gx, T keep, T slope, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    T kept = gy[i] / keep, seen = y[i];
    bool dropped = seen == 0 && signbit(seen);
    gx[i] = dropped ? T(0) : seen > 0 ? kept : slope * kept;
}
