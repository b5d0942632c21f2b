// Philox4x32-10 (Salmon et al. 2011) and what is made of its words; the definitions are those of reference/random.py.
// A thread makes the four words of one block of the counter, so no state is kept and any order gives the same.

struct Words {
    unsigned word[4];
};

static __device__ __forceinline__ Words philox(unsigned long long block, unsigned long long key, unsigned long long draw) {
    unsigned a = unsigned(block), b = unsigned(block >> 32), c = unsigned(draw), d = unsigned(draw >> 32);
    unsigned x = unsigned(key), y = unsigned(key >> 32);
    for (int round = 0; round < 10; round++) {
        unsigned high0 = __umulhi(0xD2511F53u, a), low0 = 0xD2511F53u * a;
        unsigned high1 = __umulhi(0xCD9E8D57u, c), low1 = 0xCD9E8D57u * c;
        a = high1 ^ b ^ x;
        b = low1;
        c = high0 ^ d ^ y;
        d = low0;
        x += 0x9E3779B9u;
        y += 0xBB67AE85u;
    }
    return {{a, b, c, d}};
}

__global__ void philox_words(unsigned* out, unsigned long long key, unsigned long long draw,
                             const long long* draw_moved_or_null, long long n) {
    long long block = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (4 * block >= n) return;
    Words words = philox(block, key, counted(draw, draw_moved_or_null));
    for (int i = 0; i < 4 && 4 * block + i < n; i++) out[4 * block + i] = words.word[i];
}

// A number in [0, 1) as a whole number of units: 24 bits of a word for float, 53 of two for double.
static __device__ __forceinline__ double units(const Words& words, int i, float) { return words.word[i] >> 8; }
static __device__ __forceinline__ double units(const Words& words, int i, double) {
    return (words.word[2 * i] >> 5) * 67108864.0 + (words.word[2 * i + 1] >> 6);
}
static __device__ __forceinline__ double unit(float) { return 1.0 / 16777216; }
static __device__ __forceinline__ double unit(double) { return 1.0 / 9007199254740992; }

// Four floats or two doubles a thread.
template <class T>
__global__ void philox_uniform(T* out, unsigned long long key, unsigned long long draw,
                               const long long* draw_moved_or_null, long long n) {
    constexpr int EACH = 16 / sizeof(T);
    long long block = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (EACH * block >= n) return;
    Words words = philox(block, key, counted(draw, draw_moved_or_null));
    for (int i = 0; i < EACH && EACH * block + i < n; i++) out[EACH * block + i] = T(units(words, i, T()) * unit(T()));
}

// Box and Muller's pairs, in double and rounded once; quarter turns come off before 2 pi is multiplied.
template <class T>
__global__ void philox_normal(T* out, unsigned long long key, unsigned long long draw,
                              const long long* draw_moved_or_null, long long n) {
    constexpr int EACH = 16 / sizeof(T);
    long long block = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (EACH * block >= n) return;
    Words words = philox(block, key, counted(draw, draw_moved_or_null));
    for (int i = 0; i < EACH; i += 2) {
        double radius = sqrt(-2.0 * log((units(words, i, T()) + 1.0) * unit(T())));
        double turn = units(words, i + 1, T()) * unit(T()), quarter = floor(4.0 * turn + 0.5);
        double angle = 6.283185307179586 * (turn - 0.25 * quarter), c = cos(angle), s = sin(angle);
        int which = int(quarter) & 3;
        double cosine = which == 0 ? c : which == 1 ? -s : which == 2 ? -c : s;
        double sine = which == 0 ? s : which == 1 ? c : which == 2 ? -s : -c;
        long long place = EACH * block + i;
        if (place < n) out[place] = T(radius * cosine);
        if (place + 1 < n) out[place + 1] = T(radius * sine);
    }
}

// What is kept is never -0, which marks what is dropped.
template <class T>
static __device__ __forceinline__ T dropped(T value, unsigned word, unsigned long long threshold, T keep, T slope) {
    T below = slope == 0 ? T(0) : slope * value;
    T kept = (value <= 0 ? below : value) / keep + T(0);
    return word >= threshold ? kept : -T(0);
}

template <class T>
__global__ void dropout(const T* x, T* y, unsigned long long threshold, T keep, T slope, unsigned long long key,
                        unsigned long long draw, const long long* draw_moved_or_null, long long n) {
    long long block = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (4 * block >= n) return;
    Words words = philox(block, key, counted(draw, draw_moved_or_null));
    for (long long i = 4 * block; i < 4 * block + 4 && i < n; i++)
        y[i] = dropped(x[i], words.word[i % 4], threshold, keep, slope);
}

// One word for a map: numbers i of memory belong to map i / inner where maps lie whole, and else, in images with
// the channels last, to map i / (places · maps) · maps + i mod maps.
template <class T>
__global__ void dropout_maps(const T* x, T* y, unsigned long long threshold, T keep, T slope, unsigned long long key,
                             unsigned long long draw, const long long* draw_moved_or_null, long long inner,
                             int channels_last, long long channels, long long n) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    long long map = channels_last ? i / (inner * channels) * channels + i % channels : i / inner;
    unsigned word = philox(map / 4, key, counted(draw, draw_moved_or_null)).word[map % 4];
    y[i] = dropped(x[i], word, threshold, keep, slope);
}
