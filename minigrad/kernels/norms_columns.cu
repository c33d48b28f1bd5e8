// Batch norm of matrices and channels-last images: the entries (norms_columns.cuh).
#include "norms_columns.cuh"

// Σ (x - first) and Σ (x - first)² of the block's slots.
template <class T>
__device__ inline void block_moments(const T* x, const Columns& c, const Place& at, bool whole,
                                     Sums* slots) {
  const T* group = x + at.group * c.rows * c.columns;
  double first[OWN];
  for (int v = 0; v < OWN; ++v) first[v] = wide(group[channel_of(c, at, threadIdx.x * OWN + v)]);
  Sums own[OWN] = {};
  moments(x, c, at, whole, first, own);
  over_tile(c, at, own, slots);
}

// Σ h and Σ h (x - m) of the block's slots.
template <class T>
__device__ inline void block_products(const T* x, const T* out, const T* dy, const Work<T>* m,
                                      const Columns& c, const Place& at, bool whole, Sums* slots) {
  Work<T> near[OWN];
  for (int v = 0; v < OWN; ++v)
    near[v] = m[at.group * c.channels + channel_of(c, at, threadIdx.x * OWN + v)];
  Sums own[OWN] = {};
  if (out) products<true>(x, out, dy, c, at, whole, near, own);
  else products<false>(x, out, dy, c, at, whole, near, own);
  over_tile(c, at, own, slots);
}

// Whether a thread's columns are whole loads of 16 bytes.
template <class... Arrays> __device__ bool whole_loads(const Columns& c, const Arrays*... arrays) {
  return c.columns % OWN == 0 && c.rows * c.columns % OWN == 0 && (aligned(arrays) && ...);
}

template <class T>
__device__ void forward(const T* x, const double* partials, Values<T> gamma, Values<T> beta,
                        double eps, long long relu, T* y, Statistics<Work<T>> found,
                        const Columns& c) {
  using W = Work<T>;
  __shared__ Sums slots[TILE];
  __shared__ Line<W> lines[TILE];
  const Place at(c);
  const bool whole = whole_loads(c, x, y);
  if (partials) over_parts(partials, c, at, slots);
  else block_moments(x, c, at, whole, slots);
  const int slot = thread_number();
  if (slot < c.slots()) {
    const long long channel = channel_in(c, at, slot), set = at.group * c.channels + channel;
    const double first = wide(x[at.group * c.rows * c.columns + channel]);
    const double n = static_cast<double>(c.rows) * c.columns / c.channels;
    lines[slot] = Line<W>(slots[slot], first, n, gamma[set], beta[set], eps, found, set,
                          tells(c, at, slot));
  }
  __syncthreads();
  write_lines(x, y, c, at, whole, lines, least_of<W>(relu));
}

template <class T>
__device__ void given_line(const T* x, Values<T> mean, Values<T> var, Values<T> gamma,
                           Values<T> beta, double eps, long long relu, T* y, const Columns& c) {
  using W = Work<T>;
  __shared__ Line<W> lines[TILE];
  const Place at(c);
  const int slot = thread_number();
  if (slot < c.slots()) {
    const long long set = at.group * c.channels + channel_in(c, at, slot);
    const double r = 1 / sqrt(var[set] + eps);
    lines[slot] = Line<W>(static_cast<W>(mean[set]), 0, r, gamma[set], beta[set]);
  }
  __syncthreads();
  write_lines(x, y, c, at, whole_loads(c, x, y), lines, least_of<W>(relu));
}

