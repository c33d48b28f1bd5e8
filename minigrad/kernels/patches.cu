// Patches of images, and their adjoint, around the matrix products of a convolution.
//
// A patch matrix has a row for each tap (c, i, j) of a kernel and a column for each position
// (n, r, q) of it: image, row and column of the output.  Its positions are those of some images, or
// of some rows of the output of one image.
#include "numbers.cuh"
#include "places.cuh"

// Images (N, C, H, W), and a kernel that reads them at some rows of the output, from `first` on.
template <class I> struct Taps {
  I images, channels, height, width, kh, kw, sh, sw, dh, dw, top, left, first, rows, columns;

  __device__ I pixels() const { return images * height * width; }  // of a channel
  __device__ I positions() const { return images * rows * columns; }
};

// out (C·kh·kw, N·rows·columns): what each tap sees at each position, 0 outside the image.
//
// A thread takes one position, so that a warp writes a run, and the channels y, y + gridDim.y, …
template <class T, class I> __device__ void fill_patches(const T* x, T* out, Taps<I> s) {
  const I positions = s.positions();
  for (I at = first_place<I>(); at < positions; at += to_next<I>()) {
    const I line = at / s.columns, column = at % s.columns;
    const I image = line / s.rows, row = s.first + line % s.rows;
    const I y0 = row * s.sh - s.top, x0 = column * s.sw - s.left;
    for (I c = blockIdx.y; c < s.channels; c += gridDim.y) {
      const T* plane = x + (image * s.channels + c) * s.height * s.width;
      T* to = out + c * s.kh * s.kw * positions + at;
      for (I i = 0; i < s.kh; ++i) {
        const I h = y0 + i * s.dh;
        const bool inside = h >= 0 && h < s.height;
        for (I j = 0; j < s.kw; ++j, to += positions) {
          const I w = x0 + j * s.dw;
          *to = inside && w >= 0 && w < s.width ? plane[h * s.width + w] : rounded<T>(0.0f);
        }
      }
    }
  }
}

// x (N, C, H, W): each pixel is the sum of what its taps hold in `in`, laid out as patches are.
//
// A pixel gathers in the order of the taps, so no two threads write to one place.  With `more` it
// adds to what x has, the sums over the rows of the output before these.
template <class T, class I> __device__ void add_patches(const T* in, T* x, bool more, Taps<I> s) {
  const I pixels = s.pixels(), positions = s.positions();
  for (I at = first_place<I>(); at < pixels; at += to_next<I>()) {
    const I line = at / s.width, w = at % s.width;
    const I image = line / s.height, h = line % s.height;
    for (I c = blockIdx.y; c < s.channels; c += gridDim.y) {
      T* pixel = x + ((image * s.channels + c) * s.height + h) * s.width + w;
      Work<T> sum = more ? wide(*pixel) : Work<T>(0);
      for (I i = 0; i < s.kh; ++i) {
        const I down = h + s.top - i * s.dh, row = down / s.sh - s.first;
        if (down < 0 || row < 0 || row >= s.rows || down % s.sh != 0) continue;
        const T* taps = in + (c * s.kh + i) * s.kw * positions;
        for (I j = 0; j < s.kw; ++j) {
          const I right = w + s.left - j * s.dw, column = right / s.sw;
          if (right < 0 || column >= s.columns || right % s.sw != 0) continue;
          sum += wide(taps[j * positions + (image * s.rows + row) * s.columns + column]);
        }
      }
      *pixel = rounded<T>(sum);
    }
  }
}

// ---- entries ------------------------------------------------------------------------------------

// Whether `int` counts all that a kernel touches.
__device__ inline bool few(const Taps<long long>& s) {
  return s.channels * s.pixels() <= FEW_PLACES &&
         s.channels * s.kh * s.kw * s.positions() <= FEW_PLACES;
}

__device__ inline Taps<int> narrow(const Taps<long long>& s) {
  return {int(s.images), int(s.channels), int(s.height), int(s.width), int(s.kh),
          int(s.kw),     int(s.sh),       int(s.sw),     int(s.dh),    int(s.dw),
          int(s.top),    int(s.left),     int(s.first),  int(s.rows),  int(s.columns)};
}

#define TAPS                                                                                      \
  long long images, long long channels, long long height, long long width, long long kh,          \
      long long kw, long long sh, long long sw, long long dh, long long dw, long long top,        \
      long long left, long long first, long long rows, long long columns

#define ENTRIES(T, name)                                                                          \
  extern "C" __global__ void patches_##name(const T* x, T* out, TAPS) {                           \
    const Taps<long long> s{images, channels, height, width, kh,    kw,   sh,     sw,             \
                            dh,     dw,       top,    left,  first, rows, columns};               \
    if (few(s)) fill_patches(x, out, narrow(s));                                                  \
    else fill_patches(x, out, s);                                                                 \
  }                                                                                               \
  extern "C" __global__ void add_patches_##name(const T* in, T* x, long long more, TAPS) {        \
    const Taps<long long> s{images, channels, height, width, kh,    kw,   sh,     sw,             \
                            dh,     dw,       top,    left,  first, rows, columns};               \
    if (few(s)) add_patches(in, x, more != 0, narrow(s));                                         \
    else add_patches(in, x, more != 0, s);                                                        \
  }

ENTRIES(__half, float16)
ENTRIES(float, float32)
ENTRIES(double, float64)
