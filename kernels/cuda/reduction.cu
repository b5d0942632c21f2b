// Sums over everything but the channels, of a matrix whose rows are pixels of channels side by side.
//
//  - A warp reads 32 neighbours of one row at a time, 128 bytes; the 8 warps of a block take rows in turn.
//  - Fewer than 32 channels: several pixels count as one row of `columns` numbers, so that few lanes are idle.
//  - A thread has 16 loads under way before it adds: three blocks on a multiprocessor ask for 48 KB at a time.
//  - 16 numbers are added in their own type, such sums in double, which are then too few to cost anything.
//  - Sums of blocks go through memory to a second kernel, which adds them in their order: no atomics, the same
//    bits each time. Where one block has all rows of its channels there is no second kernel.

constexpr int LANES = 32, ROWS = 8, RUN = 16, MERGERS = 32;

// The sum of what the block's threads of one channel have, for those of row 0.
template <int Y>
static __device__ __forceinline__ double over_rows(double mine) {
    __shared__ double sums[Y][LANES];
    sums[threadIdx.y][threadIdx.x] = mine;
    __syncthreads();
    double sum = 0;
    if (threadIdx.y == 0)
        for (int i = 0; i < Y; i++) sum += sums[i][threadIdx.x];
    return sum;
}

// Block (row block, tile): rows row block · height ... of 32 columns. `parts` are (row blocks, columns) sums.
template <class T>
__global__ void channel_sums(const T* __restrict__ x, T* y_or_null, double* parts_or_null, long long size,
    int columns, long long height, int tiles) {
    int j = int(blockIdx.x % tiles) * LANES + threadIdx.x;
    long long block = blockIdx.x / tiles;
    long long rows = j < columns ? (size - j + columns - 1) / columns : 0;  // that reach column j
    long long last = min(rows, (block + 1) * height), step = (long long)ROWS * columns;
    double sum = 0;
    for (long long i = block * height + threadIdx.y; i < last; i += ROWS * RUN) {
        const T* from = x + i * columns + j;
        T v[RUN], run = 0;
        if (i + (RUN - 1) * ROWS < last) {  // nothing is asked between the loads
#pragma unroll
            for (int k = 0; k < RUN; k++) v[k] = from[k * step];
        } else {
#pragma unroll
            for (int k = 0; k < RUN; k++) v[k] = i + k * ROWS < last ? from[k * step] : T(0);
        }
#pragma unroll
        for (int k = 0; k < RUN; k++) run += v[k];
        sum += run;
    }
    sum = over_rows<ROWS>(sum);
    if (threadIdx.y || j >= columns) return;
    if (y_or_null)
        y_or_null[j] = T(sum);
    else
        parts_or_null[block * columns + j] = sum;
}

// y = the sum of the rows of parts, (count, channels).
template <class T>
__global__ void channel_sums_merge(const double* __restrict__ parts, T* y, long long count, int channels) {
    int c = blockIdx.x * LANES + threadIdx.x;
    double sum = 0;
    if (c < channels)
        for (long long i = threadIdx.y; i < count; i += MERGERS) sum += parts[i * channels + c];
    sum = over_rows<MERGERS>(sum);
    if (threadIdx.y == 0 && c < channels) y[c] = T(sum);
}
