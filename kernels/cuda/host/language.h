// The words of CUDA C++ that a host compiler does not know.
#pragma once
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// One block runs at a time, so what its threads share may be static; the section is filled before each block.
#define __shared__ static __attribute__((section("sim_shared")))

#define SIM_VECTOR2(T, name, bytes) \
    struct alignas(bytes) name { T x, y; }; \
    static inline name make_##name(T x, T y) { return {x, y}; }
#define SIM_VECTOR4(T, name, bytes) \
    struct alignas(bytes) name { T x, y, z, w; }; \
    static inline name make_##name(T x, T y, T z, T w) { return {x, y, z, w}; }
SIM_VECTOR2(float, float2, 8)
SIM_VECTOR2(double, double2, 16)
SIM_VECTOR2(int, int2, 8)
SIM_VECTOR2(unsigned, uint2, 8)
SIM_VECTOR4(float, float4, 16)
SIM_VECTOR4(int, int4, 16)
SIM_VECTOR4(unsigned, uint4, 16)
struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static constexpr int warpSize = 32;
