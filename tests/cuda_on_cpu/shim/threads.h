// What a kernel asks of the threads that it runs on; threads.cpp answers.
#pragma once
#include <cstddef>

struct Index {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

extern Index threadIdx, blockIdx;  // of the thread that runs
extern dim3 blockDim, gridDim;

namespace on_cpu {

// Waits for all threads of the block; `number` says which barrier of the text it is.
void barrier(int number);

// Waits for the threads that `mask` names of the warp, as all operations between lanes do.
void warp_barrier(int number, unsigned mask);

// Each gives a value, and gets the one of the lane `source`: poison if that takes no part.
unsigned long long exchange(unsigned mask, unsigned long long value, int source);

// Which lanes gave true.
unsigned vote(unsigned mask, bool value);

// The thread's number in its warp.
int lane();

// Tells of static shared memory, which is poisoned when a block first comes by.
void shared(void* place, size_t bytes);

// The launch's dynamic shared memory.
void* dynamic_shared();

}  // namespace on_cpu
