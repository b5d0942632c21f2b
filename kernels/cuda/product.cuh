// A tile of a product of matrices, whatever the numbers are read from.
//
// A warp computes 32 x 64 numbers (of double 16 x 32), a block has RG_WARPS warps: tiles of 32 x 64, 64 x 64, 128 x 64
// and 128 x 128 numbers for 1, 2, 4 and 8; tiles.py chooses. The ladder:
// - k advances by 16. A stage holds what one step needs of both sides in shared memory; four stages take turns, so
//   while one is multiplied three are on their way there by cp.async, which keeps no register and no thread waiting.
//   One barrier a step: it says both that a stage has arrived for all and that the one before it was read by all.
// - Copies are of 16 bytes where numbers lie side by side and aligned, else of one number; what lies outside is zero.
// - Chunks of 16 bytes are permuted within a stage such that neither the threads that copy nor those that read meet a
//   bank twice (8 lanes that read 16 bytes, or 32 that read 4, touch all 32 banks once); nothing is padded.
// - float and double: a thread computes 8 x 8 (4 x 4) numbers and reads 16 bytes at once: 64 loads in a step of 1024
//   multiply-adds. Sums run in the array's type and in the order of k.
// - TF32 (RG_TF32, float only): mma.sync on tensor cores. Each warp rounds what it reads from shared memory once
//   (cvt.rna: to the nearest, ties away from zero), and uses it for 64 columns or 32 rows; sums are float32.
// Said by ptxas for sm_80 to sm_120 (test_cuda_nvrtc.py holds it to this), nothing spilled, for 1, 2, 4 and 8 warps:
// registers up to 255, 168, 168 and 224 in float32, and up to 200, 168, 168 and 168 in TF32; shared memory 24, 32, 48
// and 64 KB a block. So of a multiprocessor's 64 warps 8, 12, 12 and 8 are there at once: each has 64 sums under way.
// None of this has been timed on a GPU yet.
#ifndef RG_WARPS
#define RG_WARPS 1
#endif

constexpr int WARPS = RG_WARPS, DOWN = WARPS < 4 ? WARPS : 4, ACROSS = WARPS / DOWN;  // warps, in rows and columns
constexpr int TILE_THREADS = 32 * WARPS, DEPTH = 16, STAGES = 4;
constexpr int TOGETHER = WARPS == 1 ? 8 : 12 / WARPS;  // blocks of a multiprocessor that registers are for
constexpr int LANES_DOWN = 4, LANES_ACROSS = 8;  // of a warp

template <class T> constexpr int CHUNK = 16 / sizeof(T);  // numbers in 16 bytes
template <class T> constexpr int EACH = 32 / sizeof(T);   // rows of a thread, and its columns
template <class T> constexpr int ROWS = DOWN * LANES_DOWN * EACH<T>;
template <class T> constexpr int COLUMNS = ACROSS * LANES_ACROSS * EACH<T>;

template <class T>
struct __align__(16) Chunk {
    T of[CHUNK<T>];
};

// One side of a stage: LINES lines of DEPTH numbers. Where it is deep, numbers of a line lie side by side, as they do
// in memory; else lines do, at each k.
template <class T, int LINES_, bool DEEP_>
struct Side {
    using Type = T;
    static constexpr int LINES = LINES_, ROOM = LINES * DEPTH;
    static constexpr bool DEEP = DEEP_;
    static constexpr int RUN = (DEEP ? DEPTH : LINES) / CHUNK<T>;  // chunks side by side
    static constexpr int PERIOD = RUN < 8 ? 8 / RUN : 1;           // runs that fill all banks once
    static constexpr int SKIP = TILE_THREADS / RUN;                // runs from one chunk of a thread to its next
    static constexpr int COPIES = ROOM / CHUNK<T> / TILE_THREADS;  // chunks that a thread copies

    // Where number `along` of a run lies: its chunk's number is changed by bits of the run's.
    static __device__ __forceinline__ int at(int run, int along) {
        int turn = DEEP ? run / PERIOD % RUN : run % 4 * 2;
        return (run * RUN + (along / CHUNK<T> ^ turn)) * CHUNK<T> + along % CHUNK<T>;
    }
    static __device__ __forceinline__ int place(int line, int k) { return DEEP ? at(line, k) : at(k, line); }

