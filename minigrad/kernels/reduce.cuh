// Sums and largest values over the threads of a warp and of a block.
//
// Blocks may have any shape and any number of threads: the last warp need not be full.  Every thread
// of the block must call, and every thread gets the result.  The order of summation depends on the
// number of threads alone, so that the same launch gives the same bits.
#pragma once

const int WARP = 32;

// The thread's number in its block, whatever the block's shape; 32 in a row are a warp.
__device__ inline int thread_number() {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

__device__ inline int thread_count() { return blockDim.x * blockDim.y * blockDim.z; }

struct Sum {
  template <class W> static __device__ W of(W a, W b) { return a + b; }
};

struct Largest {  // a NaN is larger than anything, as in NumPy
  template <class W> static __device__ W of(W a, W b) { return a > b || a != a ? a : b; }
};

// All values of the warp in one, by Sum or Largest.  W is float, double, int or long long.
template <class Join, class W> __device__ W over_warp(W value) {
  const int number = thread_number(), lane = number % WARP;
  const int live = min(WARP, thread_count() - (number - lane));  // threads of this warp
  const unsigned mask = live == WARP ? 0xffffffffu : (1u << live) - 1;
  for (int step = WARP / 2; step > 0; step /= 2) {
    const W other = __shfl_down_sync(mask, value, step);
    if (lane + step < live) value = Join::of(value, other);
  }
  return __shfl_sync(mask, value, 0);
}

// All values of the block in one; `shared` has room for WARP values.
template <class Join, class W> __device__ W over_block(W value, W* shared) {
  value = over_warp<Join>(value);
  const int number = thread_number(), warps = (thread_count() + WARP - 1) / WARP;
  if (warps == 1) return value;
  __syncthreads();  // all have read what a call before left in `shared`
  if (number % WARP == 0) shared[number / WARP] = value;
  __syncthreads();
  W joined = shared[0];
  for (int warp = 1; warp < warps; ++warp) joined = Join::of(joined, shared[warp]);
  return joined;
}

// Σ value over the block.
template <class W> __device__ W block_sum(W value) {
  __shared__ W shared[WARP];
  return over_block<Sum>(value, shared);
}

// The largest value of the block, NaN if there is one.
template <class W> __device__ W block_largest(W value) {
  __shared__ W shared[WARP];
  return over_block<Largest>(value, shared);
}

// Two sums at once: each thread gives a and b, and has Σ a and Σ b in their places afterwards.
template <class W> __device__ void block_sums(W& a, W& b) {
  __shared__ W shared[2][WARP];
  a = over_warp<Sum>(a);
  b = over_warp<Sum>(b);
  const int number = thread_number(), warps = (thread_count() + WARP - 1) / WARP;
  if (warps == 1) return;
  __syncthreads();  // all have read what a call before left in `shared`
  if (number % WARP == 0) {
    shared[0][number / WARP] = a;
    shared[1][number / WARP] = b;
  }
  __syncthreads();
  a = shared[0][0];
  b = shared[1][0];
  for (int warp = 1; warp < warps; ++warp) {
    a += shared[0][warp];
    b += shared[1][warp];
  }
}
