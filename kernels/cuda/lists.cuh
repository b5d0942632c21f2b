// Lists by value: one launch for the arrays of all parameters, and the way from a block to its share of one.

constexpr int LISTED = 64;

// Arrays, `List<T*>` or `List<const T*>`, or numbers; the launcher fills it up with zeros.
template <class V>
struct List {
    V of[LISTED];
    __device__ __forceinline__ V operator[](int i) const { return of[i]; }
};

constexpr int PART = 2048;  // numbers to a block

struct Part {
    int array;
    long long begin, end;
};

// This block's. ends: how many blocks the arrays up to each have together; the last stands in all places after it.
static __device__ __forceinline__ Part part_of(const List<long long>& sizes, const List<int>& ends) {
    int block = blockIdx.x, array = 0;
    for (int half = LISTED / 2; half; half /= 2)
        if (ends[array + half - 1] <= block) array += half;
    long long begin = (long long)PART * (array ? block - ends[array - 1] : block), size = sizes[array];
    return {array, begin, begin + PART < size ? begin + PART : size};
}
