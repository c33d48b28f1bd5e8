// Sets of rows: how teams of threads walk over an array whose sets are rows of neighbours.
//
// The array is (groups, count, inner, length) numbers: a set is `count` rows of `length`, `inner`
// rows apart, so batch norm of images has a set for each channel.  A set is split into `parts` of
// `span` numbers; both depend on the shape alone.  A team has one part: blockDim.x threads, a warp or
// a whole block; blockDim.y teams are a block.
#pragma once
#include "norms.cuh"

struct Planes {
  long long sets, inner, count, length, parts, span;

  __device__ long long team() const {
    return static_cast<long long>(blockIdx.x) * blockDim.y + threadIdx.y;
  }
  __device__ long long set() const { return quotient(team(), parts); }
  __device__ long long size() const { return count * length; }  // of a set
  __device__ long long first(long long set) const {  // where it starts
    const long long group = quotient(set, inner);
    return (group * (count - 1) * inner + set) * length;
  }
};

// Numbers in a load of 16 bytes.
template <class T> constexpr int WIDE = 16 / sizeof(T);

// Loads that a thread has under way at once, of 16 bytes or of one number.
template <int V> constexpr int DEEP = V == 1 ? 8 : 4;

// Whether rows are whole loads of 16 bytes.
template <class T, class... Arrays>
__device__ bool wide_rows(const Planes& planes, const Arrays*... arrays) {
  return planes.length % WIDE<T> == 0 && (aligned(arrays) && ...);
}

template <int V> struct Width {
  static constexpr int VALUE = V;
};

// Runs with the widest loads that rows and arrays allow; of half 8 bytes too (14 x 14 is a row of 4).
template <class T, class Run, class... Arrays>
__device__ void by_width(const Planes& planes, Run run, const Arrays*... arrays) {
  if (wide_rows<T>(planes, arrays...)) return run(Width<WIDE<T>>());
  if constexpr (sizeof(T) == 2)
    if (planes.length % 4 == 0 && (aligned(arrays) && ...)) return run(Width<4>());
  run(Width<1>());
}

// A team's sums in all of its threads, in an order of its own.
__device__ inline Sums over_team(Sums sums) {
  if (blockDim.x == WARP) return {over_warp<Sum>(sums.a), over_warp<Sum>(sums.b)};
  block_sums(sums.a, sums.b);
  return sums;
}

// The sums of a whole set, from those of its parts.
__device__ inline Sums over_parts(const double* partials, long long set, long long parts) {
  Sums sums = {0, 0};
  for (long long part = threadIdx.x; part < parts; part += blockDim.x) {
    sums.a += partials[2 * (set * parts + part)];
    sums.b += partials[2 * (set * parts + part) + 1];
  }
  return over_team(sums);
}

__device__ inline void keep(double* partials, long long part, Sums sums) {
  if (threadIdx.x) return;
  partials[2 * part] = sums.a;
  partials[2 * part + 1] = sums.b;
}

// Tells `step` where a thread's next units of V numbers are: `live` of BATCH offsets, to be read at
// once.  What a first pass read last is what the caches still hold, so a second pass goes backwards.
template <int V, int BATCH, class Step>
__device__ inline void walk(const Planes& planes, long long set, long long part, bool backwards,
                            Step step) {
  const long long row = planes.length / V, stride = planes.inner * planes.length;
  const long long from = planes.first(set), begin = part * planes.span / V;
  const long long end = min(begin + planes.span / V, planes.count * row);
  const long long lap = blockDim.x * BATCH, laps = quotient(end - begin + lap - 1, lap);
  const long long rows = quotient(blockDim.x, row), rest = blockDim.x - rows * row;
#pragma unroll 1  // the batch is what is unrolled
  for (long long k = 0; k < laps; ++k) {
    long long unit = begin + (backwards ? laps - 1 - k : k) * lap + threadIdx.x;
    long long n = quotient(unit, row), i = unit - n * row;
    long long offset[BATCH];
    int live = 0;
#pragma unroll
    for (int u = 0; u < BATCH; ++u) {
      offset[u] = from + n * stride + i * V;
      live += unit < end;
      unit += blockDim.x, n += rows, i += rest;
      if (i >= row) i -= row, ++n;
    }
    if (live) step(offset, live);
  }
}

