// How fast the tensor cores multiply when nothing holds them up: the roof by which TF32 products are judged.
// No memory is read: each warp keeps FRAGMENTS of A and of B in registers and multiplies all pairs again and again
// into sums of their own, so no product waits for the one before. The numbers are of many different bits, as data's
// are: a GPU draws less power, and so runs faster, on zeros and ones.

constexpr int FRAGMENTS = 3;

// Multiples of 1/64 below 1: exact in TF32, and their sums in float32.
static __device__ __forceinline__ float number(int row, int column, int fragment) {
    return (((row * 37 + column * 11 + fragment * 29) * 101) % 127 - 63) / 64.0f;
}

// y (blocks, 16, 8) = rounds * the sum over all pairs of fragments of A (16 x 8) B (8 x 8)
__global__ void __launch_bounds__(256) multiply(float* y, int rounds) {
    int group = (threadIdx.x & 31) >> 2, in_group = threadIdx.x & 3;
    unsigned a[FRAGMENTS][4], b[FRAGMENTS][2];
    float sums[FRAGMENTS * FRAGMENTS][4] = {};
    for (int f = 0; f < FRAGMENTS; f++) {
        for (int i = 0; i < 4; i++) a[f][i] = rg_tf32(number(group + 8 * (i & 1), in_group + 4 * (i >> 1), f));
        for (int i = 0; i < 2; i++) b[f][i] = rg_tf32(number(in_group + 4 * i, group, FRAGMENTS + f));
    }
    for (int round = 0; round < rounds; round++)
#pragma unroll
        for (int f = 0; f < FRAGMENTS * FRAGMENTS; f++)
            rg_mma_m16n8k8_tf32(sums[f], a[f / FRAGMENTS], b[f % FRAGMENTS], sums[f]);
    if (threadIdx.x < 32)
        for (int i = 0; i < 4; i++) {
            float all = 0;
            for (int f = 0; f < FRAGMENTS * FRAGMENTS; f++) all += sums[f][i];
            y[blockIdx.x * 128 + (group + 8 * (i >> 1)) * 8 + 2 * in_group + (i & 1)] = all;
        }
}
