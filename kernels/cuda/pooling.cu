// Max pooling over channels-last images, and the two ways to use its indices. Neighbouring threads have
// neighbouring channels, so what a warp reads and writes lies side by side.
//
// An index is checked where it is used: one outside the plane moves nothing and sets `wrong`.

// One result a thread. y: the first of equal maxima, or the first NaN; the padding is cut off the window.
template <class T>
__global__ void max_pool2d(const T* __restrict__ x, T* __restrict__ y, int* __restrict__ indices, long long n,
    int channels, int height, int width, int p, int q, int kernel_height, int kernel_width, int down, int across,
    int pad_height, int pad_width) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    int c = int(i % channels);
    long long pixel = i / channels;
    int left = int(pixel % q) * across - pad_width;
    pixel /= q;
    int top = int(pixel % p) * down - pad_height;
    const T* plane = x + pixel / p * height * width * channels + c;
    int bottom = min(height, top + kernel_height), right = min(width, left + kernel_width);
    top = max(0, top);
    left = max(0, left);
    long long found = (long long)top * width + left;
    T best = plane[found * channels];
    for (int row = top; row < bottom; row++)
        for (int column = left; column < right; column++) {
            long long here = (long long)row * width + column;
            T value = plane[here * channels];
            if (best == best && !(value <= best)) {
                best = value;
                found = here;
            }
        }
    y[i] = best;
    indices[i] = int(found);
}

__global__ void clear(int* wrong) { *wrong = 0; }

// One result a thread. `pooled` and `places`: pixels of a pooled image and of one of x.
template <class T>
__global__ void max_pool2d_gather(const T* __restrict__ x, const int* __restrict__ indices, T* __restrict__ y,
    int* wrong, long long n, int channels, long long pooled, long long places) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    long long index = indices[i];
    if (index < 0 || index >= places) {
        atomicOr(wrong, 1);
        return;
    }
    y[i] = x[(i / (pooled * channels) * places + index) * channels + i % channels];
}

// Zeroes places first ... last − 1 of one image and channel, `step` numbers apart, and adds gy to them. The
// indices may say any place, so all are read.
template <class T>
static __device__ __forceinline__ bool collect(const T* __restrict__ gy, const int* __restrict__ indices, T* sums,
    long long step, long long first, long long last, long long pooled, int channels, long long places) {
    bool outside = false;
    for (long long k = first; k < last; k++) sums[(k - first) * step] = 0;
#pragma unroll 4
    for (long long r = 0; r < pooled; r++) {
        long long index = indices[r * channels];
        outside |= index < 0 || index >= places;
        if (index >= first && index < last) sums[(index - first) * step] += gy[r * channels];
    }
    return outside;
}

// A thread has a band of the places of one image and channel: every sum is one thread's, in the order of gy, and
// nothing waits for anything. The 8 bands of a block read the same indices, all but the first time from the first
// cache. `share` places are a block's, further blocks have the next ones. Sums lie in shared memory where a
// block's fit, a bank a channel, and gx is written once; else in gx itself.
template <class T>
__global__ void max_pool2d_scatter(const T* __restrict__ gy, const int* __restrict__ indices, T* __restrict__ gx,
    int* wrong, long long lines, int channels, long long pooled, long long places, long long share, int shared) {
    extern __shared__ double memory[];
    long long line = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (line >= lines) return;
    long long image = line / channels;
    int c = int(line % channels);
    gy += image * pooled * channels + c;
    indices += image * pooled * channels + c;
    gx += image * places * channels + c;
    long long band = (share + blockDim.y - 1) / blockDim.y, start = blockIdx.y * share;
    long long first = min(places, start + min(share, threadIdx.y * band));
    long long last = min(places, start + min(share, (threadIdx.y + 1) * band));
    bool outside;
    if (shared) {
        T* sums = (T*)memory + (first - start) * blockDim.x + threadIdx.x;
        outside = collect(gy, indices, sums, blockDim.x, first, last, pooled, channels, places);
        for (long long k = first; k < last; k++) gx[k * channels] = sums[(k - first) * blockDim.x];
    } else {
        outside = collect(gy, indices, gx + first * channels, channels, first, last, pooled, channels, places);
    }
    if (outside) atomicOr(wrong, 1);
}