    // The chunks that a thread copies: number `along` and on of the runs `run` + i * SKIP.
    static __device__ __forceinline__ int run() { return threadIdx.x / RUN; }
    static __device__ __forceinline__ int along() { return threadIdx.x % RUN * CHUNK<T>; }
    static __device__ __forceinline__ int slot(int i) { return at(run() + i * SKIP, along()); }

    // Line i of one of `lanes` lanes. What it reads at once lies side by side; lanes lie beside each other.
    static __device__ __forceinline__ int line(int lane, int lanes, int i) {
        return DEEP ? lane + i * lanes : (lane + i / CHUNK<T> * lanes) * CHUNK<T> + i % CHUNK<T>;
    }
    // A lane's lines, from the one at `first`, at CHUNK k's from k.
    static __device__ __forceinline__ void read(
        const T* stage, int first, int lane, int lanes, int k, T (&to)[CHUNK<T>][EACH<T>]) {
#pragma unroll
        for (int c = 0; c < EACH<T>; c++) {
            int i = DEEP ? c : c % (EACH<T> / CHUNK<T>) * CHUNK<T>, depth = DEEP ? 0 : c / (EACH<T> / CHUNK<T>);
            Chunk<T> chunk = *(const Chunk<T>*)(stage + place(first + line(lane, lanes, i), k + depth));
#pragma unroll
            for (int e = 0; e < CHUNK<T>; e++) to[DEEP ? e : depth][DEEP ? i : i + e] = chunk.of[e];
        }
    }
};

// Starts to copy `width` numbers (CHUNK or 1), or as many zeros for what lies outside, where no address is right.
template <class T>
static __device__ __forceinline__ void start(T* to, const T* array, long long at, bool inside, int width) {
    const T* from = inside ? array + at : array;
    if (width == CHUNK<T>)
        rg_cp_async(to, from, 16, inside ? 16 : 0);
    else
        rg_cp_async(to, from, sizeof(T), inside ? sizeof(T) : 0);
}

template <class T>
static __device__ __forceinline__ bool aligned(const T* array) { return ((unsigned long long)array & 15) == 0; }

// What a thread holds of a tile: sum(i, j) is at (row(i), column(j)).
template <class T, class Left, class Right>
struct Tile {
    static constexpr int HIGH = EACH<T>, WIDE = EACH<T>;
    T sums[HIGH][WIDE] = {};
    int first_row = threadIdx.x / 32 % DOWN * LANES_DOWN * EACH<T>, lane_down = threadIdx.x % 32 / LANES_ACROSS;
    int first_column = threadIdx.x / 32 / DOWN * LANES_ACROSS * EACH<T>, lane_across = threadIdx.x % LANES_ACROSS;

    __device__ __forceinline__ int row(int i) const { return first_row + Left::line(lane_down, LANES_DOWN, i); }
    __device__ __forceinline__ int column(int j) const {
        return first_column + Right::line(lane_across, LANES_ACROSS, j);
    }
    __device__ __forceinline__ T sum(int i, int j) const { return sums[i][j]; }

    __device__ __forceinline__ void add(const T* lefts, const T* rights) {
#pragma unroll 1
        for (int k = 0; k < DEPTH; k += CHUNK<T>) {
            T left[CHUNK<T>][EACH<T>], right[CHUNK<T>][EACH<T>];
            Left::read(lefts, first_row, lane_down, LANES_DOWN, k, left);
            Right::read(rights, first_column, lane_across, LANES_ACROSS, k, right);
#pragma unroll
            for (int e = 0; e < CHUNK<T>; e++)
#pragma unroll
                for (int i = 0; i < HIGH; i++)
#pragma unroll
                    for (int j = 0; j < WIDE; j++) sums[i][j] += left[e][i] * right[e][j];
        }
    }
};

