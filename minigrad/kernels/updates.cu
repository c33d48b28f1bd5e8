// Steps of optimisers: all parameters of a list in one launch.
//
// Where the parameters and what is kept beside them lie stands in a table in the device's memory,
// which the host writes once.  Where their gradients lie changes at every step, so that comes by
// value, as a kernel's arguments do.
//
// Each operation rounds by itself, in the order of the rules in minigrad/optim: a product is not
// joined with the sum that follows, as the compiler would do.  So the results are those of the
// rules bit for bit.

const int MOST = 256;    // parameters of one launch: of 4096 bytes of arguments, pointers take 2048
const int SHARE = 4096;  // numbers of one block

struct Gradients {
  const void* of[MOST];
};

struct Row {  // of the table, for one parameter
  void* p;
  void* kept[3];
  long long size;
  long long first;  // block that works on it; as many follow as it has shares
};

__device__ inline float add(float a, float b) { return __fadd_rn(a, b); }
__device__ inline float sub(float a, float b) { return __fadd_rn(a, -b); }
__device__ inline float mul(float a, float b) { return __fmul_rn(a, b); }
__device__ inline float div(float a, float b) { return __fdiv_rn(a, b); }
__device__ inline float root(float a) { return __fsqrt_rn(a); }
__device__ inline double add(double a, double b) { return __dadd_rn(a, b); }
__device__ inline double sub(double a, double b) { return __dadd_rn(a, -b); }
__device__ inline double mul(double a, double b) { return __dmul_rn(a, b); }
__device__ inline double div(double a, double b) { return __ddiv_rn(a, b); }
__device__ inline double root(double a) { return __dsqrt_rn(a); }

// ±g + decay·p
template <class T> struct Objective {
  T sign, decay;
  bool decays;  // an infinite p times 0 would be NaN
  __device__ Objective(double sign, double decay)
      : sign(sign), decay(decay), decays(decay != 0) {}
  __device__ T operator()(T g, T p) const {
    const T d = mul(sign, g);
    return decays ? add(d, mul(decay, p)) : d;
  }
};

// m + near·(d - m), from the nearer end of the two; far = 1 - near
template <class T> struct Average {
  T near, far;
  bool from_m;
  __device__ Average(double near, double far) : near(near), far(far), from_m(near < 0.5) {}
  __device__ T operator()(T m, T d) const {
    const T gap = sub(d, m);
    return from_m ? add(m, mul(gap, near)) : sub(d, mul(gap, far));
  }
};

// keep·v + rest·d²
template <class T> __device__ T average_square(T v, T d, T keep, T rest) {
  return add(mul(v, keep), mul(mul(rest, d), d));
}

// The parameter of this block: the last whose first block is not behind it.
__device__ inline long long parameter_of(const Row* rows, long long count) {
  long long low = 0, high = count - 1;
  while (low < high) {
    const long long middle = (low + high + 1) / 2;
    if (rows[middle].first <= blockIdx.x) low = middle;
    else high = middle - 1;
  }
  return low;
}

// step(p, g, i, kept0, kept1, kept2) for each number of this block's share.
template <class T, class Step>
__device__ void each(const long long* table, long long count, const Gradients& gradients,
                     Step step) {
  const Row* rows = reinterpret_cast<const Row*>(table);
  const long long number = parameter_of(rows, count);
  const Row& row = rows[number];
  T* p = static_cast<T*>(row.p);
  const T* g = static_cast<const T*>(gradients.of[number]);
  T* a = static_cast<T*>(row.kept[0]);
  T* b = static_cast<T*>(row.kept[1]);
  T* c = static_cast<T*>(row.kept[2]);
  const long long start = (blockIdx.x - row.first) * SHARE;
  const long long stop = min(start + SHARE, row.size);
  for (long long i = start + threadIdx.x; i < stop; i += blockDim.x) step(p, g, i, a, b, c);
}

#define TABLE const long long *table, long long count, const Gradients gradients

template <class T>
__device__ void sgd(TABLE, double sign, double decay, double lr) {
  const Objective<T> objective(sign, decay);
  const T rate(lr);
  each<T>(table, count, gradients, [&](T* p, const T* g, long long i, T*, T*, T*) {
    p[i] = sub(p[i], mul(rate, objective(g[i], p[i])));
  });
}

