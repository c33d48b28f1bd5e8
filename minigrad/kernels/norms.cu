// Batch norm of images, and all else whose sets are rows of neighbours (norms_planes.cuh).
//
// Where a set has one part, a team finds its sums and goes over it a second time while it is in the
// caches: one launch.  Else a first launch writes the parts' sums (`partials`), and in the second
// every team adds up those of its set: two launches, and no order that could vary.
#include "norms_planes.cuh"

template <class T, int V>
__device__ void statistics(const T* x, double* partials, const Planes& planes) {
  const long long set = planes.set(), part = planes.team() - set * planes.parts;
  const double first = wide(x[planes.first(set)]);
  keep(partials, planes.team(), over_team(moments<V, DEEP<V>>(x, planes, set, part, first)));
}

template <class T, int V>
__device__ void forward(const T* x, const double* partials, Values<T> gamma, Values<T> beta,
                        double eps, long long relu, T* y, Statistics<Work<T>> found,
                        const Planes& planes) {
  using W = Work<T>;
  const long long set = planes.set(), part = planes.team() - set * planes.parts;
  const double first = wide(x[planes.first(set)]);
  const Sums sums = partials ? over_parts(partials, set, planes.parts)
                             : over_team(moments<V, DEEP<V>>(x, planes, set, part, first));
  const bool writes = part == 0 && threadIdx.x == 0;
  const Line<W> line(sums, first, planes.size(), gamma[set], beta[set], eps, found, set, writes);
  write_line<V, DEEP<V>>(x, y, planes, set, part, line, least_of<W>(relu));
}

template <class T, int V>
__device__ void given_line(const T* x, Values<T> mean, Values<T> var, Values<T> gamma,
                           Values<T> beta, double eps, long long relu, T* y,
                           const Planes& planes) {
  using W = Work<T>;
  const long long set = planes.set(), part = planes.team() - set * planes.parts;
  const W m = static_cast<W>(mean[set]);
  const Line<W> line(m, 0, 1 / sqrt(var[set] + eps), gamma[set], beta[set]);
  write_line<V, DEEP<V>>(x, y, planes, set, part, line, least_of<W>(relu));
}

// Rows of several sets may share an m: those of group norm's group.
template <class T, int V, bool RELU>
__device__ void sums_of(const T* x, const T* out, const T* dy, const Work<T>* m, long long sharing,
                        double* partials, const Planes& planes) {
  const long long set = planes.set(), part = planes.team() - set * planes.parts;
  const Work<T> near = m[quotient(set, sharing)];
  const Sums own = products<V, DEEP<V> / 2, RELU>(x, out, dy, planes, set, part, near);
  keep(partials, planes.team(), over_team(own));
}

// dgamma and dbeta, and dx where somebody wants it.
template <class T, int V, bool RELU>
__device__ void backward(const T* x, const T* out, const T* dy, const double* partials,
                         Values<T> gamma, Hinted<Work<T>> hint, Gradients<T> to,
                         const Planes& planes) {
  using W = Work<T>;
  const long long set = planes.set(), part = planes.team() - set * planes.parts;
  const W m = hint.m[set];
  const Sums sums =
      partials ? over_parts(partials, set, planes.parts)
               : over_team(products<V, DEEP<V> / 2, RELU>(x, out, dy, planes, set, part, m));
  if (part == 0 && threadIdx.x == 0) to.write(set, sums, hint);
  if (!to.dx) return;
  const Slope<W> slope(sums, m, hint.d[set], hint.r[set], planes.size(), gamma[set]);
  write_slope<V, DEEP<V> / 2, RELU>(x, out, dy, to.dx, planes, set, part, slope);
}

// 3 blocks on a multiprocessor leave each thread 80 registers, which hold its loads under way.
#define BOUNDS __launch_bounds__(256, 3)

// ---- the entries, for each dtype T, which is computed in W

#define PLANES \
  long long sets, long long inner, long long count, long long length, long long parts, long long span
