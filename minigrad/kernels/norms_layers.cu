// Layer and group norm: weights that differ within what is normalised together.
//
// The array is (sets, length) numbers.  Weight number `(set % places) · own + i / each` is that of a
// set's i-th number: layer norm has one place, and each is 1; group norm has a place for each group,
// and each channel is `each` pixels.  The forward's first launch, where there are two, is
// norm_statistics; the backward of images is norm_sums and group_backward, all else's is
// layer_backward and layer_add_up.
#include "norms_planes.cuh"

struct Weighting {
  long long places, own, each;

  __device__ long long first(long long set) const { return (set % places) * own; }
};

// The weights of a set's numbers from i on.
template <int V, class T>
__device__ inline Pack<Work<T>, V> weights(const Values<T>& values, const Weighting& weighting,
                                           long long from, long long i) {
  if (weighting.each == 1) return values.template several<V>(from + i);
  Pack<Work<T>, V> found;
  const Work<T> one = values.at(from + quotient(i, weighting.each));
  for (int v = 0; v < V; ++v) found.at[v] = one;
  return found;
}

// Whether V numbers from a multiple of V on have one load's weights.
template <class T> __device__ bool whole(const Values<T>& values, const Weighting& weighting) {
  if (weighting.each > 1) return weighting.each % WIDE<T> == 0;
  return weighting.own % WIDE<T> == 0 && aligned(values.own) && aligned(values.computed);
}

template <class T, int V>
__device__ void forward(const T* x, const double* partials, Values<T> gamma, Values<T> beta,
                        Weighting weighting, double eps, T* y, Statistics<Work<T>> found,
                        const Planes& planes) {
  using W = Work<T>;
  const int BATCH = DEEP<V> / 2;  // there are weights to hold as well
  const long long set = planes.set(), part = planes.team() - set * planes.parts;
  const double first = wide(x[planes.first(set)]);
  const Sums sums = partials ? over_parts(partials, set, planes.parts)
                             : over_team(moments<V, DEEP<V>>(x, planes, set, part, first));
  const bool writes = part == 0 && threadIdx.x == 0;
  const Line<W> line(sums, first, planes.size(), 1, 0, eps, found, set, writes);
  const long long start = planes.first(set), from = weighting.first(set);
  walk<V, BATCH>(planes, set, part, true, [&](const long long (&offset)[BATCH], int live) {
    Pack<T, V> xs[BATCH];
    load_batch(xs, x, offset, live);
#pragma unroll
    for (int u = 0; u < BATCH; ++u) {
      if (u >= live) continue;
      const Pack<W, V> scale = weights<V>(gamma, weighting, from, offset[u] - start);
      const Pack<W, V> shift = weights<V>(beta, weighting, from, offset[u] - start);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const W xhat = line.of(wide(xs[u].at[v]), -infinity<W>());
        xs[u].at[v] = rounded<T>(xhat * scale.at[v] + shift.at[v]);
      }
      store(y + offset[u], xs[u]);
    }
  });
}

