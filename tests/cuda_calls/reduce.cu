// Every function of reduce.cuh, twice in a row: what a call leaves must not reach into the next.
#include "numbers.cuh"
#include "reduce.cuh"

const int RESULTS = 8;

// Of each row of x (rows, n) the results (rows, 2, RESULTS): what the first thread has, and the last.
template <class T> __device__ void over_rows(const T* x, T* results, long long rows, long long n) {
  const int number = thread_number(), threads = thread_count();
  for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
    Work<T> count = 0, sum = 0, squares = 0;
    Work<T> largest = -infinity<Work<T>>(), smallest = infinity<Work<T>>();
    for (long long i = number; i < n; i += threads) {
      const Work<T> value = wide(x[row * n + i]);
      count += 1;
      sum += value;
      squares += value * value;
      largest = Largest::of(largest, value);
      smallest = value < smallest || value != value ? value : smallest;
    }
    Work<T> pairs[2][2] = {{count, sum}, {sum, squares}};
    const Work<T> total = block_sum(sum), total_of_squares = block_sum(squares);
    block_sums(pairs[0][0], pairs[0][1]);
    block_sums(pairs[1][0], pairs[1][1]);
    const Work<T> top = block_largest(largest), bottom = -block_largest(-smallest);
    const Work<T> found[RESULTS] = {total, total_of_squares, pairs[0][0], pairs[0][1],
                                    pairs[1][0], pairs[1][1], top, bottom};
    for (int end = 0; end < 2; ++end)
      for (int k = 0; number == (end ? threads - 1 : 0) && k < RESULTS; ++k)
        results[(2 * row + end) * RESULTS + k] = rounded<T>(found[k]);
  }
}

#define ENTRY(T, name)                                                                            \
  extern "C" __global__ void over_rows_##name(const T* x, T* results, long long rows, long long n) { \
    over_rows<T>(x, results, rows, n);                                                            \
  }
ENTRY(__half, float16)
ENTRY(float, float32)
ENTRY(double, float64)
