// Batch normalisation of a matrix whose rows are pixels of channels side by side, and its gradient.
//
//  - Blocks, rows of few channels, and sums of 16 numbers before double: as in reduction.cu.
//  - 16 numbers in registers are read once, though their mean is found before their squares: what is squared is a
//    difference to the run's own mean, which loses no digit however far from zero the numbers lie.
//  - Runs, threads and blocks are merged in double by Chan, Golub and LeVeque's formula ("Updating formulae and a
//    pairwise algorithm", 1979), always in the same order.
//  - Three kernels (sums of blocks; merge; apply) where channels have many numbers, none of which divides or
//    takes a remainder for a number. One kernel where a block has all numbers of its channels in registers (128
//    rows, as behind a dense layer): x is read once.

constexpr int LANES = 32, ROWS = 8, RUN = 16, MERGERS = 32;

static __device__ __forceinline__ double finite_or_zero(double x) { return isfinite(x) ? x : 0; }

// How many, their mean, and Σ (x − mean)², of numbers that come in groups with such of their own. Means are taken
// as differences to the first; were that infinite, ∞ − ∞ would hide that the mean is.
struct Moments {
    double count = 0, shift = 0, deviation = 0, squares = 0;

    __device__ __forceinline__ void add(double n, double mean, double spread) {
        if (n == 0) return;
        if (count == 0) shift = finite_or_zero(mean);
        double d = mean - shift;
        count += n;
        deviation += n * d;
        squares += spread + n * d * d;
    }
    __device__ __forceinline__ double mean() const { return count == 0 ? 0 : shift + deviation / count; }
    __device__ __forceinline__ double spread() const {
        double s = count == 0 ? 0 : squares - deviation * deviation / count;
        return s < 0 ? 0 : s;  // only by rounding
    }
    template <class T>
    __device__ __forceinline__ void add_run(const T (&v)[RUN], int n) {
        T first = T(finite_or_zero(v[0])), sum = 0, sum_of_squares = 0;
#pragma unroll
        for (int k = 0; k < RUN; k++)
            if (k < n) sum += v[k] - first;
        double mean = first + double(sum) / n;
        T middle = T(mean);
#pragma unroll
        for (int k = 0; k < RUN; k++)
            if (k < n) sum_of_squares += (v[k] - middle) * (v[k] - middle);
        double rounded = mean - middle;
        add(n, mean, sum_of_squares - n * rounded * rounded);
    }
};

// Merges what the block's threads of one channel have, for those of row 0.
template <int Y>
static __device__ __forceinline__ void merge_rows(Moments& mine) {
    __shared__ double counts[Y][LANES], means[Y][LANES], spreads[Y][LANES];
    counts[threadIdx.y][threadIdx.x] = mine.count;
    means[threadIdx.y][threadIdx.x] = mine.mean();
    spreads[threadIdx.y][threadIdx.x] = mine.spread();
    __syncthreads();
    if (threadIdx.y) return;
    mine = Moments();
    for (int i = 0; i < Y; i++) mine.add(counts[i][threadIdx.x], means[i][threadIdx.x], spreads[i][threadIdx.x]);
}

// Σ gy and Σ gy (x − mean).
struct Products {
    double total = 0, product = 0;

    template <class T>
    __device__ __forceinline__ void add_run(const T (&gy)[RUN], const T (&x)[RUN], T mean, int n) {
        T sum = 0, sum_of_products = 0;
#pragma unroll
        for (int k = 0; k < RUN; k++)
            if (k < n) {
                sum += gy[k];
                sum_of_products += gy[k] * (x[k] - mean);
            }
        total += sum;
        product += sum_of_products;
    }
};

template <int Y>
static __device__ __forceinline__ void merge_rows(Products& mine) {
    __shared__ double totals[Y][LANES], products[Y][LANES];
    totals[threadIdx.y][threadIdx.x] = mine.total;
    products[threadIdx.y][threadIdx.x] = mine.product;
    __syncthreads();
    if (threadIdx.y) return;
    mine = Products();
    for (int i = 0; i < Y; i++) {
        mine.total += totals[i][threadIdx.x];
        mine.product += products[i][threadIdx.x];
    }
}

// What a thread has of a matrix of `size` numbers in rows of `columns`: column j of rows first, first + 8, ... last.
struct Part {
    int j, columns;
    long long block, first, last;

