// Sums of a block, in an order that depends on its size alone.

// The sum over a warp, in every lane: five exchanges of registers.
static __device__ __forceinline__ double warp_sum(double value) {
    for (int distance = 16; distance; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
    return value;
}

// The sum over a block of whole warps, in thread 0; `room` is shared, a number for each warp.
static __device__ __forceinline__ double block_sum(double value, double* room) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    value = warp_sum(value);
    if (lane == 0) room[warp] = value;
    __syncthreads();
    value = warp == 0 && lane < blockDim.x / 32 ? room[lane] : 0.0;
    if (warp == 0) value = warp_sum(value);
    __syncthreads();  // the room may be used again
    return value;
}