// dx of `span` rows of one place, and what they give to dgamma and dbeta.
//
// A block reads a row for its sums, and again, from the cache, for the rest.  Each thread has the
// same columns of all rows, and adds up theirs in shared memory, or in `partials` if a row is too
// long for it: (places, slices, 2, own).
template <class T, int V>
__device__ void layer_backward(const T* x, const T* dy, Values<T> gamma, Hinted<Work<T>> hint,
                               T* dx, Work<T>* partials, Work<T>* held, long long sets,
                               long long own, long long places, long long slices, long long span) {
  using W = Work<T>;
  const long long place = blockIdx.x % places, slice = blockIdx.x / places;
  W* const out = partials + (place * slices + slice) * 2 * own;
  W* const sums = held ? held : out;
  const long long begin = threadIdx.x * V, step = blockDim.x * V;
  for (long long i = begin; i < own; i += step)
    for (int v = 0; v < V; ++v) sums[i + v] = sums[own + i + v] = 0;
  const long long last = min((slice + 1) * span, sets / places);
  for (long long row = slice * span; row < last; ++row) {
    const long long set = row * places + place;
    const T *xs = x + set * own, *dys = dy + set * own;
    const W m = hint.m[set];
    Sums found = {0, 0};
#pragma unroll 2
    for (long long i = begin; i < own; i += step) {
      const Pack<T, V> a = loaded<V>(xs + i), b = loaded<V>(dys + i);
      const Pack<W, V> scale = gamma.template several<V>(place * own + i);
      W s = 0, t = 0;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const W h = wide(b.at[v]) * scale.at[v];
        s += h, t += h * (wide(a.at[v]) - m);
      }
      found.a += s, found.b += t;
    }
    block_sums(found.a, found.b);
    const double d = hint.d[set], r = hint.r[set];
    const Slope<W> slope(found, m, d, r, own, 1);
    const Line<W> line(m, d, r, 1, 0);
#pragma unroll 2
    for (long long i = begin; i < own; i += step) {
      Pack<T, V> a = loaded<V>(xs + i);
      const Pack<T, V> b = loaded<V>(dys + i);
      const Pack<W, V> scale = gamma.template several<V>(place * own + i);
      Pack<W, V> dgamma = loaded<V>(sums + i), dbeta = loaded<V>(sums + own + i);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const W h = wide(b.at[v]), number = wide(a.at[v]);
        dgamma.at[v] += h * line.of(number, -infinity<W>());
        dbeta.at[v] += h;
        a.at[v] = rounded<T>(slope.of(number, h * scale.at[v]));
      }
      store(sums + i, dgamma);
      store(sums + own + i, dbeta);
      store(dx + set * own + i, a);
    }
  }
  if (!held) return;
  for (long long i = begin; i < own; i += step)  // each thread its own columns: no barrier
    for (int v = 0; v < V; ++v) out[i + v] = sums[i + v], out[own + i + v] = sums[own + i + v];
}

// dgamma and dbeta from the slices': 32 columns of a block, over rows of threads.
template <class W>
__device__ void layer_add_up(const W* partials, W* dgamma, W* dbeta, long long own,
                             long long places, long long slices) {
  __shared__ Sums shared[32][WARP];
  const long long column = static_cast<long long>(blockIdx.x) * WARP + threadIdx.x;
  const long long place = quotient(column, own), i = column - place * own;
  const bool there = place < places;
  Sums sums = {0, 0};
#pragma unroll 4
  for (long long slice = threadIdx.y; there && slice < slices; slice += blockDim.y) {
    const W* pair = partials + (place * slices + slice) * 2 * own + i;
    sums.a += pair[0];
    sums.b += pair[own];
  }
  shared[threadIdx.y][threadIdx.x] = sums;
  __syncthreads();
  if (threadIdx.y || !there) return;
  for (int y = 1; y < blockDim.y; ++y) {
    sums.a += shared[y][threadIdx.x].a;
    sums.b += shared[y][threadIdx.x].b;
  }
  dgamma[column] = sums.a;
  dbeta[column] = sums.b;
}

// dx, dgamma and dbeta of group norm of images: `planes` are those of single channels, `channels` of
// each sample, `own` of each group; `partials` are their Σ dy and Σ dy (x - m).
template <class T, int V>
__device__ void group_backward(const T* x, const T* dy, const double* partials, Values<T> gamma,
                               Hinted<Work<T>> hint, Gradients<T> to, long long channels,
                               long long own, const Planes& planes) {
  using W = Work<T>;
  const long long set = planes.set(), parts = planes.parts, part = planes.team() - set * parts;
  const long long group = quotient(set, own), channel = set % channels;
  const double d = hint.d[group], r = hint.r[group];
  Sums all = {0, 0};
  for (long long i = threadIdx.x; i < own * parts; i += blockDim.x) {
    const long long at = group * own * parts + i;
    const double weight = gamma[quotient(at, parts) % channels];
    all.a += weight * partials[2 * at];
    all.b += weight * partials[2 * at + 1];
  }
  all = over_team(all);
  if (part == 0 && set < channels) {
    Sums sums = {0, 0};
    const long long samples = planes.sets / channels;
    for (long long i = threadIdx.x; i < samples * parts; i += blockDim.x) {
      const long long sample = quotient(i, parts), from = sample * channels + channel;
      const long long its = quotient(from, own), at = from * parts + i - sample * parts;
      const Sums pair = {partials[2 * at], partials[2 * at + 1]};
      sums.a += pair.a;
      sums.b += Slope<W>::dgamma(pair, hint.d[its], hint.r[its]);
    }
    sums = over_team(sums);
    if (threadIdx.x == 0) to.dgamma[channel] = sums.b, to.dbeta[channel] = sums.a;
  }
  const double n = static_cast<double>(own) * planes.size();
  const Slope<W> slope(all, hint.m[group], d, r, n, 1, gamma[channel]);
  write_slope<V, DEEP<V> / 2, false>(x, x, dy, to.dx, planes, set, part, slope);
}