template <class T>
__device__ void sgd_momentum(TABLE, double sign, double decay, double lr, double momentum,
                             double share, long long first, long long nesterov) {
  const Objective<T> objective(sign, decay);
  const T rate(lr), keep(momentum), part(share);
  each<T>(table, count, gradients, [&](T* p, const T* g, long long i, T* b, T*, T*) {
    const T d = objective(g[i], p[i]);
    const T moved = first ? d : add(mul(b[i], keep), mul(part, d));
    b[i] = moved;
    p[i] = sub(p[i], mul(rate, nesterov ? add(d, mul(keep, moved)) : moved));
  });
}

template <class T>
__device__ void adam(TABLE, double sign, double decay, double shrink, double near1, double far1,
                     double keep2, double rest2, double move, double divisor, double eps) {
  const Objective<T> objective(sign, decay);
  const Average<T> average(near1, far1);
  const T smaller(shrink), keep(keep2), rest(rest2), step(move), by(divisor), least(eps);
  each<T>(table, count, gradients, [&](T* p, const T* g, long long i, T* m, T* v, T* largest) {
    const T d = objective(g[i], p[i]);
    const T mean = m[i] = average(m[i], d);
    T square = v[i] = average_square(v[i], d, keep, rest);
    if (largest != nullptr) {  // a NaN is the largest, as NumPy's maximum has it
      const T before = largest[i];
      square = largest[i] = square > before || square != square ? square : before;
    }
    const T scale = add(div(root(square), by), least);
    p[i] = add(mul(smaller, p[i]), div(mul(step, mean), scale));
  });
}

template <class T>
__device__ void rmsprop(TABLE, double sign, double decay, double lr, double keep1, double rest1,
                        double far1, double eps, double momentum) {
  const Objective<T> objective(sign, decay);
  const Average<T> average(rest1, far1);
  const T rate(lr), keep(keep1), rest(rest1), least(eps), carried(momentum);
  each<T>(table, count, gradients, [&](T* p, const T* g, long long i, T* v, T* mean, T* b) {
    const T d = objective(g[i], p[i]);
    T square = v[i] = average_square(v[i], d, keep, rest);
    if (mean != nullptr) {
      const T m = mean[i] = average(mean[i], d);
      square = sub(square, mul(m, m));
    }
    const T scale = add(root(square), least);
    if (b != nullptr) {
      b[i] = add(mul(b[i], carried), div(d, scale));
      p[i] = sub(p[i], mul(rate, b[i]));
    } else {
      p[i] = sub(p[i], div(mul(rate, d), scale));
    }
  });
}

template <class T>
__device__ void adagrad(TABLE, double sign, double decay, double lr, double eps) {
  const Objective<T> objective(sign, decay);
  const T rate(lr), least(eps);
  each<T>(table, count, gradients, [&](T* p, const T* g, long long i, T* sums, T*, T*) {
    const T d = objective(g[i], p[i]);
    sums[i] = add(sums[i], mul(d, d));
    p[i] = sub(p[i], div(mul(rate, d), add(root(sums[i]), least)));
  });
}

#define FOR(T, dtype)                                                                             \
  extern "C" __global__ void sgd_##dtype(TABLE, double sign, double decay, double lr) {           \
    sgd<T>(table, count, gradients, sign, decay, lr);                                             \
  }                                                                                               \
  extern "C" __global__ void sgd_momentum_##dtype(TABLE, double sign, double decay, double lr,    \
                                                  double momentum, double share, long long first, \
                                                  long long nesterov) {                           \
    sgd_momentum<T>(table, count, gradients, sign, decay, lr, momentum, share, first, nesterov);  \
  }                                                                                               \
  extern "C" __global__ void adam_##dtype(TABLE, double sign, double decay, double shrink,        \
                                          double near1, double far1, double keep2, double rest2,  \
                                          double move, double divisor, double eps) {              \
    adam<T>(table, count, gradients, sign, decay, shrink, near1, far1, keep2, rest2, move,        \
            divisor, eps);                                                                        \
  }                                                                                               \
  extern "C" __global__ void rmsprop_##dtype(TABLE, double sign, double decay, double lr,         \
                                             double keep1, double rest1, double far1, double eps, \
                                             double momentum) {                                   \
    rmsprop<T>(table, count, gradients, sign, decay, lr, keep1, rest1, far1, eps, momentum);      \
  }                                                                                               \
  extern "C" __global__ void adagrad_##dtype(TABLE, double sign, double decay, double lr,         \
                                             double eps) {                                        \
    adagrad<T>(table, count, gradients, sign, decay, lr, eps);                                    \
  }
FOR(float, float32)
FOR(double, float64)
