// Rows added up at indices, the adjoint of reading rows there, without atomics: of the rows that
// meet in one place each is added in its turn, so the same call gives the same bits.
//
// Where the list of indices is long, a stable radix sort brings equal ones together first.
#include "numbers.cuh"
#include "places.cuh"

// ---- sorting: a pass over eight bits of the keys ------------------------------------------------

const int BINS = 256;  // and as many threads in a block: each has one bin
const int TILE = 8 * BINS;  // keys of a block

__device__ inline unsigned digit_of(unsigned key, long long shift) {
  return key >> shift & (BINS - 1);
}

// counts (BINS, blocks): how often each digit occurs in the tile of each block.
extern "C" __global__ void count_digits(
    const unsigned* keys, long long n, long long shift, unsigned* counts) {
  __shared__ unsigned found[BINS];
  found[threadIdx.x] = 0;
  __syncthreads();
  const long long first = static_cast<long long>(blockIdx.x) * TILE, end = min(first + TILE, n);
  for (long long at = first + threadIdx.x; at < end; at += BINS)
    atomicAdd(&found[digit_of(keys[at], shift)], 1u);  // of integers, so in any order
  __syncthreads();
  counts[threadIdx.x * static_cast<long long>(gridDim.x) + blockIdx.x] = found[threadIdx.x];
}

// Keys, and the places they had at first, in the order of one digit; what is equal stays in order.
//
// `ends` is the running sum of `counts`: where the keys of a block with a digit end.  `places` is
// null in the first pass, where a key's place is where it is.
extern "C" __global__ void move_digits(
    const unsigned* keys, const unsigned* places, long long n, long long shift,
    const unsigned* ends, unsigned* keys_out, unsigned* places_out) {
  __shared__ unsigned next[BINS], digits[BINS];
  const int me = threadIdx.x;
  const long long mine = me * static_cast<long long>(gridDim.x) + blockIdx.x;
  next[me] = mine == 0 ? 0 : ends[mine - 1];
  const long long first = static_cast<long long>(blockIdx.x) * TILE, end = min(first + TILE, n);
  for (long long start = first; start < end; start += BINS) {
    const long long at = start + me;
    const unsigned key = at < end ? keys[at] : 0, digit = digit_of(key, shift);
    digits[me] = at < end ? digit : BINS;  // which no digit is
    __syncthreads();
    int before = 0, after = 0;  // keys with this digit: what keeps their order
    for (int other = 0; other < BINS; ++other) {
      before += other < me && digits[other] == digit;
      after += other > me && digits[other] == digit;
    }
    const long long to = at < end ? next[digit] + before : n;  // n: nowhere
    __syncthreads();  // all have read `next`
    if (to < n) {
      keys_out[to] = key;
      places_out[to] = places ? places[at] : static_cast<unsigned>(at);
      if (after == 0) next[digit] = static_cast<unsigned>(to) + 1;
    }
  }
}

// begins (keys + 1): where the places of each key begin, and the last ones end, in the sorted keys.
extern "C" __global__ void find_begins(
    const unsigned* sorted, long long n, long long keys, unsigned* begins) {
  for (long long key = first_place<long long>(); key <= keys; key += to_next<long long>()) {
    long long low = 0, high = n;  // the first that is not below the key lies between
    while (low < high) {
      const long long middle = (low + high) / 2;
      if (sorted[middle] < key) low = middle + 1;
      else high = middle;
    }
    begins[key] = static_cast<unsigned>(low);
  }
}

// ---- adding -------------------------------------------------------------------------------------

// y (slabs, rows, columns) gets Σ x (slabs, n, columns) over the places of x that a row is named at.
struct Rows {
  long long slabs, n, rows, columns;
  bool more;  // on top of what y has

  template <class T> __device__ double start(const T* y) const {
    return more ? static_cast<double>(wide(*y)) : 0.0;
  }
};

// With the places by row.  Threads of a block are (columns, rows, lanes): each lane adds every
// so many-th place, then the first lane what all have; float64 adds, so that it rounds once.
template <class T>
__device__ void add_sorted(
    const T* x, const unsigned* begins, const unsigned* places, T* y, const Rows& s) {
  __shared__ double sums[BINS];
  const int side = blockDim.x * blockDim.y;  // threads of a lane
  const int mine = threadIdx.x + blockDim.x * threadIdx.y + side * threadIdx.z;
  const long long down = static_cast<long long>(gridDim.x) * blockDim.y;
  const long long right = static_cast<long long>(gridDim.y) * blockDim.x;
  // the block's first row and column stand in the loops, so that all threads go round as often
  for (long long r = static_cast<long long>(blockIdx.x) * blockDim.y; r < s.rows; r += down) {
    const long long row = r + threadIdx.y;
    const long long begin = row < s.rows ? begins[row] : 0, end = row < s.rows ? begins[row + 1] : 0;
    for (long long c = static_cast<long long>(blockIdx.y) * blockDim.x; c < s.columns; c += right) {
      const long long column = c + threadIdx.x;
      const bool live = row < s.rows && column < s.columns;
      for (long long slab = blockIdx.z; slab < s.slabs; slab += gridDim.z) {
        double sum = 0;
        if (live)
          for (long long at = begin + threadIdx.z; at < end; at += blockDim.z)
            sum += wide(x[(slab * s.n + places[at]) * s.columns + column]);
        T* to = y + (slab * s.rows + row) * s.columns + column;
        if (blockDim.z == 1) {
          if (live) *to = rounded<T>(s.start(to) + sum);
          continue;
        }
        sums[mine] = sum;
        __syncthreads();
        if (live && threadIdx.z == 0) {
          double total = s.start(to);
          for (int lane = 0; lane < blockDim.z; ++lane) total += sums[mine + lane * side];
          *to = rounded<T>(total);
        }
        __syncthreads();
      }
    }
  }
}

// The same of few keys in any order: for each number of y all of them are looked through.
template <class T>
__device__ void add_few(const T* x, const unsigned* keys, T* y, const Rows& s) {
  const long long count = s.slabs * s.rows * s.columns;
  for (long long at = first_place<long long>(); at < count; at += to_next<long long>()) {
    const long long column = at % s.columns, line = at / s.columns;
    const long long row = line % s.rows, slab = line / s.rows;
    double total = s.start(y + at);
    for (long long place = 0; place < s.n; ++place)
      if (keys[place] == row) total += wide(x[(slab * s.n + place) * s.columns + column]);
    y[at] = rounded<T>(total);
  }
}

#define ENTRIES(T, name)                                                                          \
  extern "C" __global__ void add_sorted_##name(                                                   \
      const T* x, const unsigned* begins, const unsigned* places, T* y, long long slabs,          \
      long long n, long long rows, long long columns, long long more) {                           \
    add_sorted(x, begins, places, y, Rows{slabs, n, rows, columns, more != 0});                   \
  }                                                                                               \
  extern "C" __global__ void add_few_##name(                                                      \
      const T* x, const unsigned* keys, T* y, long long slabs, long long n, long long rows,       \
      long long columns, long long more) {                                                        \
    add_few(x, keys, y, Rows{slabs, n, rows, columns, more != 0});                                \
  }

ENTRIES(__half, float16)
ENTRIES(float, float32)
ENTRIES(double, float64)
