// What each dtype computes in, and the numbers that stand for nothing and for no end.
#pragma once
#include <cuda_fp16.h>

template <class T> struct Computes { using type = T; };
template <> struct Computes<__half> { using type = float; };

// What one number of the dtype T is computed in: half in float, the others in themselves.
template <class T> using Work = typename Computes<T>::type;

// A number as it is computed with, and rounded back: `rounded<T>(2 * wide(x[i]))`.
__device__ inline float wide(__half x) { return __half2float(x); }
__device__ inline float wide(float x) { return x; }
__device__ inline double wide(double x) { return x; }

template <class T> struct Rounds {
  static __device__ T from(double x) { return static_cast<T>(x); }
  static __device__ T from(float x) { return static_cast<T>(x); }
};
template <> struct Rounds<__half> {
  static __device__ __half from(double x) { return __double2half(x); }
  static __device__ __half from(float x) { return __float2half_rn(x); }
};
template <class T, class W> __device__ inline T rounded(W x) { return Rounds<T>::from(x); }

// NaN and ∞ as a float or a double.
template <class W> __device__ inline W not_a_number() {
  return static_cast<W>(__int_as_float(0x7fffffff));
}
template <class W> __device__ inline W infinity() {
  return static_cast<W>(__int_as_float(0x7f800000));
}

// The entries of one dtype, in a file that would take long to compile whole: with -DONLY_float32
// (launching.py) the others' are left out.
#if !defined(ONLY_float16) && !defined(ONLY_float32) && !defined(ONLY_float64)
#define ONLY_float16
#define ONLY_float32
#define ONLY_float64
#endif
#ifdef ONLY_float16
#define FOR_float16(...) __VA_ARGS__
#else
#define FOR_float16(...)
#endif
#ifdef ONLY_float32
#define FOR_float32(...) __VA_ARGS__
#else
#define FOR_float32(...)
#endif
#ifdef ONLY_float64
#define FOR_float64(...) __VA_ARGS__
#else
#define FOR_float64(...)
#endif
