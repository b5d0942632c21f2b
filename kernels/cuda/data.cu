// Batches gathered from items that lie on the device. A block has a share of one item, so all its threads read one
// number of the table; consecutive threads read and write consecutive numbers.
//
// Rounded as NumPy rounds: no multiply-add in one step, which would have other bits than a batch made on the host.

// Where the item begins that place blockIdx.x of the row takes; a number that is none of an item is the nearest.
static __device__ __forceinline__ long long item_begin(
    const int* table, int rows, int batch, long long row, const long long* moved, long long items, long long inner) {
    long long line = counted(row, moved) % rows, item = table[line * batch + blockIdx.x];
    return (item < 0 ? 0 : item < items ? item : items - 1) * inner;
}

__global__ void gather_bytes(const unsigned char* items, const int* table, float* out, int rows, int batch,
                             long long row, const long long* row_moved_or_null, long long count, long long inner,
                             float divisor, float low) {
    long long begin = item_begin(table, rows, batch, row, row_moved_or_null, count, inner);
    long long i = blockIdx.y * (long long)blockDim.x + threadIdx.x;
    if (i < inner) out[blockIdx.x * inner + i] = __fadd_rn(float(items[begin + i]) / divisor, low);
}

__global__ void gather_floats(const float* items, const int* table, float* out, int rows, int batch, long long row,
                              const long long* row_moved_or_null, long long count, long long inner, int as_they_are,
                              float factor, float low) {
    long long begin = item_begin(table, rows, batch, row, row_moved_or_null, count, inner);
    long long i = blockIdx.y * (long long)blockDim.x + threadIdx.x;
    if (i >= inner) return;
    float value = items[begin + i];
    out[blockIdx.x * inner + i] = as_they_are ? value : __fadd_rn(__fmul_rn(value, factor), low);
}
