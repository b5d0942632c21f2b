// Barriers, warp operations, atomics, intrinsics and the primitives of device.cuh, on fibers.
#pragma once
#include "fibers.h"

#define __syncthreads() sim::wait_for_block(__FILE__, __LINE__)

static inline void __syncwarp(unsigned mask = ~0u) {
    char nothing = 0;
    sim::exchange(mask, &nothing, 1, "__syncwarp", true);
}

namespace sim {

// The value that a lane published; its own, where CUDA leaves the result undefined.
template <class T>
T from_lane(unsigned mask, T value, int lane, const char* operation) {
    static_assert(sizeof(T) <= SLOT, "a lane publishes 64 bytes at most");
    Warp& warp = exchange(mask, &value, sizeof value, operation, false);
    if (!(mask >> lane & 1) || !(warp.exist >> lane & 1)) return value;
    T found;
    __builtin_memcpy(&found, warp.seen[lane], sizeof found);
    return found;
}

template <class To, class From>
To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "bits of another size");
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}

}  // namespace sim

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    int lane = sim::current->lane;
    return sim::from_lane(mask, value, (lane & ~(width - 1)) + (source & (width - 1)), "__shfl_sync");
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32) {
    int lane = sim::current->lane, source = lane ^ flip;
    if ((source & ~(width - 1)) > (lane & ~(width - 1))) source = lane;
    return sim::from_lane(mask, value, source, "__shfl_xor_sync");
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32) {
    int lane = sim::current->lane, source = lane + int(distance);
    if ((lane & (width - 1)) + int(distance) >= width) source = lane;
    return sim::from_lane(mask, value, source, "__shfl_down_sync");
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32) {
    int lane = sim::current->lane, source = lane - int(distance);
    if ((lane & (width - 1)) < int(distance)) source = lane;
    return sim::from_lane(mask, value, source, "__shfl_up_sync");
}
static inline unsigned __ballot_sync(unsigned mask, int vote) {
    int mine = vote != 0;
    sim::Warp& warp = sim::exchange(mask, &mine, sizeof mine, "__ballot_sync", false);
    unsigned votes = 0;
    for (int lane = 0; lane < 32; lane++)
        if ((mask & warp.exist) >> lane & 1) votes |= unsigned(warp.seen[lane][0]) << lane;
    return votes;
}
static inline int __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) != 0; }
static inline int __all_sync(unsigned mask, int vote) {
    return __ballot_sync(mask, vote) == (mask & sim::warps[sim::current->warp].exist);
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// Relaxed, as on the device: they order nothing else.
template <class T, class Operation>
T sim_update(T* place, Operation operation) {
    T before, after;
    __atomic_load(place, &before, __ATOMIC_RELAXED);
    do after = operation(before);
    while (!__atomic_compare_exchange(place, &before, &after, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return before;
}
template <class T>
T atomicAdd(T* place, std::common_type_t<T> value) {
    return sim_update(place, [=](T before) { return before + value; });
}
template <class T>
T atomicMax(T* place, std::common_type_t<T> value) {
    return sim_update(place, [=](T before) { return before > value ? before : value; });
}
template <class T>
T atomicOr(T* place, std::common_type_t<T> value) {
    return sim_update(place, [=](T before) { return before | value; });
}

// CUDA's functions of numbers are overloaded for float and double.
using std::abs;
using std::cos;
using std::exp;
using std::fabs;
using std::floor;
using std::fma;
using std::isfinite;
using std::isnan;
using std::log;
using std::log1p;
using std::signbit;
using std::sin;
using std::sqrt;
using std::tanh;


template <class T>
T __ldg(const T* place) { return *place; }
static inline float __int_as_float(int n) { return sim::bits<float>(n); }
static inline int __float_as_int(float x) { return sim::bits<int>(x); }
static inline float __uint_as_float(unsigned n) { return sim::bits<float>(n); }
static inline unsigned __float_as_uint(float x) { return sim::bits<unsigned>(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
static inline int __popc(unsigned n) { return __builtin_popcount(n); }
static inline int __clz(int n) { return n ? __builtin_clz(n) : 32; }
static inline int __ffs(int n) { return __builtin_ffs(n); }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
static inline long long min(long long a, long long b) { return a < b ? a : b; }
static inline long long max(long long a, long long b) { return a > b ? a : b; }

// What device.cuh says in PTX.
static inline unsigned rg_tf32(float x) {  // cvt.rna.tf32.f32: to the nearest, ties away from zero
    unsigned n = __float_as_uint(x);
    if ((n & 0x7f800000u) != 0x7f800000u) n += 0x1000u;
    return n & 0xffffe000u;
}

static inline void rg_mma_m16n8k8_tf32(
    float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4]) {
    unsigned both[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    sim::Warp& warp = sim::exchange(~0u, both, sizeof both, "mma.m16n8k8.tf32", false);
    auto operand = [&](int lane, int word) {  // the tensor cores do not look at the last 13 bits
        unsigned n;
        __builtin_memcpy(&n, warp.seen[lane] + 4 * word, sizeof n);
        return __uint_as_float(n & 0xffffe000u);
    };
    int group = sim::current->lane >> 2, in_group = sim::current->lane & 3;
    float found[4];
    for (int i = 0; i < 4; i++) {
        int row = group + 8 * (i >> 1), column = 2 * in_group + (i & 1);
        float sum = c[i];
        for (int k = 0; k < 8; k++)
            sum += operand((row & 7) * 4 + (k & 3), (row >> 3) + 2 * (k >> 2)) *
                   operand(column * 4 + (k & 3), 4 + (k >> 2));
        found[i] = sum;
    }
    for (int i = 0; i < 4; i++) d[i] = found[i];
}

// volatile: or the compiler calls memcpy, which the sanitizers watch in their own way
static inline void sim_copy(void* to, const void* from, int bytes, int read) {
    volatile unsigned* out = (unsigned*)to;
    const volatile unsigned* in = (const unsigned*)from;
    for (int i = 0; i < bytes / 4; i++) out[i] = i < read / 4 ? in[i] : 0;
}

// Seeds that are even copy as late as CUDA may, in the wait: a missing wait shows. Odd ones copy at once, as
// early as it may: a missing barrier behind the last use of the buffer shows.
static inline void rg_cp_async(void* to, const void* from, int bytes, int read) {
    if (read & 3) sim::fail("cp.async reads %d bytes; here always a multiple of 4", read);
    if (((uintptr_t)to | (uintptr_t)from) & (bytes - 1)) sim::fail("cp.async of %d bytes is misaligned", bytes);
    if (sim::copies_at_once) return sim_copy(to, from, bytes, read);
    sim::Fiber* mine = sim::current;
    if (mine->waiting == sim::QUEUE) sim::fail("cp.async: more than %d copies wait", sim::QUEUE);
    mine->copies[mine->waiting++] = {to, from, bytes, read, mine->group};
}
static inline void rg_cp_async_commit() { sim::current->group++; }
template <int LEFT>
void rg_cp_async_wait() {
    sim::Fiber* mine = sim::current;
    int kept = 0;
    for (int i = 0; i < mine->waiting; i++) {
        sim::Copy copy = mine->copies[i];
        if (copy.group < mine->group - LEFT)
            sim_copy(copy.to, copy.from, copy.bytes, copy.read);
        else
            mine->copies[kept++] = copy;
    }
    mine->waiting = kept;
}
