// The transpose of the last two axes, by way of a tile of shared memory: both the reads and the writes of a warp
// lie side by side. The tile's rows are one number longer than 32, or a column would lie in one bank.

constexpr int TILE = 32;

template <class T>
__global__ void swap_last(const T* x, T* y, int rows, int columns, int across, int down) {
    __shared__ T tile[TILE][TILE + 1];
    long long number = blockIdx.x;
    int left = int(number % across) * TILE;
    int top = int(number / across % down) * TILE;
    long long matrix = number / across / down * (long long)rows * columns;
    for (int i = threadIdx.y; i < TILE; i += blockDim.y)
        if (top + i < rows && left + threadIdx.x < columns)
            tile[i][threadIdx.x] = x[matrix + (long long)(top + i) * columns + left + threadIdx.x];
    __syncthreads();
    for (int i = threadIdx.y; i < TILE; i += blockDim.y)
        if (left + i < columns && top + threadIdx.x < rows)
            y[matrix + (long long)(left + i) * rows + top + threadIdx.x] = tile[threadIdx.x][i];
}
