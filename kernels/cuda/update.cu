// What an optimiser does to the arrays of all its parameters: a block has PART numbers of one of them.

constexpr int WARPS = 8;
constexpr double LARGEST = 1.7976931348623157e308;

// sums[block] = its share of the sum of x * x, in double.
template <class T>
__global__ void squares(List<const T*> xs, List<long long> sizes, List<int> ends, double* sums) {
    __shared__ double room[WARPS];
    Part part = part_of(sizes, ends);
    const T* x = xs[part.array];
    double total = 0.0;
    for (long long i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) {
        double value = x[i];
        total += value * value;
    }
    total = block_sum(total, room);
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

// totals[places[i]] = the sum over array i, a block for each.
__global__ void add_squares(const double* sums, List<int> ends, List<int> places, double* totals) {
    __shared__ double room[WARPS];
    int array = blockIdx.x, begin = array ? ends[array - 1] : 0, end = ends[array];
    double total = 0.0;
    for (int i = begin + threadIdx.x; i < end; i += blockDim.x) total += sums[i];
    total = block_sum(total, room);
    if (threadIdx.x == 0) totals[places[array]] = total;
}

// Every block finds the norm anew: a few dozen sums are no work, and nobody waits for another.
template <class T>
__global__ void clip_norm(List<T*> xs, List<long long> sizes, List<int> ends, List<int> places, const double* sums,
                          int count, double limit, int each) {
    __shared__ double room[WARPS];
    __shared__ double all;
    Part part = part_of(sizes, ends);
    double square = 0.0;
    if (each) {
        square = sums[places[part.array]];
    } else {
        for (int i = threadIdx.x; i < count; i += blockDim.x) square += sums[i];
        square = block_sum(square, room);
        if (threadIdx.x == 0) all = square;
        __syncthreads();
        square = all;
    }
    double norm = sqrt(square);
    if (!(limit < norm && norm <= LARGEST)) return;
    T factor = T(limit / norm);
    T* x = xs[part.array];
    for (long long i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) x[i] *= factor;
}

template <class T>
__global__ void clip_value(List<T*> xs, List<long long> sizes, List<int> ends, T limit) {
    Part part = part_of(sizes, ends);
    T* x = xs[part.array];
    for (long long i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) {
        T value = x[i];
        x[i] = value < -limit ? -limit : value > limit ? limit : value;  // NaN stays
    }
}

// base^n for n of at least 0, by squares: pow() would take more registers than all the rest.
static __device__ __forceinline__ double power(double base, long long n) {
    double result = 1.0;
    for (; n; n /= 2, base *= base)
        if (n % 2) result *= base;
    return result;
}

// What a recorded launch finds on the device, where it is another at every replay.
static __device__ __forceinline__ double varying(double number, const double* now_or_null) {
    return now_or_null ? *now_or_null : number;
}

// The two corrections are made here, of the count: a recorded launch finds it moved.
template <class T>
__global__ void adam(List<T*> params, List<const T*> grads, List<T*> ms, List<T*> vs, List<long long> sizes,
                     List<int> ends, double lr, const double* lr_now_or_null, double beta1, double beta2, double eps,
                     long long step, const long long* step_moved_or_null) {
    __shared__ double shared_rate, shared_correction;
    if (threadIdx.x == 0) {
        long long t = counted(step, step_moved_or_null);
        shared_rate = varying(lr, lr_now_or_null) / (1.0 - power(beta1, t));
        shared_correction = 1.0 / (1.0 - power(beta2, t));
    }
    __syncthreads();
    T rate = T(shared_rate), correction = T(shared_correction), least = T(eps);
    T old1 = T(beta1), new1 = T(1.0 - beta1), old2 = T(beta2), new2 = T(1.0 - beta2);
    Part part = part_of(sizes, ends);
    T *param = params[part.array], *m = ms[part.array], *v = vs[part.array];
    const T* grad = grads[part.array];
    for (long long i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) {
        T g = grad[i], first = old1 * m[i] + new1 * g, second = old2 * v[i] + new2 * (g * g);
        m[i] = first;
        v[i] = second;
        param[i] -= rate * first / (sqrt(second * correction) + least);
    }
}

template <class T>
__global__ void sgd(List<T*> params, List<const T*> grads, List<long long> sizes, List<int> ends, double lr,
                    const double* lr_now_or_null) {
    T rate = T(varying(lr, lr_now_or_null));
    Part part = part_of(sizes, ends);
    T* param = params[part.array];
    const T* grad = grads[part.array];
    for (long long i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) param[i] -= rate * grad[i];
}

template <class T>
__global__ void sgd_momentum(List<T*> params, List<const T*> grads, List<T*> vs, List<long long> sizes, List<int> ends,
                             double lr, const double* lr_now_or_null, T momentum) {
    T rate = T(varying(lr, lr_now_or_null));
    Part part = part_of(sizes, ends);
    T *param = params[part.array], *v = vs[part.array];
    const T* grad = grads[part.array];
    for (long long i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) {
        T speed = momentum * v[i] + grad[i];
        v[i] = speed;
        param[i] -= rate * speed;
    }
}

// RMSprop, and with old = fresh = 1 Adagrad: both divide by the root of a sum of squares.
template <class T>
__global__ void rooted(List<T*> params, List<const T*> grads, List<T*> vs, List<long long> sizes, List<int> ends,
                       double lr, const double* lr_now_or_null, T old, T fresh, T eps) {
    T rate = T(varying(lr, lr_now_or_null));
    Part part = part_of(sizes, ends);
    T *param = params[part.array], *v = vs[part.array];
    const T* grad = grads[part.array];
    for (long long i = part.begin + threadIdx.x; i < part.end; i += blockDim.x) {
        T g = grad[i], square = old * v[i] + fresh * (g * g);
        v[i] = square;
        param[i] -= rate * g / (sqrt(square) + eps);
    }
}
