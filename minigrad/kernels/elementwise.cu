// Activations and their gradients, each in one pass over the memory, 16 bytes at a time.
//
// The formulas are those of the ops, so that zeros, infinities and NaN give what they give there.
#include "numbers.cuh"
#include "places.cuh"

const double ROOT_HALF = 0.70710678118654752;             // √(1/2)
const double DENSITY_AT_0 = 0.39894228040143268;          // √(1/2π)
const double ROOT_TWO_OVER_PI = 0.79788456080286536;      // √(2/π)
const double CUBIC = 0.044715;  // Hendrycks and Gimpel's fit

// ---- one number ---------------------------------------------------------------------------------

// Only exp and tanh of the work's own type: float64 is slow on most GPUs.
__device__ inline float exp_of(float x) { return expf(x); }
__device__ inline double exp_of(double x) { return exp(x); }
__device__ inline float tanh_of(float x) { return tanhf(x); }
__device__ inline double tanh_of(double x) { return tanh(x); }
__device__ inline float erf_of(float x) { return erff(x); }
__device__ inline double erf_of(double x) { return erf(x); }
__device__ inline float erfc_of(float x) { return erfcf(x); }
__device__ inline double erfc_of(double x) { return erfc(x); }
__device__ inline float magnitude(float x) { return fabsf(x); }
__device__ inline double magnitude(double x) { return fabs(x); }

template <class W> __device__ W logistic(W x) {  // never overflows, and keeps small values exact
  const W e = exp_of(-magnitude(x));
  return (x < 0 ? e : W(1)) / (1 + e);
}

// The share of a standard normal variable below x: what gelu weighs x by.
template <class W> __device__ W below(W x) { return erfc_of(x * W(-ROOT_HALF)) * W(0.5); }
template <class W> __device__ W about_below(W x) {
  return (1 + tanh_of((x + x * x * x * W(CUBIC)) * W(ROOT_TWO_OVER_PI))) * W(0.5);
}

struct Sigmoid {
  template <class W> static __device__ W of(W x) { return logistic(x); }
};
struct Silu {
  template <class W> static __device__ W of(W x) { return x * logistic(x); }
};
struct Gelu {
  template <class W> static __device__ W of(W x) { return x * below(x); }
};
struct GeluTanh {
  template <class W> static __device__ W of(W x) { return x * about_below(x); }
};
struct Erf {
  template <class W> static __device__ W of(W x) { return erf_of(x); }
};

struct ReluGrad {  // from relu's output; a NaN lets through
  template <class W> static __device__ W of(W out, W dy) { return out <= 0 ? W(0) : dy; }
};
struct SiluGrad {
  template <class W> static __device__ W of(W x, W dy) {
    const W s = logistic(x);
    return dy * (s * (1 + x * (1 - s)));
  }
};
struct GeluGrad {
  template <class W> static __device__ W of(W x, W dy) {
    return dy * (below(x) + x * (exp_of(x * x * W(-0.5)) * W(DENSITY_AT_0)));
  }
};
struct GeluTanhGrad {  // of (1 + tanh u) / 2: (1 - tanh² u) u' / 2
  template <class W> static __device__ W of(W x, W dy) {
    const W s = about_below(x), slope = (1 + x * x * W(3 * CUBIC)) * W(2 * ROOT_TWO_OVER_PI);
    return dy * (s + x * (s * (1 - s) * slope));
  }
};

// ---- arrays of n numbers ------------------------------------------------------------------------

template <class T> struct alignas(16) Pack {  // what one load or store moves
  static const int SIZE = 16 / sizeof(T);
  T values[SIZE];
};

template <class T> __device__ bool aligned(const T* array) {
  return reinterpret_cast<unsigned long long>(array) % sizeof(Pack<T>) == 0;
}

template <class F, class T> __device__ void map_one(const T* x, T* y, long long n) {
  const long long packs = aligned(x) && aligned(y) ? n / Pack<T>::SIZE : 0;
  const auto from = reinterpret_cast<const Pack<T>*>(x);
  const auto to = reinterpret_cast<Pack<T>*>(y);
  const long long first = first_place<long long>(), step = to_next<long long>();
  for (long long at = first; at < packs; at += step) {
    Pack<T> pack = from[at];
#pragma unroll  // so that the pack stays in registers
    for (int k = 0; k < Pack<T>::SIZE; ++k)
      pack.values[k] = rounded<T>(F::of(wide(pack.values[k])));
    to[at] = pack;
  }
  for (long long at = packs * Pack<T>::SIZE + first; at < n; at += step)
    y[at] = rounded<T>(F::of(wide(x[at])));
}

template <class F, class T> __device__ void map_two(const T* a, const T* b, T* y, long long n) {
  const long long packs = aligned(a) && aligned(b) && aligned(y) ? n / Pack<T>::SIZE : 0;
  const auto left = reinterpret_cast<const Pack<T>*>(a);
  const auto right = reinterpret_cast<const Pack<T>*>(b);
  const auto to = reinterpret_cast<Pack<T>*>(y);
  const long long first = first_place<long long>(), step = to_next<long long>();
  for (long long at = first; at < packs; at += step) {
    Pack<T> pack = left[at];
    const Pack<T> other = right[at];
#pragma unroll
    for (int k = 0; k < Pack<T>::SIZE; ++k)
      pack.values[k] = rounded<T>(F::of(wide(pack.values[k]), wide(other.values[k])));
    to[at] = pack;
  }
  for (long long at = packs * Pack<T>::SIZE + first; at < n; at += step)
    y[at] = rounded<T>(F::of(wide(a[at]), wide(b[at])));
}

// ---- entries ------------------------------------------------------------------------------------

#define ONE(F, what, T, name)                                                                     \
  extern "C" __global__ void what##_##name(const T* x, T* y, long long n) {                       \
    map_one<F>(x, y, n);                                                                          \
  }
#define TWO(F, what, T, name)                                                                     \
  extern "C" __global__ void what##_##name(const T* a, const T* b, T* y, long long n) {           \
    map_two<F>(a, b, y, n);                                                                       \
  }

#define ENTRIES(T, name)                                                                          \
  ONE(Sigmoid, sigmoid, T, name)                                                                  \
  ONE(Silu, silu, T, name)                                                                        \
  ONE(Gelu, gelu, T, name)                                                                        \
  ONE(GeluTanh, gelu_tanh, T, name)                                                               \
  ONE(Erf, erf, T, name)                                                                          \
  TWO(ReluGrad, relu_grad, T, name)                                                               \
  TWO(SiluGrad, silu_grad, T, name)                                                               \
  TWO(GeluGrad, gelu_grad, T, name)                                                               \
  TWO(GeluTanhGrad, gelu_tanh_grad, T, name)

ENTRIES(__half, float16)
ENTRIES(float, float32)
ENTRIES(double, float64)
