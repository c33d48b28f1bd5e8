// Pooling of images (N, H, W) by windows, and its adjoints.
//
// Adjoints gather: each pixel adds what the windows over it hold, in the order of their offsets, so
// no two threads write to one place.
#include "numbers.cuh"
#include "places.cuh"

// Images, how many windows there are down and across, and how a window moves.
template <class I> struct Windows {
  I images, height, width, rows, columns, kh, kw, sh, sw, top, left, dh, dw;

  __device__ I pixels() const { return images * height * width; }
  __device__ I count() const { return images * rows * columns; }
};

// ---- the largest --------------------------------------------------------------------------------

// The largest value of each window and its offset there: the first of equals, a NaN before any
// number.  Padding never wins; of a window without a pixel, the offset is beyond its last.
template <class T, class K, class I>
__device__ void largest(const T* x, T* y, K* winner, Windows<I> s) {
  for (I at = first_place<I>(); at < s.count(); at += to_next<I>()) {
    const I line = at / s.columns;
    const I h0 = line % s.rows * s.sh - s.top, w0 = at % s.columns * s.sw - s.left;
    const T* image = x + line / s.rows * s.height * s.width;
    Work<T> best = -infinity<Work<T>>();
    I found = s.kh * s.kw;
    for (I i = 0; i < s.kh; ++i) {
      const I h = h0 + i * s.dh;
      if (h < 0 || h >= s.height) continue;
      for (I j = 0; j < s.kw; ++j) {
        const I w = w0 + j * s.dw;
        if (w < 0 || w >= s.width) continue;
        const Work<T> value = wide(image[h * s.width + w]);
        const bool first = found == s.kh * s.kw;
        if (first || (!(value <= best) && best == best)) {
          best = value;
          found = i * s.kw + j;
        }
      }
    }
    y[at] = rounded<T>(best);
    winner[at] = static_cast<K>(found);
  }
}

// Calls `add` with each window over a pixel and the pixel's offset there, in the offsets' order.
template <class I, class Add> __device__ void over_windows(I at, const Windows<I>& s, Add add) {
  const I line = at / s.width, right = at % s.width + s.left;
  const I image = line / s.height * s.rows, down = line % s.height + s.top;
  for (I row = min(down / s.sh, s.rows - 1); row >= 0; --row) {
    const I i = (down - row * s.sh) / s.dh;
    if (i >= s.kh) break;  // this window ends above the pixel, as all before it do
    if (i * s.dh != down - row * s.sh) continue;
    for (I column = min(right / s.sw, s.columns - 1); column >= 0; --column) {
      const I j = (right - column * s.sw) / s.dw;
      if (j >= s.kw) break;
      if (j * s.dw != right - column * s.sw) continue;
      add((image + row) * s.columns + column, i * s.kw + j);
    }
  }
}

// The adjoint of reading the winners: y (N, H, W) from a number for each window.
template <class T, class K, class I>
__device__ void back_to_winners(const T* x, const K* winner, T* y, Windows<I> s) {
  for (I at = first_place<I>(); at < s.pixels(); at += to_next<I>()) {
    Work<T> sum = 0;
    over_windows(at, s, [&](I window, I offset) {
      if (static_cast<long long>(winner[window]) == offset) sum += wide(x[window]);
    });
    y[at] = rounded<T>(sum);
  }
}

// ---- the mean -----------------------------------------------------------------------------------

// What the sum over a window is divided by.
struct Divisor {
  double given;  // 0: the number of values
  bool padding;  // whether padding is counted

  template <class W, class I> __device__ W of(I window, const Windows<I>& s) const {
    if (given != 0) return static_cast<W>(given);
    const I row = window / s.columns % s.rows, column = window % s.columns;
    return static_cast<W>(covered(row, s.height, s.kh, s.sh, s.top)) *
           static_cast<W>(covered(column, s.width, s.kw, s.sw, s.left));
  }