// Loads of a batch; what is not live is not read.
template <int V, int BATCH, class T>
__device__ inline void load_batch(Pack<T, V> (&packs)[BATCH], const T* from,
                                  const long long (&offset)[BATCH], int live) {
#pragma unroll
  for (int u = 0; u < BATCH; ++u)
    if (u < live) packs[u] = loaded<V>(from + offset[u]);
}

// Σ (x - first) and Σ (x - first)² of a thread's share.
template <int V, int BATCH, class T>
__device__ inline Sums moments(const T* x, const Planes& planes, long long set, long long part,
                               double first) {
  using W = Work<T>;
  Sums sums = {0, 0};
  walk<V, BATCH>(planes, set, part, false, [&](const long long (&offset)[BATCH], int live) {
    Pack<T, V> xs[BATCH];
    load_batch(xs, x, offset, live);
    const W near = wide(xs[0].at[0]);
    W s = 0, q = 0;
#pragma unroll
    for (int u = 0; u < BATCH; ++u) {
      if (u >= live) continue;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const W c = wide(xs[u].at[v]) - near;
        s += c, q += c * c;
      }
    }
    take_in(sums, first, near, live * V, s, q);
  });
  return sums;
}

// Σ h and Σ h (x - m) of a thread's share.
template <int V, int BATCH, bool RELU, class T>
__device__ inline Sums products(const T* x, const T* out, const T* dy, const Planes& planes,
                                long long set, long long part, Work<T> m) {
  using W = Work<T>;
  Sums sums = {0, 0};
  walk<V, BATCH>(planes, set, part, false, [&](const long long (&offset)[BATCH], int live) {
    Pack<T, V> xs[BATCH], outs[BATCH], dys[BATCH];
    load_batch(xs, x, offset, live);
    load_batch(dys, dy, offset, live);
    if (RELU) load_batch(outs, out, offset, live);
    W s = 0, t = 0;
#pragma unroll
    for (int u = 0; u < BATCH; ++u) {
      if (u >= live) continue;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const W h = through(RELU, RELU ? wide(outs[u].at[v]) : W(0), wide(dys[u].at[v]));
        s += h, t += h * (wide(xs[u].at[v]) - m);
      }
    }
    sums.a += s, sums.b += t;
  });
  return sums;
}

// y of a thread's share.
template <int V, int BATCH, class T>
__device__ inline void write_line(const T* x, T* y, const Planes& planes, long long set,
                                  long long part, Line<Work<T>> line, Work<T> least) {
  walk<V, BATCH>(planes, set, part, true, [&](const long long (&offset)[BATCH], int live) {
    Pack<T, V> xs[BATCH];
    load_batch(xs, x, offset, live);
#pragma unroll
    for (int u = 0; u < BATCH; ++u) {
      if (u >= live) continue;
#pragma unroll
      for (int v = 0; v < V; ++v) xs[u].at[v] = rounded<T>(line.of(wide(xs[u].at[v]), least));
      store(y + offset[u], xs[u]);
    }
  });
}

// dx of a thread's share.
template <int V, int BATCH, bool RELU, class T>
__device__ inline void write_slope(const T* x, const T* out, const T* dy, T* dx,
                                   const Planes& planes, long long set, long long part,
                                   Slope<Work<T>> slope) {
  using W = Work<T>;
  walk<V, BATCH>(planes, set, part, true, [&](const long long (&offset)[BATCH], int live) {
    Pack<T, V> xs[BATCH], outs[BATCH], dys[BATCH];
    load_batch(xs, x, offset, live);
    load_batch(dys, dy, offset, live);
    if (RELU) load_batch(outs, out, offset, live);
#pragma unroll
    for (int u = 0; u < BATCH; ++u) {
      if (u >= live) continue;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const W h = through(RELU, RELU ? wide(outs[u].at[v]) : W(0), wide(dys[u].at[v]));
        xs[u].at[v] = rounded<T>(slope.of(wide(xs[u].at[v]), h));
      }
      store(dx + offset[u], xs[u]);
    }
  });
}