// dgamma and dbeta, and dx where somebody wants it.
template <class T>
__device__ void backward(const T* x, const T* out, const T* dy, const double* partials,
                         Values<T> gamma, Hinted<Work<T>> hint, Gradients<T> to,
                         const Columns& c) {
  using W = Work<T>;
  __shared__ Sums slots[TILE];
  __shared__ Slope<W> slopes[TILE];
  const Place at(c);
  const bool whole = whole_loads(c, x, out, dy, to.dx);
  if (partials) over_parts(partials, c, at, slots);
  else block_products(x, out, dy, hint.m, c, at, whole, slots);
  const int slot = thread_number();
  if (slot < c.slots()) {
    const long long set = at.group * c.channels + channel_in(c, at, slot);
    const double n = static_cast<double>(c.rows) * c.columns / c.channels;
    if (tells(c, at, slot)) to.write(set, slots[slot], hint);
    slopes[slot] =
        Slope<W>(slots[slot], hint.m[set], hint.d[set], hint.r[set], n, gamma[set]);
  }
  __syncthreads();
  if (!to.dx) return;
  if (out) write_slopes<true>(x, out, dy, to.dx, c, at, whole, slopes);
  else write_slopes<false>(x, out, dy, to.dx, c, at, whole, slopes);
}

// ---- the entries, for each dtype T, which is computed in W

#define BOUNDS __launch_bounds__(512)
#define COLUMNS                                                                         \
  long long groups, long long rows, long long columns, long long channels, long long parts, \
      long long span
#define THESE {groups, rows, columns, channels, parts, span}
#define VALUES(T, W, name) const T *name##_own, const W *name##_computed, double name##_number
#define GIVEN(T, name) Values<T>{name##_own, name##_computed, name##_number}

#define ENTRIES(T, W, dtype)                                                                      \
  extern "C" __global__ void BOUNDS columns_statistics_##dtype(const T* x, double* partials,      \
                                                               COLUMNS) {                         \
    __shared__ Sums slots[TILE];                                                                  \
    const Columns c THESE;                                                                        \
    const Place at(c);                                                                            \
    block_moments(x, c, at, whole_loads(c, x), slots);                                            \
    keep(partials, c, at, slots);                                                                 \
  }                                                                                               \
  extern "C" __global__ void BOUNDS columns_forward_##dtype(                                      \
      const T* x, const double* partials, VALUES(T, W, gamma), VALUES(T, W, beta), double eps,    \
      long long relu, T* y, W* mean, W* var, W* m, W* d, double* r, COLUMNS) {                    \
    forward<T>(x, partials, GIVEN(T, gamma), GIVEN(T, beta), eps, relu, y, {mean, var, m, d, r},  \
               THESE);                                                                            \
  }                                                                                               \
  extern "C" __global__ void BOUNDS columns_line_##dtype(                                         \
      const T* x, VALUES(T, W, mean), VALUES(T, W, var), VALUES(T, W, gamma),                     \
      VALUES(T, W, beta), double eps, long long relu, T* y, COLUMNS) {                            \
    given_line<T>(x, GIVEN(T, mean), GIVEN(T, var), GIVEN(T, gamma), GIVEN(T, beta), eps, relu,   \
                  y, THESE);                                                                      \
  }                                                                                               \
  extern "C" __global__ void BOUNDS columns_sums_##dtype(                                         \
      const T* x, const T* out, const T* dy, const W* m, double* partials, COLUMNS) {             \
    __shared__ Sums slots[TILE];                                                                  \
    const Columns c THESE;                                                                        \
    const Place at(c);                                                                            \
    block_products(x, out, dy, m, c, at, whole_loads(c, x, out, dy), slots);                      \
    keep(partials, c, at, slots);                                                                 \
  }                                                                                               \
  extern "C" __global__ void BOUNDS columns_backward_##dtype(                                     \
      const T* x, const T* out, const T* dy, const double* partials, VALUES(T, W, gamma),         \
      const W* m, const W* d, const double* r, T* dx, W* dgamma, W* dbeta, COLUMNS) {             \
    backward<T>(x, out, dy, partials, GIVEN(T, gamma), {m, d, r}, {dx, dgamma, dbeta}, THESE);    \
  }

FOR_float16(ENTRIES(__half, float, float16))
FOR_float32(ENTRIES(float, float, float32))
FOR_float64(ENTRIES(double, double, float64))
