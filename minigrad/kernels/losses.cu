// Softmax along rows, and cross-entropy, fused with it.
//
// A team of threads computes a row (n): a warp, where blocks are (32, teams), or the whole block.
// It reads the row twice: for the largest value and the sum, and to write.  Within a row the sum is
// made anew whenever a larger value comes: Milakov and Gimelshein, 2018.
#include "numbers.cuh"
#include "reduce.cuh"

template <class W> __device__ W team_sum(W value) {
  return blockDim.x == WARP ? over_warp<Sum>(value) : block_sum(value);
}

template <class W> __device__ W team_largest(W value) {
  return blockDim.x == WARP ? over_warp<Largest>(value) : block_largest(value);
}

__device__ long long team_row() { return blockIdx.x * (long long)blockDim.y + threadIdx.y; }

// Σ share · exp(x - peak) over values x, where the peak is the largest of them.
template <class W> struct Exponentials {
  W peak = -infinity<W>(), sum = 0;

  // `share` is 1, or 0 for what may be the largest but does not count.
  __device__ void add(W x, W share) {
    if (x > peak || x != x) {
      sum = sum * exp(peak - x) + share;
      peak = x;
    } else if (x != -infinity<W>()) {
      sum += share * exp(x - peak);
    }
  }

  // The same of all values that the team's threads have added; beside ∞ or NaN it is NaN.
  __device__ void join() {
    const W largest = team_largest(peak);
    sum = team_sum(sum * exp(peak - largest));
    peak = largest;
  }
};

template <class T>
__device__ void softmax(const T* x, T* y, long long rows, long long n, long long logarithm) {
  using W = Work<T>;
  const long long row = team_row();
  if (row >= rows) return;
  x += row * n;
  y += row * n;
  Exponentials<W> all;
  for (long long j = threadIdx.x; j < n; j += blockDim.x) all.add(wide(x[j]), 1);
  all.join();
  const W share = 1 / all.sum, log_sum = log(all.sum);
  for (long long j = threadIdx.x; j < n; j += blockDim.x) {
    const W z = wide(x[j]) - all.peak;
    y[j] = rounded<T>(logarithm ? z - log_sum : exp(z) * share);
  }
}

// ---- cross-entropy of logits x (rows, n) and labels (rows)

template <class T> __device__ void fill(T* y, long long n, Work<T> value) {
  for (long long j = threadIdx.x; j < n; j += blockDim.x) y[j] = rounded<T>(value);
}

// Losses (rows) and slopes (rows, n) = softmax(x) - onehot(label); 0 where the label is ignored, NaN
// where it is out of range, which nobody on the host can be told of without waiting.
template <class T, class Label>
__device__ void cross_entropy(const T* x, const Label* labels, T* slopes, T* losses,
                              long long rows, long long n, long long ignore_index) {
  using W = Work<T>;
  const long long row = team_row();
  if (row >= rows) return;
  x += row * n;
  slopes += row * n;
  const long long label = labels[row];
  if (label == ignore_index || label < 0 || label >= n) {
    const W value = label == ignore_index ? W(0) : not_a_number<W>();
    fill(slopes, n, value);
    if (threadIdx.x == 0) losses[row] = rounded<T>(value);
    return;
  }
  Exponentials<W> others;  // without the label's: 1 - p would lose what is left of a sure class
  for (long long j = threadIdx.x; j < n; j += blockDim.x) others.add(wide(x[j]), j != label);
  others.join();
  const W z = wide(x[label]) - others.peak, own = exp(z);
  const W total = others.sum + own, share = 1 / total;
  for (long long j = threadIdx.x; j < n; j += blockDim.x)
    slopes[j] = rounded<T>(j == label ? -others.sum * share
                                      : exp(wide(x[j]) - others.peak) * share);
  if (threadIdx.x == 0)
    losses[row] = rounded<T>(own > W(0.5) ? log1p(others.sum / own) : log(total) - z);
}

// One block: the sum of the losses, or their mean over the rows that count and what each is of it.
template <class T, class Label>
__device__ void cross_entropy_total(const T* losses, const Label* labels, T* total, T* weight,
                                    long long rows, long long ignore_index, long long mean) {
  double sum = 0, count = 0;
  for (long long row = thread_number(); row < rows; row += thread_count()) {
    sum += wide(losses[row]);
    count += labels[row] != ignore_index;
  }
  block_sums(sum, count);
  if (thread_number() > 0) return;
  *total = rounded<T>(mean ? (count > 0 ? sum / count : not_a_number<double>()) : sum);
  *weight = rounded<T>(mean ? 1 / max(count, 1.0) : 1.0);
}

// dx = slopes · dy · weights; dy and the weights are one number or one for each row: step 0 or 1.
template <class T>
__device__ void cross_entropy_grad(const T* slopes, const T* dy, const T* weights, T* dx,
                                   long long rows, long long n, long long dy_step,
                                   long long weights_step) {
  const long long row = team_row();
  if (row >= rows) return;
  const Work<T> weight = weights ? wide(weights[row * weights_step]) : Work<T>(1);
  const Work<T> scale = wide(rounded<T>(wide(dy[row * dy_step]) * weight));
  for (long long j = threadIdx.x; j < n; j += blockDim.x)
    dx[row * n + j] = rounded<T>(wide(slopes[row * n + j]) * scale);
}

// ---- entries

#define OF_LABELS(T, name, Label, label_name)                                                    \
  extern "C" __global__ void __launch_bounds__(1024) cross_entropy_##name##_##label_name(        \
      const T* x, const Label* labels, T* slopes, T* losses, long long rows, long long n,        \
      long long ignore_index) {                                                                  \
    cross_entropy(x, labels, slopes, losses, rows, n, ignore_index);                             \
  }                                                                                              \
  extern "C" __global__ void __launch_bounds__(1024) cross_entropy_total_##name##_##label_name(  \
      const T* losses, const Label* labels, T* total, T* weight, long long rows,                 \
      long long ignore_index, long long mean) {                                                  \
    cross_entropy_total(losses, labels, total, weight, rows, ignore_index, mean);                \
  }

#define OF(T, name)                                                                              \
  extern "C" __global__ void __launch_bounds__(1024) softmax_##name(                             \
      const T* x, T* y, long long rows, long long n, long long logarithm) {                      \
    softmax(x, y, rows, n, logarithm);                                                           \
  }                                                                                              \
  extern "C" __global__ void __launch_bounds__(1024) cross_entropy_grad_##name(                  \
      const T* slopes, const T* dy, const T* weights, T* dx, long long rows, long long n,        \
      long long dy_step, long long weights_step) {                                               \
    cross_entropy_grad(slopes, dy, weights, dx, rows, n, dy_step, weights_step);                 \
  }                                                                                              \
  OF_LABELS(T, name, int, int32)                                                                 \
  OF_LABELS(T, name, long long, int64)

OF(__half, float16)
OF(float, float32)
OF(double, float64)