  // How much of an axis of length n, and of padding that counts, the window at a place covers.
  template <class I> __device__ I covered(I place, I n, I kernel, I step, I before) const {
    const I start = place * step - before, border = padding ? before : 0;
    return min(start + kernel, n + border) - max(start, -border);
  }
};

template <class T, class I>
__device__ void average(const T* x, T* y, const Divisor& divisor, Windows<I> s) {
  for (I at = first_place<I>(); at < s.count(); at += to_next<I>()) {
    const I line = at / s.columns;
    const I h0 = line % s.rows * s.sh - s.top, w0 = at % s.columns * s.sw - s.left;
    const I h1 = min(h0 + s.kh, s.height), w1 = min(w0 + s.kw, s.width);
    const T* image = x + line / s.rows * s.height * s.width;
    Work<T> sum = 0;
    for (I h = max(h0, I(0)); h < h1; ++h)
      for (I w = max(w0, I(0)); w < w1; ++w) sum += wide(image[h * s.width + w]);
    y[at] = rounded<T>(sum / divisor.of<Work<T>>(at, s));
  }
}

// The adjoint of the mean: each pixel's shares of the windows over it.
template <class T, class I>
__device__ void back_to_all(const T* x, T* y, const Divisor& divisor, Windows<I> s) {
  for (I at = first_place<I>(); at < s.pixels(); at += to_next<I>()) {
    Work<T> sum = 0;
    over_windows(at, s, [&](I window, I) {
      sum += wide(x[window]) / divisor.of<Work<T>>(window, s);
    });
    y[at] = rounded<T>(sum);
  }
}

// ---- entries ------------------------------------------------------------------------------------

__device__ inline bool few(const Windows<long long>& s) {
  return s.pixels() <= FEW_PLACES && s.count() <= FEW_PLACES;
}

__device__ inline Windows<int> narrow(const Windows<long long>& s) {
  return {int(s.images), int(s.height), int(s.width), int(s.rows), int(s.columns),
          int(s.kh),     int(s.kw),     int(s.sh),    int(s.sw),   int(s.top),
          int(s.left),   int(s.dh),     int(s.dw)};
}

#define WINDOWS                                                                                   \
  long long images, long long height, long long width, long long rows, long long columns,         \
      long long kh, long long kw, long long sh, long long sw, long long top, long long left,      \
      long long dh, long long dw

#define RUN(kernel, ...)                                                                          \
  {                                                                                               \
    const Windows<long long> s{images, height, width, rows, columns, kh, kw,                      \
                               sh,     sw,     top,   left, dh,      dw};                         \
    if (few(s)) kernel(__VA_ARGS__, narrow(s));                                                   \
    else kernel(__VA_ARGS__, s);                                                                  \
  }

#define WINNERS(T, name, K, kind)                                                                 \
  extern "C" __global__ void max_pool_##name##_##kind(const T* x, T* y, K* winner, WINDOWS)       \
      RUN(largest, x, y, winner)                                                                  \
  extern "C" __global__ void unpick_##name##_##kind(const T* x, const K* winner, T* y, WINDOWS)   \
      RUN(back_to_winners, x, winner, y)

#define ENTRIES(T, name)                                                                          \
  WINNERS(T, name, unsigned char, uint8)                                                          \
  WINNERS(T, name, long long, int64)                                                              \
  extern "C" __global__ void avg_pool_##name(                                                     \
      const T* x, T* y, double divisor, long long padding, WINDOWS)                               \
      RUN(average, x, y, (Divisor{divisor, padding != 0}))                                        \
  extern "C" __global__ void avg_unpool_##name(                                                   \
      const T* x, T* y, double divisor, long long padding, WINDOWS)                               \
      RUN(back_to_all, x, y, (Divisor{divisor, padding != 0}))

ENTRIES(__half, float16)
ENTRIES(float, float32)
ENTRIES(double, float64)