#define ONE_TEAM                                                  \
  const Planes planes{sets, inner, count, length, parts, span}; \
  if (planes.team() >= sets * parts) return
#define VALUES(T, W, name) const T *name##_own, const W *name##_computed, double name##_number
#define GIVEN(T, name) Values<T>{name##_own, name##_computed, name##_number}

#define WIDTH decltype(width)::VALUE

#define ENTRIES(T, W, dtype)                                                                      \
  extern "C" __global__ void BOUNDS norm_statistics_##dtype(const T* x, double* partials,         \
                                                            PLANES) {                             \
    ONE_TEAM;                                                                                     \
    by_width<T>(planes, [&](auto width) { statistics<T, WIDTH>(x, partials, planes); }, x);       \
  }                                                                                               \
  extern "C" __global__ void BOUNDS norm_forward_##dtype(                                         \
      const T* x, const double* partials, VALUES(T, W, gamma), VALUES(T, W, beta), double eps,    \
      long long relu, T* y, W* mean, W* var, W* m, W* d, double* r, PLANES) {                     \
    ONE_TEAM;                                                                                     \
    const Statistics<W> found{mean, var, m, d, r};                                                \
    const Values<T> scale = GIVEN(T, gamma), shift = GIVEN(T, beta);                              \
    const auto run = [&](auto width) {                                                            \
      forward<T, WIDTH>(x, partials, scale, shift, eps, relu, y, found, planes);                  \
    };                                                                                            \
    by_width<T>(planes, run, x, y);                                                               \
  }                                                                                               \
  extern "C" __global__ void BOUNDS norm_line_##dtype(                                            \
      const T* x, VALUES(T, W, mean), VALUES(T, W, var), VALUES(T, W, gamma),                     \
      VALUES(T, W, beta), double eps, long long relu, T* y, PLANES) {                             \
    ONE_TEAM;                                                                                     \
    const Values<T> at = GIVEN(T, mean), spread = GIVEN(T, var);                                  \
    const Values<T> scale = GIVEN(T, gamma), shift = GIVEN(T, beta);                              \
    const auto run = [&](auto width) {                                                            \
      given_line<T, WIDTH>(x, at, spread, scale, shift, eps, relu, y, planes);                    \
    };                                                                                            \
    by_width<T>(planes, run, x, y);                                                               \
  }                                                                                               \
  extern "C" __global__ void BOUNDS norm_sums_##dtype(                                            \
      const T* x, const T* out, const T* dy, const W* m, long long sharing, double* partials,     \
      PLANES) {                                                                                   \
    ONE_TEAM;                                                                                     \
    const auto run = [&](auto width) {                                                            \
      if (out) sums_of<T, WIDTH, true>(x, out, dy, m, sharing, partials, planes);                 \
      else sums_of<T, WIDTH, false>(x, out, dy, m, sharing, partials, planes);                    \
    };                                                                                            \
    by_width<T>(planes, run, x, out, dy);                                                         \
  }                                                                                               \
  extern "C" __global__ void BOUNDS norm_backward_##dtype(                                        \
      const T* x, const T* out, const T* dy, const double* partials, VALUES(T, W, gamma),         \
      const W* m, const W* d, const double* r, T* dx, W* dgamma, W* dbeta, PLANES) {              \
    ONE_TEAM;                                                                                     \
    const Values<T> scale = GIVEN(T, gamma);                                                      \
    const Hinted<W> hint{m, d, r};                                                                \
    const Gradients<T> to{dx, dgamma, dbeta};                                                     \
    const auto run = [&](auto width) {                                                            \
      if (out) backward<T, WIDTH, true>(x, out, dy, partials, scale, hint, to, planes);           \
      else backward<T, WIDTH, false>(x, out, dy, partials, scale, hint, to, planes);              \
    };                                                                                            \
    by_width<T>(planes, run, x, out, dy, dx);                                                     \
  }

FOR_float16(ENTRIES(__half, float, float16))
FOR_float32(ENTRIES(float, float, float32))
FOR_float64(ENTRIES(double, double, float64))