// ---- the entries, for each dtype T, which is computed in W

#define BOUNDS __launch_bounds__(256, 3)
#define PLANES \
  long long sets, long long inner, long long count, long long length, long long parts, long long span
#define ONE_TEAM                                                  \
  const Planes planes{sets, inner, count, length, parts, span}; \
  if (planes.team() >= sets * parts) return
#define VALUES(T, W, name) const T *name##_own, const W *name##_computed, double name##_number
#define GIVEN(T, name) Values<T>{name##_own, name##_computed, name##_number}

#define ENTRIES(T, W, dtype)                                                                      \
  extern "C" __global__ void BOUNDS layer_forward_##dtype(                                        \
      const T* x, const double* partials, VALUES(T, W, gamma), VALUES(T, W, beta),                \
      long long places, long long own, long long each, double eps, T* y, W* mean, W* var, W* m,   \
      W* d, double* r, PLANES) {                                                                  \
    ONE_TEAM;                                                                                     \
    const Weighting weighting{places, own, each};                                                 \
    const Values<T> scale = GIVEN(T, gamma), shift = GIVEN(T, beta);                              \
    const Statistics<W> found{mean, var, m, d, r};                                                \
    if (wide_rows<T>(planes, x, y) && whole(scale, weighting) && whole(shift, weighting))         \
      forward<T, WIDE<T>>(x, partials, scale, shift, weighting, eps, y, found, planes);           \
    else forward<T, 1>(x, partials, scale, shift, weighting, eps, y, found, planes);              \
  }                                                                                               \
  extern "C" __global__ void BOUNDS layer_backward_##dtype(                                       \
      const T* x, const T* dy, VALUES(T, W, gamma), const W* m, const W* d, const double* r,      \
      T* dx, W* partials, long long holds, long long sets, long long own, long long places,       \
      long long slices, long long span) {                                                         \
    extern __shared__ double dynamic[];                                                           \
    W* held = holds ? reinterpret_cast<W*>(dynamic) : nullptr;                                    \
    const Values<T> scale = GIVEN(T, gamma);                                                      \
    const bool wide_loads = whole(scale, {places, own, 1}) && aligned(x) && aligned(dy) &&        \
                            aligned(dx) && aligned(partials);                                     \
    if (wide_loads)                                                                               \
      layer_backward<T, WIDE<T>>(x, dy, scale, {m, d, r}, dx, partials, held, sets, own, places,  \
                                 slices, span);                                                   \
    else layer_backward<T, 1>(x, dy, scale, {m, d, r}, dx, partials, held, sets, own, places,     \
                              slices, span);                                                      \
  }                                                                                               \
  extern "C" __global__ void layer_add_up_##dtype(const W* partials, W* dgamma, W* dbeta,         \
                                                  long long own, long long places,                \
                                                  long long slices) {                             \
    layer_add_up(partials, dgamma, dbeta, own, places, slices);                                   \
  }                                                                                               \
  extern "C" __global__ void BOUNDS group_backward_##dtype(                                       \
      const T* x, const T* dy, const double* partials, VALUES(T, W, gamma), const W* m,           \
      const W* d, const double* r, T* dx, W* dgamma, W* dbeta, long long channels, long long own, \
      PLANES) {                                                                                   \
    ONE_TEAM;                                                                                     \
    const Values<T> scale = GIVEN(T, gamma);                                                      \
    const Gradients<T> to{dx, dgamma, dbeta};                                                     \
    const auto run = [&](auto width) {                                                            \
      group_backward<T, decltype(width)::VALUE>(x, dy, partials, scale, {m, d, r}, to, channels,  \
                                                own, planes);                                     \
    };                                                                                            \
    by_width<T>(planes, run, x, dy, dx);                                                          \
  }

FOR_float16(ENTRIES(__half, float, float16))
FOR_float32(ENTRIES(float, float, float32))
FOR_float64(ENTRIES(double, double, float64))
