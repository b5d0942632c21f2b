// A launch: every block of the grid, in an order drawn from the seed, with its shared memory filled with NaN.
#pragma once
#include "device.h"

namespace sim {

SIM_UNWATCHED static void fill(char* from, char* to) {
    for (volatile char* place = from; place < to; place++) *place = (char)0xff;  // NaN as a float, −1 as an int
}

static long divisor(long a, long b) { return b ? divisor(b, a % b) : a; }

SIM_UNWATCHED static void set_up(const unsigned* block) {
    for (int i = 0; i < threads; i += WARP) {
        Warp& warp = warps[i / WARP];
        warp.exist = warp.live = threads - i >= WARP ? ~0u : (1u << (threads - i)) - 1;
        warp.arrived = 0;
        warp.exchanges = 0;
    }
    for (int i = 0; i < threads; i++) {
        Fiber& fiber = fibers[i];
        fiber.index = {i % block[0], i / block[0] % block[1], i / block[0] / block[1]};
        fiber.lane = i % WARP;
        fiber.warp = i / WARP;
        fiber.state = READY;
        fiber.stack = stacks + (size_t)STACK * i;
        fiber.waiting = fiber.group = 0;
        // As if sim_switch had left it: saved registers, and fiber_main to return to.
        void** top = (void**)(fiber.stack + STACK - 64);
#if defined(__x86_64__)
        *--top = nullptr;  // where fiber_main would return to; the stack is aligned as in a call
        *--top = (void*)&fiber_main;
        for (int r = 0; r < SAVED; r++) *--top = nullptr;
#else
        for (int r = 0; r < 20; r++) *--top = nullptr;
        top[11] = (void*)&fiber_main;  // x30
#endif
        fiber.top = top;
    }
}

SIM_UNWATCHED static int launch(
    const unsigned* grid, const unsigned* block, size_t shared, uint64_t seed, void (*call)(void*), void* argument) {
    threads = block[0] * block[1] * block[2];
    failed = false;
    error[0] = 0;
    random_state = seed;
    copies_at_once = seed & 1;
    body = call;
    body_argument = argument;
    gridDim = dim3(grid[0], grid[1], grid[2]);
    blockDim = dim3(block[0], block[1], block[2]);
    if (!stacks)
        stacks = (char*)mmap(0, (size_t)STACK * MOST_THREADS, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
#if defined(__SANITIZE_THREAD__)
    scheduler_watched = __tsan_get_current_fiber();
    for (int i = 0; i < threads; i++)
        if (!fibers[i].watched) fibers[i].watched = __tsan_create_fiber(0);
#endif
    long blocks = (long)grid[0] * grid[1] * grid[2], stride = 1;
    if (seed && blocks > 1)  // a stride prime to the number of blocks visits all
        do stride = 1 + draw(blocks < 1000000 ? blocks : 1000000);
        while (divisor(stride, blocks) != 1);
    size_t room = (shared + 127) / 128 * 128 + 128;
    for (long n = 0; n < blocks && !failed; n++) {
        long number = (long)((__int128)n * stride % blocks);
        blockIdx = {unsigned(number % grid[0]), unsigned(number / grid[0] % grid[1]),
            unsigned(number / grid[0] / grid[1])};
        if (__start_sim_shared) fill(__start_sim_shared, __stop_sim_shared);
        dynamic = (char*)aligned_alloc(128, room);
        fill(dynamic, dynamic + shared);
#if defined(__SANITIZE_ADDRESS__)
        __asan_poison_memory_region(dynamic + shared, room - shared);
        __asan_unpoison_memory_region(stacks, (size_t)STACK * threads);
#endif
        set_up(block);
        release(&start_mark);
        run_block();
        acquire(&end_mark);
#if defined(__SANITIZE_ADDRESS__)
        __asan_unpoison_memory_region(dynamic, room);
#endif
        free(dynamic);
    }
    return failed;
}

static inline void* dynamic_shared() { return dynamic; }

template <class... A, size_t... I>
void apply(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*(std::remove_reference_t<A>*)arguments[I]...);
}

template <class... A>
int run(void (*kernel)(A...), const unsigned* grid, const unsigned* block, size_t shared, uint64_t seed,
    void** arguments) {
    struct Call {
        void (*kernel)(A...);
        void** arguments;
    } call{kernel, arguments};
    auto thread = [](void* place) {
        Call* call = (Call*)place;
        apply(call->kernel, call->arguments, std::index_sequence_for<A...>{});
    };
    return launch(grid, block, shared, seed, thread, &call);
}

// What a parameter holds: itself, or a List of `many`.
template <class P>
struct Held {
    using T = P;
    static constexpr size_t many = 0;
};
template <template <class> class L, class V>
struct Held<L<V>> {
    using T = V;
    static constexpr size_t many = sizeof(L<V>) / sizeof(V);
};

// The parameters as the compiler sees them, "*f4,i8[64],": what the launcher read in the source must be the same.
template <class P>
void describe(char* text) {
    using T = typename Held<P>::T;
    using V = std::remove_cv_t<std::remove_pointer_t<T>>;
    char kind = std::is_floating_point_v<V> ? 'f' : std::is_signed_v<V> ? 'i' : 'u';
    text += strlen(text);
    text += sprintf(text, "%s%c%zu", std::is_pointer_v<T> ? "*" : "", kind, sizeof(V));
    if (Held<P>::many) text += sprintf(text, "[%zu]", Held<P>::many);
    sprintf(text, ",");
}
template <class... A>
const char* parameters(void (*)(A...)) {
    static char text[512];
    text[0] = 0;
    (describe<A>(text), ...);
    return text;
}

}  // namespace sim

extern "C" const char* sim_error() { return sim::error; }
