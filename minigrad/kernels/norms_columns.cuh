// Sets of columns: batch norm where the channels are the last axis in memory, as in matrices (N, C)
// and in channels-last images.
//
// The array is `groups` matrices of `rows` rows, whose columns belong to channel `column % channels`:
// where C is small or no multiple of 4, the host sees several rows as one, so that the columns fill
// loads of 16 bytes.  A block has a tile of 32 columns, 4 for each of its 8 threads in a row, and
// `span` rows of them; tiles and spans depend on the shape alone.
//
// In a tile each channel has a slot: of 32 channels or more each column is one, fewer have one for
// all of their columns.  Sums of slots are kept for each tile and part; a channel's are in `sources`
// places, where it is met in the columns.  Where a channel has one part and one place, one launch
// finds its sums and goes over its rows again while they are in the caches; else two do.
#pragma once
#include "norms.cuh"

const int TILE = 32, OWN = 4, ACROSS = TILE / OWN;  // columns of a block and of a thread, threads
const int MOST_WARPS = 16;

// Rows that a thread has under way: of one array, and of two or three.
template <class T> constexpr int ALONE = sizeof(T) == 8 ? 4 : 8;
template <class T> constexpr int BESIDE = sizeof(T) == 8 ? 2 : 4;

struct Columns {
  long long groups, rows, columns, channels, parts, span;

  __device__ long long tiles() const { return (columns + TILE - 1) / TILE; }
  __device__ int slots() const { return channels < TILE ? static_cast<int>(channels) : TILE; }
};

// What a block works on, and a thread of it.
struct Place {
  long long group, part, tile, first, begin, end;
  int live;  // columns of the thread that exist

  __device__ Place(const Columns& c) {
    const long long work = quotient(blockIdx.x, c.tiles());
    tile = blockIdx.x - work * c.tiles();
    group = quotient(work, c.parts);
    part = work - group * c.parts;
    const long long column = tile * TILE + threadIdx.x * OWN;
    first = group * c.rows * c.columns + column;  // the thread's, in the group's first row
    live = static_cast<int>(max(0LL, min(static_cast<long long>(OWN), c.columns - column)));
    begin = part * c.span;
    end = min(c.rows, begin + c.span);
  }
};

// The channel of a column, and that of a slot.
__device__ inline long long channel_of(const Columns& c, const Place& at, int column) {
  return (at.tile * TILE + column) % c.channels;
}
__device__ inline int slot_of(const Columns& c, const Place& at, int column) {
  return c.channels < TILE ? static_cast<int>(channel_of(c, at, column)) : column;
}
__device__ inline long long channel_in(const Columns& c, const Place& at, int slot) {
  return c.channels < TILE ? slot : channel_of(c, at, slot);
}

// Tells `step` the offsets of a thread's next rows, `live` of DEEP, as in norms_planes.cuh.
template <int DEEP, class Step>
__device__ inline void walk(const Columns& c, const Place& at, bool backwards, Step step) {
  const long long lap = blockDim.y * DEEP, laps = quotient(at.end - at.begin + lap - 1, lap);
#pragma unroll 1  // the batch is what is unrolled
  for (long long k = 0; k < laps; ++k) {
    const long long row = at.begin + (backwards ? laps - 1 - k : k) * lap + threadIdx.y;
    long long offset[DEEP];
    int live = 0;
#pragma unroll
    for (int u = 0; u < DEEP; ++u) {
      offset[u] = at.first + (row + u * blockDim.y) * c.columns;
      live += row + u * blockDim.y < at.end;
    }
    if (live && at.live) step(offset, live);
  }
}

template <int DEEP, class T>
__device__ inline void load_batch(Pack<T, OWN> (&packs)[DEEP], const T* from,
                                  const long long (&offset)[DEEP], int live, int own, bool whole) {
#pragma unroll
  for (int u = 0; u < DEEP; ++u) {
    if (u >= live) continue;
    if (whole) packs[u] = loaded<OWN>(from + offset[u]);
    else
      for (int v = 0; v < OWN; ++v)
        packs[u].at[v] = v < own ? from[offset[u] + v] : rounded<T>(0.0f);
  }
}

