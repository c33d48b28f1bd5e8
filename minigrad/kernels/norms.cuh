// What the normalisations share: the arithmetic of statistics, and loads of several numbers.
//
// One read of x gives mean and variance.  Each thread takes a batch of numbers at a time, and adds up
// their distances to the first of the batch in what the dtype computes in; that is exact to rounding
// wherever the numbers are, because one of them is the shift.  The batch's sums then move to the
// first number of the whole set, in double, where n values far from it cost their logarithm of
// digits, of 16.  So a constant set gives exactly 0 for all sums, and no order of the values is bad.
#pragma once
#include "numbers.cuh"
#include "reduce.cuh"

// V neighbours in memory: one load, at most 16 bytes wide.
template <class T, int V> struct alignas(sizeof(T) * V < 16 ? sizeof(T) * V : 16) Pack {
  T at[V];
};

template <int V, class T> __device__ inline Pack<T, V> loaded(const T* from) {
  return *reinterpret_cast<const Pack<T, V>*>(from);
}

template <int V, class T> __device__ inline void store(T* to, const Pack<T, V>& pack) {
  *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

// Whether loads of 16 bytes may start here; so they may if there is nothing.
template <class T> __device__ inline bool aligned(const T* pointer) {
  return reinterpret_cast<unsigned long long>(pointer) % 16 == 0;
}

__device__ __attribute__((noinline)) inline long long long_quotient(long long a, long long b) {
  return a / b;  // a GPU does it in a hundred instructions, which are not to stand everywhere
}

__device__ inline long long quotient(long long a, long long b) {
  if ((a | b) >> 32 == 0) return static_cast<unsigned>(a) / static_cast<unsigned>(b);
  return long_quotient(a, b);
}

// Two sums, of a part of a set or of all of it.
struct Sums {
  double a, b;
};

// Σ (x - first) and Σ (x - first)² take in those of `n` numbers about `near`.
template <class W> __device__ inline void take_in(Sums& sums, double first, W near, int n, W s, W q) {
  const double off = static_cast<double>(near) - first;
  sums.a += n * off + s;
  sums.b += q + off * (2 * static_cast<double>(s) + n * off);
}

// Weights, biases or given statistics: an array of x's dtype, or of what it computes in, or a number.
template <class T> struct Values {
  const T* own;
  const Work<T>* computed;
  double number;

  __device__ Work<T> at(long long i) const {
    if (computed) return computed[i];
    return own ? wide(own[i]) : static_cast<Work<T>>(number);
  }
  __device__ double operator[](long long i) const { return computed || own ? at(i) : number; }

  // V of them from i on, in loads of 16 bytes where V is more than 1.
  template <int V> __device__ Pack<Work<T>, V> several(long long i) const {
    if (computed) return loaded<V>(computed + i);
    Pack<Work<T>, V> found;
    Pack<T, V> pack;
    if (own) pack = loaded<V>(own + i);
    for (int v = 0; v < V; ++v)
      found.at[v] = own ? wide(pack.at[v]) : static_cast<Work<T>>(number);
    return found;
  }
};

// What a forward tells of its sets: mean and variance, and for the backward mean = m + d, and r.
template <class W> struct Statistics {
  W *mean, *var, *m, *d;
  double* r;
};

// What a backward is told of its sets.
template <class W> struct Hinted {
  const W *m, *d;
  const double* r;
};

// (x - m) · scale + shift: what becomes of a set's numbers.
template <class W> struct Line {
  W m, scale, shift;

  __device__ Line() {}

  // gamma · (x - m - d) · r + beta; m is the nearest to the mean, so that a constant's x - m is 0
  __device__ Line(W m, double d, double r, double gamma, double beta)
      : m(m), scale(r * gamma), shift(beta - d * (r * gamma)) {}

  // A negative variance is impossible: the shifts are numbers of the set, so that no more than
  // n times the variance cancels.
  __device__ Line(Sums sums, double first, double n, double gamma, double beta, double eps,
                  const Statistics<W>& found, long long set, bool writes) {
    const double off = sums.a / n, var = sums.b / n - off * off, r = 1 / sqrt(var + eps);
    const W near = static_cast<W>(first + off), rest = (first - near) + off;
    *this = Line(near + rest, rest, r, gamma, beta);  // which is `near`, or NaN if that is infinite
    if (!writes) return;
    found.mean[set] = found.m[set] = m;
    found.var[set] = var;
    found.d[set] = rest;
    found.r[set] = r;
  }

  __device__ W of(W x, W least) const {
    const W z = (x - m) * scale + shift;
    return z < least ? least : z;  // NaN stays
  }
};

// The derivative's pieces of a set: dx = ((x - m) · slope + h · weight + shift) · scale.
template <class W> struct Slope {
  W m, slope, weight, shift, scale;

  // dgamma = Σ h x̂ and dbeta = Σ h, from Σ h and Σ h (x - m)
  static __device__ double dgamma(Sums sums, double d, double r) { return (sums.b - d * sums.a) * r; }

  __device__ Slope() {}

  // Of sums that hold all weights but `outside`, which is one for the whole set.
  __device__ Slope(Sums sums, W m, double d, double r, double n, double outside, double weight = 1)
      : m(m), weight(weight) {
    const double by = dgamma(sums, d, r) * r / n;
    slope = -by, shift = d * by - sums.a / n, scale = r * outside;
  }

  __device__ W of(W x, W h) const { return ((x - m) * slope + (h * weight + shift)) * scale; }
};

// Where the derivatives go.
template <class T> struct Gradients {
  T* dx;  // null if nobody wants it
  Work<T> *dgamma, *dbeta;

  __device__ void write(long long set, Sums sums, const Hinted<Work<T>>& hint) const {
    dgamma[set] = Slope<Work<T>>::dgamma(sums, hint.d[set], hint.r[set]);
    dbeta[set] = sums.a;
  }
};

// What relu let through of dy, if there was a relu: out is what it gave, and NaN lets through.
template <class W> __device__ inline W through(bool relu, W out, W dy) {
  return relu && out <= 0 ? W(0) : dy;
}

template <class W> __device__ inline W least_of(long long relu) {
  return relu ? W(0) : -infinity<W>();
}