    __device__ __forceinline__ Part(long long size, int columns, long long height, int tiles) : columns(columns) {
        j = int(blockIdx.x % tiles) * LANES + threadIdx.x;
        block = blockIdx.x / tiles;
        long long rows = j < columns ? (size - j + columns - 1) / columns : 0;  // that reach column j
        first = block * height + threadIdx.y;
        last = min(rows, (block + 1) * height);
    }
    // A run from row i on, and how many numbers it has. Nothing is asked between the loads of a whole one, so that
    // they are under way together.
    template <class T>
    __device__ __forceinline__ int load(T (&v)[RUN], const T* x, long long i) const {
        int n = i < last ? int(min((long long)RUN, (last - i + ROWS - 1) / ROWS)) : 0;
        long long place = i * columns + j, step = (long long)ROWS * columns;
        if (n == RUN) {
#pragma unroll
            for (int k = 0; k < RUN; k++) v[k] = x[place + k * step];
        } else {
#pragma unroll
            for (int k = 0; k < RUN; k++) v[k] = k < n ? x[place + k * step] : T(0);
        }
        return n;
    }
    template <class T>
    __device__ __forceinline__ void store(const T (&v)[RUN], T* y, long long i, int n) const {
        long long place = i * columns + j, step = (long long)ROWS * columns;
#pragma unroll
        for (int k = 0; k < RUN; k++)
            if (k < n) y[place + k * step] = v[k];
    }
};

// The results of a channel, and what y is made with: y = (x − mean) · slope + offset.
template <class T>
static __device__ __forceinline__ void conclude(
    const Moments& all, T scale, T shift, double eps, T& mean, T& var, T& slope, T& offset) {
    mean = T(all.mean());
    var = T(all.spread() / all.count);
    double s = scale / sqrt(all.spread() / all.count + eps);
    slope = T(s);
    offset = T(shift - (all.mean() - mean) * s);  // mean is rounded
}

// The gradients of a channel, and what gx is made with: gx = gy · slope − (x − mean) · lean − offset.
template <class T>
static __device__ __forceinline__ void conclude(const Products& all, double count, T scale, T var, double eps,
    T& gscale, T& gshift, T& slope, T& lean, T& offset) {
    double inverse = 1 / sqrt(var + eps), s = scale * inverse;
    gscale = T(all.product * inverse);
    gshift = T(all.total);
    slope = T(s);
    lean = T(s * inverse * inverse * all.product / count);
    offset = T(s * all.total / count);
}

// parts: counts, means and Σ (x − mean)² of the blocks' columns, each (row blocks, columns).
template <class T>
__global__ void moments(
    const T* __restrict__ x, double* parts, long long size, int columns, long long height, int tiles) {
    Part part(size, columns, height, tiles);
    Moments mine;
    for (long long i = part.first; i < part.last; i += ROWS * RUN) {
        T v[RUN];
        int n = part.load(v, x, i);
        mine.add_run(v, n);
    }
    merge_rows<ROWS>(mine);
    if (threadIdx.y || part.j >= columns) return;
    long long place = part.block * columns + part.j, all = gridDim.x / tiles * (long long)columns;
    parts[place] = mine.count;
    parts[all + place] = mine.mean();
    parts[2 * all + place] = mine.spread();
}

// parts: as `moments` left them, seen as (count, channels). line: slopes and offsets.
template <class T>
__global__ void moments_merge(const double* __restrict__ parts, const T* scale, const T* shift, T* mean, T* var,
    T* line, long long count, int channels, double eps) {
    int c = blockIdx.x * LANES + threadIdx.x;
    long long all = count * channels;
    Moments mine;
    if (c < channels)
        for (long long i = threadIdx.y; i < count; i += MERGERS) {
            const double* part = parts + i * channels + c;
            mine.add(part[0], part[all], part[2 * all]);
        }
    merge_rows<MERGERS>(mine);
    if (threadIdx.y == 0 && c < channels)
        conclude(mine, scale[c], shift[c], eps, mean[c], var[c], line[c], line[channels + c]);
}

template <class T>
__global__ void normalise(const T* __restrict__ x, const T* __restrict__ mean, const T* __restrict__ line,
    T* __restrict__ y, long long size, int columns, int channels, int tiles) {
    Part part(size, columns, ROWS * RUN, tiles);
    int c = part.j % channels;
    T middle = mean[c], slope = line[c], offset = line[channels + c];
    T v[RUN];
    int n = part.load(v, x, part.first);
#pragma unroll
    for (int k = 0; k < RUN; k++) v[k] = (v[k] - middle) * slope + offset;
    part.store(v, y, part.first, n);
}

