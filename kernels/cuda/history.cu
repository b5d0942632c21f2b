// What a recorded step leaves for the host to read later.

// table[row mod rows] = values.
__global__ void keep_row(const double* values, double* table, long long row, const long long* row_moved_or_null,
                         int width, int rows) {
    long long place = counted(row, row_moved_or_null) % rows;
    for (int i = threadIdx.x; i < width; i += blockDim.x) table[place * width + i] = values[i];
}