template <class T>
__device__ inline void store_own(T* to, const Pack<T, OWN>& pack, int own, bool whole) {
  if (whole) store(to, pack);
  else
    for (int v = 0; v < OWN; ++v)
      if (v < own) to[v] = pack.at[v];
}

// Σ (x - first) and Σ (x - first)² of a thread's columns.
template <class T>
__device__ inline void moments(const T* x, const Columns& c, const Place& at, bool whole,
                               const double (&first)[OWN], Sums (&sums)[OWN]) {
  using W = Work<T>;
  const int DEEP = ALONE<T>;
  walk<DEEP>(c, at, false, [&](const long long (&offset)[DEEP], int live) {
    Pack<T, OWN> xs[DEEP];
    load_batch(xs, x, offset, live, at.live, whole);
#pragma unroll
    for (int v = 0; v < OWN; ++v) {
      const W near = wide(xs[0].at[v]);
      W s = 0, q = 0;
#pragma unroll
      for (int u = 0; u < DEEP; ++u) {
        if (u >= live) continue;
        const W off = wide(xs[u].at[v]) - near;
        s += off, q += off * off;
      }
      take_in(sums[v], first[v], near, live, s, q);
    }
  });
}

// Σ h and Σ h (x - m) of a thread's columns.
template <bool RELU, class T>
__device__ inline void products(const T* x, const T* out, const T* dy, const Columns& c,
                                const Place& at, bool whole, const Work<T> (&m)[OWN],
                                Sums (&sums)[OWN]) {
  using W = Work<T>;
  const int DEEP = BESIDE<T>;
  walk<DEEP>(c, at, false, [&](const long long (&offset)[DEEP], int live) {
    Pack<T, OWN> xs[DEEP], outs[DEEP], dys[DEEP];
    load_batch(xs, x, offset, live, at.live, whole);
    load_batch(dys, dy, offset, live, at.live, whole);
    if (RELU) load_batch(outs, out, offset, live, at.live, whole);
#pragma unroll
    for (int v = 0; v < OWN; ++v) {
      W s = 0, t = 0;
#pragma unroll
      for (int u = 0; u < DEEP; ++u) {
        if (u >= live) continue;
        const W h = through(RELU, RELU ? wide(outs[u].at[v]) : W(0), wide(dys[u].at[v]));
        s += h, t += h * (wide(xs[u].at[v]) - m[v]);
      }
      sums[v].a += s, sums[v].b += t;
    }
  });
}

// A block's sums for each slot of its tile, from those of each thread's columns.
__device__ inline void over_tile(const Columns& c, const Place& at, const Sums (&own)[OWN],
                                 Sums* slots) {
  __shared__ Sums shared[MOST_WARPS + 1][TILE];
  const int number = thread_number(), warps = thread_count() / WARP;
  for (int v = 0; v < OWN; ++v) {
    Sums sums = own[v];
    for (int lanes = ACROSS; lanes < WARP; lanes *= 2) {  // those above and below in the warp
      sums.a += __shfl_xor_sync(0xffffffffu, sums.a, lanes);
      sums.b += __shfl_xor_sync(0xffffffffu, sums.b, lanes);
    }
    if (number % WARP < ACROSS) shared[number / WARP][threadIdx.x * OWN + v] = sums;
  }
  __syncthreads();
  if (number < TILE) {
    Sums sums = shared[0][number];
    for (int warp = 1; warp < warps; ++warp) {
      sums.a += shared[warp][number].a;
      sums.b += shared[warp][number].b;
    }
    shared[MOST_WARPS][number] = sums;
  }
  __syncthreads();
  if (number < c.slots()) {
    Sums sums = shared[MOST_WARPS][number];
    if (c.channels < TILE) {
      sums = {0, 0};
      for (int column = 0; column < TILE && at.tile * TILE + column < c.columns; ++column)
        if (slot_of(c, at, column) == number) {
          sums.a += shared[MOST_WARPS][column].a;
          sums.b += shared[MOST_WARPS][column].b;
        }
    }
    slots[number] = sums;  // which this thread alone reads
  }
}

