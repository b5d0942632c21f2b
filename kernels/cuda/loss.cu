// Binary cross-entropy, its mean and its gradient: blocks leave partial sums, and one block adds them in order.

constexpr int WARPS = 8;
constexpr double LEAST = 1e-12, LOWEST_LOG = -100.0;

// The terms of this thread's numbers, n ones a stride apart; slopes are theirs over n.
template <class T>
__global__ void bce(const T* p, const T* t_or_null, T t, T* slope, double* sums, long long n) {
    __shared__ double room[WARPS];
    double total = 0.0;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        T yes = p[i], no = T(1) - yes, target = t_or_null ? t_or_null[i] : t;
        T log_yes = log(yes), log_no = log1p(-yes), lowest = T(LOWEST_LOG), least = T(LEAST);
        log_yes = log_yes < lowest ? lowest : log_yes;  // NaN stays
        log_no = log_no < lowest ? lowest : log_no;
        total -= target * log_yes + (T(1) - target) * log_no;
        slope[i] = ((T(1) - target) / (no < least ? least : no) - target / (yes < least ? least : yes)) / T(n);
    }
    total = block_sum(total, room);
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

template <class T>
__global__ void bce_with_logits(const T* x, const T* t_or_null, T t, T* slope, double* sums, long long n) {
    __shared__ double room[WARPS];
    double total = 0.0;
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        T value = x[i], target = t_or_null ? t_or_null[i] : t, small = exp(-fabs(value));
        T above = value < 0 ? T(0) : value;
        total += above - value * target + log1p(small);
        slope[i] = ((value >= 0 ? T(1) : small) / (T(1) + small) - target) / T(n);
    }
    total = block_sum(total, room);
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

// mean = the sum of the blocks' sums over n.
template <class T>
__global__ void finish(const double* sums, T* mean, int blocks, long long n) {
    __shared__ double room[WARPS];
    double total = 0.0;
    for (int i = threadIdx.x; i < blocks; i += blockDim.x) total += sums[i];
    total = block_sum(total, room);
    if (threadIdx.x == 0) mean[0] = T(total / n);
}
