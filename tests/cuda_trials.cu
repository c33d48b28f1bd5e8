// Kernels for tests/test_cuda_on_cpu.py: one for each thing that CUDA has, or leaves undefined.
#include <cuda_fp16.h>

extern "C" __global__ void count_threads(int* out) {
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const int at = block * (blockDim.x * blockDim.y * blockDim.z) + thread;
  out[at] += at;
}

extern "C" __global__ void note_order(unsigned* at, unsigned* out) {
  out[atomicAdd(at, 1u)] = threadIdx.x;
}

extern "C" __global__ void exchange(int* out, int n) {
  const unsigned all = 0xffffffffu;
  const int i = threadIdx.x, odd = i % 2;
  out[i] = __shfl_down_sync(all, i, 3);
  out[n + i] = __shfl_up_sync(all, i, 3);
  out[2 * n + i] = __shfl_xor_sync(all, i, 5);
  out[3 * n + i] = __shfl_sync(all, i, 4);
  out[4 * n + i] = __shfl_down_sync(all, i, 2, 8);
  out[5 * n + i] = __shfl_sync(all, i, 1, 8);
  out[6 * n + i] = __ballot_sync(all, odd);
  out[7 * n + i] = __any_sync(all, odd);
  out[8 * n + i] = __all_sync(all, odd);
}

extern "C" __global__ void exchange_among_half(int* out) {
  const int i = threadIdx.x;
  if (i < 16) out[i] = __shfl_down_sync(0xffffu, i, 1);
}

extern "C" __global__ void exchange_beside_the_mask(int* out) {
  out[threadIdx.x] = __shfl_sync(1u, 0, 0);
}

// The threads below the limit come to a barrier, the others to none, or to another one.
extern "C" __global__ void some_at_a_barrier(int limit, int another) {
  if (threadIdx.x < (unsigned)limit) {
    __syncthreads();
  } else if (another) {
    __syncthreads();
  }
}

extern "C" __global__ void read_unwritten(float* out) {
  extern __shared__ float dynamic[];
  __shared__ float one, several[2];
  out[3 * blockIdx.x] = one;
  out[3 * blockIdx.x + 1] = several[1];
  out[3 * blockIdx.x + 2] = dynamic[1];
  one = several[1] = dynamic[1] = 1;
}

extern "C" __global__ void turn_around(double* out) {
  extern __shared__ __align__(16) double turned[];
  turned[blockDim.x - 1 - threadIdx.x] = blockIdx.x * blockDim.x + threadIdx.x;
  __syncthreads();  // turned
  out[blockIdx.x * blockDim.x + threadIdx.x] = turned[threadIdx.x];
}

extern "C" __global__ void convert_half(const __half* x, float* wide, __half* back) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  wide[i] = __half2float(x[i]);
  back[i] = __float2half_rn(wide[i]);
}

extern "C" __global__ void round_to_half(const float* x, __half* y) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = __float2half(x[i]);
}

extern "C" __global__ void count_atomically(int* out) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&out[0], 1);
  atomicMax(&out[1], i);
  atomicMin(&out[2], -i);
  atomicInc(reinterpret_cast<unsigned*>(&out[3]), 6);
  atomicCAS(&out[4], 0, 1);
}

extern "C" __global__ void read(const float* x, float* out, long long at) { out[0] = x[at]; }

extern "C" __global__ void write(float* x, long long at) { x[at] = 1; }

extern "C" __global__ void read_shared(float* out, long long at) {
  __shared__ float few[4];
  few[threadIdx.x] = 1;
  out[0] = few[at];
}

extern "C" __global__ void load_four(const float* x, float* out) {
  const float4 four = *reinterpret_cast<const float4*>(x);
  out[0] = four.x + four.w;
}

extern "C" __global__ void is_null(const int* x, int* out) { out[0] = x == nullptr; }
