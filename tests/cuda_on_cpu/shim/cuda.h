// CUDA C++ as C++: what kernels may use of the language, of its functions and of cuda_fp16.h.
//
// It stands before a kernel's text, in which shared memory, barriers and entries have been rewritten
// (text.py).  What is not here does not compile, so that it is noticed when a kernel first uses it.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "threads.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

const int warpSize = 32;

// ---- lanes of a warp

template <class T> T shuffled(unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  unsigned long long bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = on_cpu::exchange(mask, bits, source);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  const int lane = on_cpu::lane();
  return shuffled(mask, value, lane / width * width + (source & (width - 1)));
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned step, int width = 32) {
  const int lane = on_cpu::lane();
  return shuffled(mask, value, lane % width + int(step) < width ? lane + int(step) : lane);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned step, int width = 32) {
  const int lane = on_cpu::lane();
  return shuffled(mask, value, lane % width >= int(step) ? lane - int(step) : lane);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  const int lane = on_cpu::lane(), source = lane ^ bits;
  return shuffled(mask, value, source / width > lane / width ? lane : source);
}
inline unsigned __ballot_sync(unsigned mask, int value) { return on_cpu::vote(mask, value); }
inline int __any_sync(unsigned mask, int value) { return on_cpu::vote(mask, value) != 0; }
inline int __all_sync(unsigned mask, int value) { return on_cpu::vote(mask, !value) == 0; }

// ---- atomic operations: one fiber runs at a time.  Not of floats, whose sums depend on the order.

template <class T, class F> T atomically(T* place, F change) {
  static_assert(std::is_integral_v<T>, "floats are added in an order that is fixed: no atomics");
  const T before = *place;
  *place = change(before);
  return before;
}
template <class T> using Same = std::enable_if_t<true, T>;  // so that only `place` tells the type
template <class T> T atomicAdd(T* place, Same<T> v) {
  return atomically(place, [&](T a) { return a + v; });
}
template <class T> T atomicSub(T* place, Same<T> v) {
  return atomically(place, [&](T a) { return a - v; });
}
template <class T> T atomicMax(T* place, Same<T> v) {
  return atomically(place, [&](T a) { return a > v ? a : v; });
}
template <class T> T atomicMin(T* place, Same<T> v) {
  return atomically(place, [&](T a) { return a < v ? a : v; });
}
template <class T> T atomicAnd(T* place, Same<T> v) {
  return atomically(place, [&](T a) { return a & v; });
}
template <class T> T atomicOr(T* place, Same<T> v) {
  return atomically(place, [&](T a) { return a | v; });
}
template <class T> T atomicExch(T* place, Same<T> v) {
  return atomically(place, [&](T) { return v; });
}
template <class T> T atomicCAS(T* place, Same<T> expected, Same<T> v) {
  return atomically(place, [&](T a) { return a == expected ? v : a; });
}
inline unsigned atomicInc(unsigned* place, unsigned last) {
  return atomically(place, [&](unsigned a) { return a >= last ? 0 : a + 1; });
}
inline void __threadfence() {}
inline void __threadfence_block() {}

// ---- vectors: loads of several numbers, which the sanitizer holds to their alignment

#define VECTORS(T, bytes)                                                                     \
  struct alignas(2 * bytes) T##2 { T x, y; };                                                 \
  struct alignas(4 * bytes > 16 ? 16 : 4 * bytes) T##4 { T x, y, z, w; };                     \
  inline T##2 make_##T##2(T x, T y) { return {x, y}; }                                        \
  inline T##4 make_##T##4(T x, T y, T z, T w) { return {x, y, z, w}; }
VECTORS(float, 4)
VECTORS(int, 4)
VECTORS(double, 8)
using uint = unsigned;
VECTORS(uint, 4)
#undef VECTORS

// ---- half: converted and computed as by the GPU, rounded after each operation

using __half = _Float16;
using half = __half;
struct alignas(4) __half2 {
  __half x, y;
};
using half2 = __half2;
inline float __half2float(__half x) { return x; }
inline __half __float2half(float x) { return x; }
inline __half __float2half_rn(float x) { return x; }
inline __half __double2half(double x) { return x; }
inline float __low2float(__half2 v) { return v.x; }
inline float __high2float(__half2 v) { return v.y; }
inline float2 __half22float2(__half2 v) { return {float(v.x), float(v.y)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline __half2 __float22half2_rn(float2 v) { return {__half(v.x), __half(v.y)}; }

// ---- bits, loads and mathematics

template <class To, class From> To same_bits(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __int_as_float(int x) { return same_bits<float>(x); }
inline int __float_as_int(float x) { return same_bits<int>(x); }
inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline double __longlong_as_double(long long x) { return same_bits<double>(x); }
inline long long __double_as_longlong(double x) { return same_bits<long long>(x); }
inline __half __ushort_as_half(unsigned short x) { return same_bits<__half>(x); }
inline unsigned short __half_as_ushort(__half x) { return same_bits<unsigned short>(x); }
template <class T> T __ldg(const T* place) { return *place; }

using std::abs, std::exp, std::exp2, std::expm1, std::log, std::log1p, std::log2, std::sqrt;
using std::cbrt, std::ceil, std::cos, std::erf, std::erfc, std::fabs, std::floor, std::fma;
using std::copysign, std::fmod, std::isfinite, std::isinf, std::isnan, std::pow, std::rint;
using std::round, std::sin, std::tanh, std::trunc, std::hypot, std::signbit;
inline float rsqrt(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline float rsqrtf(float x) { return rsqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline double __fma_rn(double x, double y, double z) { return std::fma(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline double __dsqrt_rn(double x) { return std::sqrt(x); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }

// CUDA's min and max: of any two numbers; of floats they leave out a NaN
template <class A, class B> std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmax(T(a), T(b));
  else return T(a) < T(b) ? T(b) : T(a);
}
template <class A, class B> std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmin(T(a), T(b));
  else return T(b) < T(a) ? T(b) : T(a);
}

// ---- entries: from the addresses of the arguments to a call

namespace on_cpu {

template <class... P, size_t... I>
void unpack(void (*kernel)(P...), void** arguments, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_const_t<P>*>(arguments[I])...);
}

template <class... P> void call(void (*kernel)(P...), void** arguments) {
  unpack(kernel, arguments, std::index_sequence_for<P...>());
}

}  // namespace on_cpu

#define CUDA_ON_CPU_ENTRY(name)                                                         \
  extern "C" __attribute__((visibility("default"))) void call_##name(void** arguments) { \
    on_cpu::call(name, arguments);                                                      \
  }