__device__ inline void keep(double* partials, const Columns& c, const Place& at, const Sums* slots) {
  const int slot = thread_number();
  if (slot >= c.slots()) return;
  const long long column = (at.group * c.tiles() + at.tile) * TILE + slot;
  partials[2 * (column * c.parts + at.part)] = slots[slot].a;
  partials[2 * (column * c.parts + at.part) + 1] = slots[slot].b;
}

// The sums of each slot's channel over all parts and places, by a warp each.
__device__ inline void over_parts(const double* partials, const Columns& c, const Place& at,
                                  Sums* slots) {
  const bool few = c.channels < TILE;
  const long long sources = few ? c.tiles() : c.columns / c.channels;
  const long long between = few ? TILE : c.channels;
  const int number = thread_number(), warps = thread_count() / WARP;
  for (int slot = number / WARP; slot < c.slots(); slot += warps) {
    const long long from = at.group * c.tiles() * TILE + channel_in(c, at, slot);
    Sums sums = {0, 0};
    for (long long i = number % WARP; i < sources * c.parts; i += WARP) {
      const long long source = quotient(i, c.parts), part = i - source * c.parts;
      const double* pair = partials + 2 * ((from + source * between) * c.parts + part);
      sums.a += pair[0];
      sums.b += pair[1];
    }
    sums = {over_warp<Sum>(sums.a), over_warp<Sum>(sums.b)};
    if (number % WARP == 0) slots[slot] = sums;
  }
  __syncthreads();
}

// Whether a thread of this block tells of a slot's channel.
__device__ inline bool tells(const Columns& c, const Place& at, int slot) {
  return at.part == 0 && at.tile * TILE + slot < c.channels;
}

template <class T>
__device__ inline void write_lines(const T* x, T* y, const Columns& c, const Place& at, bool whole,
                                   const Line<Work<T>>* lines, Work<T> least) {
  const int DEEP = ALONE<T>;
  Line<Work<T>> own[OWN];
  for (int v = 0; v < at.live; ++v) own[v] = lines[slot_of(c, at, threadIdx.x * OWN + v)];
  walk<DEEP>(c, at, true, [&](const long long (&offset)[DEEP], int live) {
    Pack<T, OWN> xs[DEEP];
    load_batch(xs, x, offset, live, at.live, whole);
#pragma unroll
    for (int u = 0; u < DEEP; ++u) {
      if (u >= live) continue;
#pragma unroll
      for (int v = 0; v < OWN; ++v) xs[u].at[v] = rounded<T>(own[v].of(wide(xs[u].at[v]), least));
      store_own(y + offset[u], xs[u], at.live, whole);
    }
  });
}

template <bool RELU, class T>
__device__ inline void write_slopes(const T* x, const T* out, const T* dy, T* dx, const Columns& c,
                                    const Place& at, bool whole, const Slope<Work<T>>* slopes) {
  using W = Work<T>;
  const int DEEP = BESIDE<T>;
  Slope<W> own[OWN];
  for (int v = 0; v < at.live; ++v) own[v] = slopes[slot_of(c, at, threadIdx.x * OWN + v)];
  walk<DEEP>(c, at, true, [&](const long long (&offset)[DEEP], int live) {
    Pack<T, OWN> xs[DEEP], outs[DEEP], dys[DEEP];
    load_batch(xs, x, offset, live, at.live, whole);
    load_batch(dys, dy, offset, live, at.live, whole);
    if (RELU) load_batch(outs, out, offset, live, at.live, whole);
#pragma unroll
    for (int u = 0; u < DEEP; ++u) {
      if (u >= live) continue;
#pragma unroll
      for (int v = 0; v < OWN; ++v) {
        const W h = through(RELU, RELU ? wide(outs[u].at[v]) : W(0), wide(dys[u].at[v]));
        xs[u].at[v] = rounded<T>(own[v].of(wide(xs[u].at[v]), h));
      }
      store_own(dx + offset[u], xs[u], at.live, whole);
    }
  });
}
