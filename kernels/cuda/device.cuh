// What kernels may use of the machine beyond CUDA C++ itself; the host's device.h has the same in C++.
#ifdef __CUDACC__
// To TF32, the nearest, ties away from zero.
static __device__ __forceinline__ unsigned rg_tf32(float x) {
    unsigned n;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(n) : "f"(x));
    return n;
}
// D (16 x 8) = A (16 x 8) B (8 x 8) + C by a warp's tensor cores; who holds what: PTX ISA, mma.m16n8k8.
static __device__ __forceinline__ void rg_mma_m16n8k8_tf32(
    float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}
// Starts to copy 4, 8 or 16 bytes to shared memory, of which `read` are read and the rest are zero. They stay in the
// first cache, for the windows of a convolution overlap.
static __device__ __forceinline__ void rg_cp_async(void* to, const void* from, int bytes, int read) {
    unsigned place = (unsigned)__cvta_generic_to_shared(to);
    if (bytes == 16)
        asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(from), "r"(read) : "memory");
    else if (bytes == 8)
        asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(place), "l"(from), "r"(read) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(place), "l"(from), "r"(read) : "memory");
}
static __device__ __forceinline__ void rg_cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most LEFT of this thread's committed groups are under way.
template <int LEFT>
static __device__ __forceinline__ void rg_cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}
#endif

// A number that grows from step to step, of which a launch has two parts (count.py).
template <class T>
static __device__ __forceinline__ T counted(T start, const long long* moved_or_null) {
    return moved_or_null ? start + T(*moved_or_null) : start;
}
