// How the threads of a grid share the places of an array, in integers no wider than they need be.
#pragma once

// Up to so many places, `int` counts them and the step to a thread's next: its division is several
// times as fast as that of `long long`, and kernels that take indices apart divide a lot.
const long long FEW_PLACES = 1ll << 30;

// The thread's first place among all, and how far it is to its next.
template <class I> __device__ inline I first_place() {
  return static_cast<I>(blockIdx.x) * static_cast<I>(blockDim.x) + static_cast<I>(threadIdx.x);
}
template <class I> __device__ inline I to_next() {
  return static_cast<I>(gridDim.x) * static_cast<I>(blockDim.x);
}