// All of batch_norm, for up to 128 rows: `size` numbers in rows of `columns` channels.
template <class T>
__global__ __launch_bounds__(256) void batch_norm_at_once(const T* __restrict__ x, const T* scale, const T* shift,
    T* __restrict__ y, T* mean, T* var, long long size, int columns, int tiles, double eps) {
    __shared__ T middles[LANES], slopes[LANES], offsets[LANES];
    Part part(size, columns, ROWS * RUN, tiles);
    T v[RUN];
    int n = part.load(v, x, part.first);
    Moments mine;
    if (n) mine.add_run(v, n);
    merge_rows<ROWS>(mine);
    int lane = threadIdx.x;
    if (threadIdx.y == 0 && part.j < columns) {
        conclude(mine, scale[part.j], shift[part.j], eps, middles[lane], var[part.j], slopes[lane], offsets[lane]);
        mean[part.j] = middles[lane];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < RUN; k++) v[k] = (v[k] - middles[lane]) * slopes[lane] + offsets[lane];
    part.store(v, y, part.first, n);
}

// parts: Σ gy and Σ gy (x − mean) of the blocks' columns, each (row blocks, columns).
template <class T>
__global__ void products(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ mean, double* parts,
    long long size, int columns, int channels, long long height, int tiles) {
    Part part(size, columns, height, tiles);
    T middle = part.j < columns ? mean[part.j % channels] : T(0);
    Products mine;
    for (long long i = part.first; i < part.last; i += ROWS * RUN) {
        T u[RUN], v[RUN];
        part.load(u, gy, i);
        int n = part.load(v, x, i);
        mine.add_run(u, v, middle, n);
    }
    merge_rows<ROWS>(mine);
    if (threadIdx.y || part.j >= columns) return;
    long long place = part.block * columns + part.j, all = gridDim.x / tiles * (long long)columns;
    parts[place] = mine.total;
    parts[all + place] = mine.product;
}

// parts: as `products` left them, seen as (count, channels). line: slopes, leans and offsets.
template <class T>
__global__ void products_merge(const double* __restrict__ parts, const T* scale, const T* var, T* gscale, T* gshift,
    T* line, long long count, int channels, long long values, double eps) {
    int c = blockIdx.x * LANES + threadIdx.x;
    Products mine;
    if (c < channels)
        for (long long i = threadIdx.y; i < count; i += MERGERS) {
            mine.total += parts[i * channels + c];
            mine.product += parts[(count + i) * channels + c];
        }
    merge_rows<MERGERS>(mine);
    if (threadIdx.y == 0 && c < channels)
        conclude(mine, double(values), scale[c], var[c], eps, gscale[c], gshift[c], line[c], line[channels + c],
            line[2 * channels + c]);
}

template <class T>
__global__ void input_grad(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ mean,
    const T* __restrict__ line, T* __restrict__ gx, long long size, int columns, int channels, int tiles) {
    Part part(size, columns, ROWS * RUN, tiles);
    int c = part.j % channels;
    T middle = mean[c], slope = line[c], lean = line[channels + c], offset = line[2 * channels + c];
    T u[RUN], v[RUN];
    part.load(u, gy, part.first);
    int n = part.load(v, x, part.first);
#pragma unroll
    for (int k = 0; k < RUN; k++) v[k] = u[k] * slope - (v[k] - middle) * lean - offset;
    part.store(v, gx, part.first, n);
}

// All of batch_norm_grad, for up to 128 rows.
template <class T>
__global__ __launch_bounds__(256) void batch_norm_grad_at_once(const T* __restrict__ gy, const T* __restrict__ x,
    const T* scale, const T* mean, const T* var, T* __restrict__ gx, T* gscale, T* gshift, long long size, int columns,
    int tiles, double eps) {
    __shared__ T slopes[LANES], leans[LANES], offsets[LANES];
    Part part(size, columns, ROWS * RUN, tiles);
    int j = part.j, lane = threadIdx.x;
    T middle = j < columns ? mean[j] : T(0), u[RUN], v[RUN];
    part.load(u, gy, part.first);
    int n = part.load(v, x, part.first);
    Products mine;
    mine.add_run(u, v, middle, n);
    merge_rows<ROWS>(mine);
    if (threadIdx.y == 0 && j < columns)
        conclude(mine, double(size / columns), scale[j], var[j], eps, gscale[j], gshift[j], slopes[lane], leans[lane],
            offsets[lane]);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < RUN; k++) v[k] = u[k] * slopes[lane] - (v[k] - middle) * leans[lane] - offsets[lane];
    part.store(v, gx, part.first, n);
}