#ifdef RG_TF32
// The same on tensor cores: 2 x 8 of their 16 x 8 numbers; who holds what is theirs to say.
template <class Left, class Right>
struct Tile<float, Left, Right> {
    static constexpr int HIGH = 4, WIDE = 16;
    float sums[HIGH / 2][WIDE / 2][4] = {};
    int group = threadIdx.x % 32 / 4, in_group = threadIdx.x % 4;
    int first_row = threadIdx.x / 32 % DOWN * 32 + group, first_column = threadIdx.x / 32 / DOWN * 64;

    __device__ __forceinline__ int row(int i) const { return first_row + 8 * i; }
    __device__ __forceinline__ int column(int j) const { return first_column + 8 * (j / 2) + 2 * in_group + j % 2; }
    __device__ __forceinline__ float sum(int i, int j) const { return sums[i / 2][j / 2][i % 2 * 2 + j % 2]; }

    __device__ __forceinline__ void add(const float* lefts, const float* rights) {
#pragma unroll 1
        for (int k = 0; k < DEPTH; k += 8) {
            unsigned left[HIGH / 2][4];
#pragma unroll
            for (int i = 0; i < HIGH; i++)
#pragma unroll
                for (int e = 0; e < 2; e++)
                    left[i / 2][i % 2 + 2 * e] = rg_tf32(lefts[Left::place(row(i), k + 4 * e + in_group)]);
#pragma unroll
            for (int j = 0; j < WIDE / 2; j++) {
                unsigned right[2];
#pragma unroll
                for (int e = 0; e < 2; e++)
                    right[e] = rg_tf32(rights[Right::place(first_column + 8 * j + group, k + 4 * e + in_group)]);
#pragma unroll
                for (int i = 0; i < HIGH / 2; i++) rg_mma_m16n8k8_tf32(sums[i][j], left[i], right, sums[i][j]);
            }
        }
    }
};
#endif

// The products of all lines of the left with all of the right, `steps` stages deep. source.copy(left, right) starts to
// copy the next stage of both sides, Source::Left and Source::Right.
template <class T, class Source>
static __device__ __forceinline__ void multiply(
    Source& source, int steps, Tile<T, typename Source::Left, typename Source::Right>& tile) {
    extern __shared__ double shared[];
    constexpr int LEFT = Source::Left::ROOM, STAGE = LEFT + Source::Right::ROOM;
    T* stages = (T*)shared;
    for (int step = 0; step < STAGES - 1; step++) {
        if (step < steps) source.copy(stages + step * STAGE, stages + step * STAGE + LEFT);
        rg_cp_async_commit();
    }
    int arrived = 0, next = STAGES - 1;
    for (int step = 0; step < steps; step++) {
        rg_cp_async_wait<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < steps) source.copy(stages + next * STAGE, stages + next * STAGE + LEFT);
        rg_cp_async_commit();
        tile.add(stages + arrived * STAGE, stages + arrived * STAGE + LEFT);
        next = arrived;
        arrived = arrived + 1 < STAGES ? arrived + 1 : 0;
    }
}

// Hands a block's sums to consecutive threads in the order of rows, for stores side by side: finish(row, column, sum).
template <class T, class Left, class Right, class Finish>
static __device__ __forceinline__ void in_order(const Tile<T, Left, Right>& tile, const Finish& finish) {
    static_assert(ROWS<T> * COLUMNS<T> <= STAGES * DEPTH * (ROWS<T> + COLUMNS<T>), "sums lie where the stages were");
    extern __shared__ double shared[];
    T* room = (T*)shared;
    auto place = [](int row, int column) { return row * COLUMNS<T> + (column ^ row % 4 * 8); };
    __syncthreads();  // the last stage has been read by all
#pragma unroll
    for (int i = 0; i < tile.HIGH; i++)
#pragma unroll
        for (int j = 0; j < tile.WIDE; j++) room[place(tile.row(i), tile.column(j))] = tile.sum(i, j);
    __syncthreads();
#pragma unroll 4
    for (int at = threadIdx.x; at < ROWS<T> * COLUMNS<T>; at += TILE_THREADS)
        finish(at / COLUMNS<T>, at % COLUMNS<T>, room[place(at / COLUMNS<T>, at % COLUMNS<T>)]);
}
