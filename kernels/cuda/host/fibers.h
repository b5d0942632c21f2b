// A block of CUDA threads as fibers: each has a stack, and gives way where it waits for others.
//
// Blocks run one after another. Within a block the scheduler resumes every fiber that is ready, warp by warp, in
// an order drawn from the seed (0: in order), until all wait at a barrier or are done. What can't go on is an
// error that names the threads: a barrier that some never reach, lanes that disagree about a warp's exchange.
//
// The sanitizers are told of every switch: AddressSanitizer which stack is in use, ThreadSanitizer which fiber;
// a barrier is a release before it and an acquire behind it, so two accesses without one between them are a race.
#pragma once
#include "language.h"
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned);
void __tsan_switch_to_fiber(void*, unsigned);
void __tsan_acquire(void*);
void __tsan_release(void*);
}
#endif

// The scheduler itself is not watched.
#define SIM_UNWATCHED __attribute__((no_sanitize("address", "thread", "undefined"), noinline))

extern char __start_sim_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_sim_shared[] __attribute__((weak, visibility("hidden")));

namespace sim {

enum State { READY, AT_WARP, AT_BLOCK, DONE };
constexpr int WARP = 32, MOST_THREADS = 1024, STACK = 64 * 1024, QUEUE = 160, SLOT = 64;

struct Copy {  // a cp.async that has not arrived
    void* to;
    const void* from;
    int bytes, read, group;
};

struct Fiber {
    void* top;  // of its stack, while it does not run
    char* stack;
    uint3 index;
    int lane, warp;
    State state;
    unsigned mask;      // of the exchange it waits in
    const char* where;  // file or operation, and line, that it waits in
    int line;
    Copy copies[QUEUE];
    int waiting, group;  // copies, and the number of the group being filled
    void* watched;       // ThreadSanitizer's name of it
};

struct Warp {
    unsigned exist, live, arrived;
    unsigned char slot[WARP][SLOT], seen[WARP][SLOT];  // published by each lane; as it was when all had arrived
    long exchanges;
};

static Fiber fibers[MOST_THREADS];
static Warp warps[MOST_THREADS / WARP];
static Fiber* current;
static int threads, barriers;
static char* stacks;
static void* scheduler;  // its stack's top, while a fiber runs
static void* scheduler_watched;
static char error[512];
static bool failed, copies_at_once;
static char* dynamic;
static void (*body)(void*);
static void* body_argument;
static uint64_t random_state;
static char start_mark, end_mark, block_mark[2], warp_mark[MOST_THREADS / WARP][2];

static inline unsigned draw(unsigned below) {  // Marsaglia's xorshift64
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return unsigned((random_state >> 11) % below);
}

#if defined(__SANITIZE_THREAD__)
static inline void acquire(void* mark) { __tsan_acquire(mark); }
static inline void release(void* mark) { __tsan_release(mark); }
#else
static inline void acquire(void*) {}
static inline void release(void*) {}
#endif

// Saves the registers that a call keeps on this stack, and goes on with another one.
extern "C" void sim_switch(void** save, void* to) __attribute__((visibility("hidden")));
#if defined(__x86_64__)
asm(R"(
.text
.p2align 4
.globl sim_switch
.hidden sim_switch
.type sim_switch,@function
sim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size sim_switch, .-sim_switch
)");
constexpr int SAVED = 6;  // words below the return address
#elif defined(__aarch64__)
asm(R"(
.text
.p2align 4
.globl sim_switch
.hidden sim_switch
.type sim_switch,%function
sim_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size sim_switch, .-sim_switch
)");
#else
#error "cuda-sim switches stacks on x86-64 and on 64-bit ARM"
#endif

static const void* scheduler_stack;
static size_t scheduler_stack_size;

SIM_UNWATCHED static void to_scheduler() {
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(
        current->state == DONE ? nullptr : &fake, scheduler_stack, scheduler_stack_size);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(scheduler_watched, 1);
#endif
    sim_switch(&current->top, scheduler);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

SIM_UNWATCHED static void to_fiber(Fiber* fiber) {
    current = fiber;
    threadIdx = fiber->index;
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, fiber->stack, STACK);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(fiber->watched, 1);
#endif
    sim_switch(&scheduler, fiber->top);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

// Ends the launch with a message about the thread that runs; never returns.
SIM_UNWATCHED __attribute__((format(printf, 1, 2))) static void fail(const char* form, ...) {
    if (!failed) {
        int n = snprintf(error, sizeof error, "block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x, blockIdx.y,
            blockIdx.z, current->index.x, current->index.y, current->index.z);
        va_list values;
        va_start(values, form);
        vsnprintf(error + n, sizeof error - n, form, values);
        va_end(values);
    }
    failed = true;
    for (;;) to_scheduler();
}

SIM_UNWATCHED static void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
#endif
    acquire(&start_mark);
    body(body_argument);
    release(&end_mark);
    current->state = DONE;
    warps[current->warp].live &= ~(1u << current->lane);
    for (;;) to_scheduler();
}

SIM_UNWATCHED static void wait_for_block(const char* file, int line) {
    int which = barriers & 1;
    current->state = AT_BLOCK;
    current->where = file;
    current->line = line;
    release(&block_mark[which]);
    to_scheduler();
    acquire(&block_mark[which]);
}

// Every operation of a warp: publish some bytes, wait for all lanes of the mask, then read what all published.
SIM_UNWATCHED static Warp& exchange(
    unsigned mask, const void* bytes, int count, const char* operation, bool orders_memory) {
    Fiber* mine = current;
    Warp& warp = warps[mine->warp];
    mask &= warp.exist;
    int which = warp.exchanges & 1;
    if (!(mask >> mine->lane & 1)) fail("%s: lane %d is not in its mask %08x", operation, mine->lane, mask);
    if (mask & ~warp.live) fail("%s: the mask %08x names lanes that have exited, %08x", operation, mask, mask & ~warp.live);
    for (int i = 0; i < count; i++) warp.slot[mine->lane][i] = ((const unsigned char*)bytes)[i];
    warp.arrived |= 1u << mine->lane;
    mine->mask = mask;
    mine->where = operation;
    if (orders_memory) release(&warp_mark[mine->warp][which]);
    if ((warp.arrived & mask) == mask) {
        for (int lane = 0; lane < WARP; lane++) {
            if (!(mask >> lane & 1)) continue;
            Fiber& other = fibers[mine->warp * WARP + lane];
            if (other.mask != mask || strcmp(other.where, operation))
                fail("%s: lanes disagree: lane %d is in %s with mask %08x, not %08x", operation, lane, other.where,
                    other.mask, mask);
            for (int i = 0; i < SLOT; i++) warp.seen[lane][i] = warp.slot[lane][i];
            other.state = READY;
        }
        warp.arrived &= ~mask;
        warp.exchanges++;
    } else {
        mine->state = AT_WARP;
        to_scheduler();
    }
    if (orders_memory) acquire(&warp_mark[mine->warp][which]);
    return warp;
}

// Resumes a warp's ready lanes, from a drawn one in drawn steps, until none is ready.
SIM_UNWATCHED static void run_warp(int warp) {
    int first = warp * WARP, count = threads - first < WARP ? threads - first : WARP;
    for (bool any = true; any && !failed;) {
        any = false;
        unsigned offset = random_state ? draw(count) : 0;
        unsigned step = random_state && count == WARP ? 2 * draw(WARP / 2) + 1 : 1;
        for (int i = 0; i < count && !failed; i++) {
            Fiber* fiber = fibers + first + (offset + i * step) % count;
            if (fiber->state == READY) {
                any = true;
                to_fiber(fiber);
            }
        }
    }
}

SIM_UNWATCHED static void run_block() {
    int count = (threads + WARP - 1) / WARP, order[MOST_THREADS / WARP];
    for (barriers = 0;; barriers++) {
        for (int i = 0; i < count; i++) order[i] = i;
        for (int i = count - 1; random_state && i > 0; i--) {
            int j = draw(i + 1);
            std::swap(order[i], order[j]);
        }
        for (int i = 0; i < count && !failed; i++) run_warp(order[i]);
        if (failed) return;
        int at_barrier = 0, done = 0;
        Fiber *one = nullptr, *other = nullptr, *stuck = nullptr;
        for (int i = 0; i < threads; i++) {
            Fiber* fiber = fibers + i;
            if (fiber->state == DONE) done++;
            if (fiber->state == AT_WARP) stuck = fiber;
            if (fiber->state != AT_BLOCK) continue;
            at_barrier++;
            if (!one) one = fiber;
            if (fiber->line != one->line) other = fiber;
        }
        if (done == threads) return;
        failed = true;
        if (stuck)
            snprintf(error, sizeof error,
                "deadlock: lane %d of warp %d waits in %s with mask %08x; %d threads are at __syncthreads, %d have exited",
                stuck->lane, stuck->warp, stuck->where, stuck->mask, at_barrier, done);
        else if (other)
            snprintf(error, sizeof error, "threads wait at different __syncthreads: %s:%d and line %d", one->where,
                one->line, other->line);
        else if (done)
            snprintf(error, sizeof error, "__syncthreads at %s:%d is reached by %d threads after %d have exited",
                one->where, one->line, at_barrier, done);
        else
            failed = false;
        if (failed) return;
        for (int i = 0; i < threads; i++) fibers[i].state = READY;
    }
}

}  // namespace sim
