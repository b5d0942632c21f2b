// A tile of a product of matrices, whatever the numbers are read from.
//
// A block of 256 threads computes 64 x 64 numbers, each thread 4 x 4: so a number that was read from shared memory is
// used four times, and one read from the device's memory 64 times. The ladder:
// - tiles of 16 along k pass through shared memory, k by k, so that a thread's four numbers lie side by side and are
//   read in one instruction (float) without bank conflicts;
// - two tiles take turns: while one is used, the next is on its way from memory to registers, and one barrier a step
//   is enough.
// Sums run in the array's type and in the order of k.

constexpr int SIDE = 64, DEPTH = 16, EACH = 4;
constexpr int PITCH = SIDE + 4;  // of a tile's line: a multiple of 16 bytes; threads that store meet no bank thrice

template <class T>
struct __align__(16) Four {
    T of[EACH];
};

// Stores what a thread loaded into the tiles, lets all see them, and loads for the next step if there is one.
template <class T, class Source>
static __device__ __forceinline__ void exchange(
    Source& source, T* lefts, T* rights, T (&left)[EACH], T (&right)[EACH], bool more) {
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        lefts[source.left_place + i * source.left_skip] = left[i];
        rights[source.right_place + i * source.right_skip] = right[i];
    }
    __syncthreads();
    if (more) source.load(left, right);
}

// sum = the products of all lines of the left with all of the right, `steps` tiles deep. source.load(left, right) reads
// four numbers a thread of each side's next tile; they go to the tile's place + i * skip.
template <class T, class Source>
static __device__ __forceinline__ void multiply(Source& source, int steps, T (&sum)[EACH][EACH]) {
    __shared__ __align__(16) T tiles[2][2][DEPTH * PITCH];
    int thread = threadIdx.x, row = EACH * (thread / (SIDE / EACH)), column = EACH * (thread % (SIDE / EACH));
    T left[EACH], right[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) sum[i][j] = 0;
    if (steps > 0) source.load(left, right);
    for (int step = 0; step < steps; step++) {
        T *lefts = tiles[step & 1][0], *rights = tiles[step & 1][1];
        exchange(source, lefts, rights, left, right, step + 1 < steps);
#pragma unroll
        for (int k = 0; k < DEPTH; k++) {
            Four<T> a = *(const Four<T>*)(lefts + k * PITCH + row), b = *(const Four<T>*)(rights + k * PITCH + column);
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < EACH; j++) sum[i][j] += a.of[i] * b.of[j];
        }
    }
}

#ifdef RG_TF32
// The same for float on tensor cores: operands rounded to TF32 (10 bits after the point), sums in float32. Eight warps
// compute 16 x 32 numbers each; what their lanes hold then goes through shared memory to the threads that finish it.
template <class Source>
static __device__ __forceinline__ void multiply(Source& source, int steps, float (&sum)[EACH][EACH]) {
    __shared__ __align__(16) float tiles[2][2][DEPTH * PITCH];
    int thread = threadIdx.x, warp = thread / 32, group = thread % 32 / 4, in_group = thread % 4;
    int row = 16 * (warp % 4) + group, column = 32 * (warp / 4) + group;
    float left[EACH], right[EACH], held[4][4] = {};
    if (steps > 0) source.load(left, right);
    for (int step = 0; step < steps; step++) {
        float *lefts = tiles[step & 1][0], *rights = tiles[step & 1][1];
        exchange(source, lefts, rights, left, right, step + 1 < steps);
#pragma unroll
        for (int k = in_group; k < DEPTH; k += 8) {
            unsigned a[4], b[2];
#pragma unroll
            for (int i = 0; i < 4; i++) a[i] = rg_tf32(lefts[(k + 4 * (i >> 1)) * PITCH + row + 8 * (i & 1)]);
#pragma unroll
            for (int tile = 0; tile < 4; tile++) {
#pragma unroll
                for (int i = 0; i < 2; i++) b[i] = rg_tf32(rights[(k + 4 * i) * PITCH + column + 8 * tile]);
                rg_mma_m16n8k8_tf32(held[tile], a, b, held[tile]);
            }
        }
    }
    __syncthreads();  // the last tiles have been read by all
    float* room = tiles[0][0];
#pragma unroll
    for (int tile = 0; tile < 4; tile++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            room[(row + 8 * (i >> 1)) * PITCH + column - group + 8 * tile + 2 * in_group + (i & 1)] = held[tile][i];
    __syncthreads();
    row = EACH * (thread / (SIDE / EACH)), column = EACH * (thread % (SIDE / EACH));
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) sum[i][j] = room[(row + i) * PITCH + column + j];
}
#endif
