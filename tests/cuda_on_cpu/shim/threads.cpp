// Runs a kernel's blocks one after the other, each CUDA thread as a fiber.
//
// A warp runs until all of its threads wait or are done, then the next one does: so a warp may be far
// ahead of another, which no barrier holds back.  The order of warps, of threads and of blocks is
// forward, reverse or shuffled.
#include "threads.h"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "fiber.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

Index threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

const int WARP = 32, MOST_THREADS = 1024, NONE = -1;
const long STACK = 128 << 10;  // bytes
const size_t SHARED_MEMORY = 48 << 10;
const unsigned long long POISON = ~0ull;  // NaN as a half, a float and a double; -1 as an integer

enum State { READY, AT_BARRIER, IN_WARP, DONE };
enum Kind { EXCHANGE, VOTE, WARP_BARRIER };
enum Order { FORWARD, REVERSE, SHUFFLED };

struct Thread {
  Fiber fiber;
  Index index;
  State state;
  int barrier;  // which one it waits at
  Kind kind;    // of the operation in its warp that it waits for
  unsigned mask;
  int source;
  unsigned long long value;
};

struct Launch {
  void (*kernel)(void**);
  void** arguments;
  size_t dynamic_bytes;
  Order order;
  int removed;  // the number of a barrier that is left out
};

Thread threads[MOST_THREADS];
int count, current;
int ready[MOST_THREADS / WARP];  // how many threads of each warp can run
Fiber scheduler;
Launch launch;
bool failed;
char message[400];
unsigned long long random_state;
char *stacks, *dynamic_memory;
std::vector<void*> places;  // the static shared memory that this block has seen
size_t shared_bytes;

void say(const char* format, ...) {
  std::va_list values;
  va_start(values, format);
  std::vsnprintf(message, sizeof message, format, values);
  va_end(values);
  failed = true;
}

unsigned below(unsigned bound) {  // xorshift64*: Vigna, 2016
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (random_state * 2685821657736338717ull >> 32) % bound;
}

template <class T> void put_in_order(T* items, int size) {
  for (int i = 0; launch.order == REVERSE && i < size / 2; ++i)
    std::swap(items[i], items[size - 1 - i]);
  for (int i = size - 1; launch.order == SHUFFLED && i > 0; --i)
    std::swap(items[i], items[below(i + 1)]);
}

void wait(State state) {
  threads[current].state = state;
  ready[current / WARP] -= 1;
  switch_fiber(threads[current].fiber, scheduler);
}

void run_thread() {
  launch.kernel(launch.arguments);
  wait(DONE);
}

void resume(int number) {
  current = number;
  threadIdx = threads[number].index;
  switch_fiber(scheduler, threads[number].fiber);
}

// ---- operations in a warp

void wait_in_warp(Kind kind, unsigned mask, unsigned long long value, int source) {
  Thread& self = threads[current];
  if (!(mask >> current % WARP & 1)) {
    say("thread %d takes part in an operation whose mask %#x does not name it", current, mask);
    wait(DONE);
  }
  self.kind = kind, self.mask = mask, self.value = value, self.source = source;
  wait(IN_WARP);
}

// Whether all that `self` waits for have come; those that are done are not waited for.
bool complete(const Thread& self, const Thread* warp, int lanes) {
  for (int lane = 0; lane < lanes; ++lane) {
    const Thread& other = warp[lane];
    if (!(self.mask >> lane & 1) || other.state == DONE) continue;
    if (other.state != IN_WARP || other.kind != self.kind || other.mask != self.mask) return false;
  }
  return true;
}

void deliver_to(unsigned mask, Thread* warp, int lanes) {
  unsigned long long given[WARP], votes = 0;
  unsigned present = 0;
  for (int lane = 0; lane < lanes; ++lane) {
    if (!(mask >> lane & 1) || warp[lane].state != IN_WARP) continue;
    present |= 1u << lane;
    given[lane] = warp[lane].value;
    if (warp[lane].value) votes |= 1u << lane;
  }
  for (int lane = 0; lane < lanes; ++lane) {
    if (!(present >> lane & 1)) continue;
    Thread& self = warp[lane];
    const bool there = self.source >= 0 && self.source < lanes && (present >> self.source & 1);
    self.value = self.kind == VOTE ? votes : there ? given[self.source] : POISON;
    self.state = READY;
    ready[(warp - threads) / WARP] += 1;
  }
}

void deliver(int first, int lanes) {
  Thread* warp = threads + first;
  for (int lane = 0; lane < lanes; ++lane)
    if (warp[lane].state == IN_WARP && complete(warp[lane], warp, lanes))
      deliver_to(warp[lane].mask, warp, lanes);
}

// ---- a block

int lanes_from(int first) { return count - first < WARP ? count - first : WARP; }

void make_ready() {
  for (int i = 0; i < count; ++i) threads[i].state = READY;
  for (int warp = 0; warp * WARP < count; ++warp) ready[warp] = lanes_from(warp * WARP);
}

int next_warp() {
  int warps[MOST_THREADS / WARP], found = 0;
  for (int warp = 0; warp * WARP < count; ++warp)
    if (ready[warp]) warps[found++] = warp;
  if (found == 0) return NONE;
  const int at = launch.order == FORWARD ? 0 : launch.order == REVERSE ? found - 1 : below(found);
  return warps[at];
}

void run_warp(int warp) {
  const int first = warp * WARP, lanes = lanes_from(first);
  int order[WARP];
  for (int lane = 0; lane < lanes; ++lane) order[lane] = first + lane;
  put_in_order(order, lanes);
  for (int i = 0; i < lanes && !failed; ++i)
    if (threads[order[i]].state == READY) resume(order[i]);
  deliver(first, lanes);
}

// When no thread can run: all are done, or all stand at one barrier, or something is wrong.
bool finished_or_released() {
  int at[DONE + 1] = {}, barrier = NONE;
  for (int i = 0; i < count; ++i) {
    at[threads[i].state] += 1;
    if (threads[i].state != AT_BARRIER) continue;
    if (barrier != NONE && threads[i].barrier != barrier)
      say("a divergent barrier: threads wait at two, number %d and number %d", barrier,
          threads[i].barrier);
    barrier = threads[i].barrier;
  }
  if (at[DONE] == count || failed) return true;
  if (at[AT_BARRIER] != count) {
    say("a divergent barrier: %d threads wait at one, %d for others of their warp, %d are done",
        at[AT_BARRIER], at[IN_WARP], at[DONE]);
    return true;
  }
  make_ready();
  return false;
}

void run_block() {
  places.clear();
  shared_bytes = launch.dynamic_bytes;
  std::memset(dynamic_memory, 0xff, launch.dynamic_bytes);
  make_ready();
  for (int i = 0; i < count; ++i)
    start_fiber(threads[i].fiber, stacks + i * STACK, STACK, run_thread);
  for (;;) {
    const int warp = next_warp();
    if (warp != NONE) run_warp(warp);
    if (failed || (warp == NONE && finished_or_released())) return;
  }
}

// ---- a launch

void check(const unsigned* blocks, const unsigned* sides) {
  const unsigned long long size = 1ull * sides[0] * sides[1] * sides[2];
  if (!blocks[0] || !blocks[1] || !blocks[2] || !size)
    say("an empty launch: the driver refuses it");
  else if (blocks[0] > 0x7fffffffu || blocks[1] > 65535 || blocks[2] > 65535)
    say("a grid of (%u, %u, %u): CUDA ends at (2^31 - 1, 65535, 65535)", blocks[0], blocks[1],
        blocks[2]);
  else if (size > MOST_THREADS || sides[2] > 64)
    say("a block of (%u, %u, %u) threads: CUDA ends at 1024, and at 64 along z", sides[0], sides[1],
        sides[2]);
  else if (launch.dynamic_bytes > SHARED_MEMORY)
    say("%zu bytes of dynamic shared memory: CUDA gives 49152 unasked", launch.dynamic_bytes);
}

void make_room() {
  if (!stacks)
    stacks = static_cast<char*>(mmap(nullptr, MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NONE, 0));
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(stacks, count * STACK);  // a launch that failed left frames there
#endif
  std::free(dynamic_memory);  // of exactly the size, for AddressSanitizer
  dynamic_memory = static_cast<char*>(std::malloc(launch.dynamic_bytes));
}

void run_blocks() {
  std::vector<unsigned> order(1ull * gridDim.x * gridDim.y * gridDim.z);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  put_in_order(order.data(), order.size());
  for (unsigned i : order) {
    blockIdx = {i % gridDim.x, i / gridDim.x % gridDim.y, i / gridDim.x / gridDim.y};
    run_block();
    if (failed) return;
  }
}

}  // namespace

namespace on_cpu {

void barrier(int number) {
  if (number == launch.removed) return;
  threads[current].barrier = number;
  wait(AT_BARRIER);
}

void warp_barrier(int number, unsigned mask) {
  if (number != launch.removed) wait_in_warp(WARP_BARRIER, mask, 0, NONE);
}

unsigned long long exchange(unsigned mask, unsigned long long value, int source) {
  wait_in_warp(EXCHANGE, mask, value, source);
  return threads[current].value;
}

unsigned vote(unsigned mask, bool value) {
  wait_in_warp(VOTE, mask, value, NONE);
  return threads[current].value;
}

int lane() { return current % WARP; }

void shared(void* place, size_t bytes) {
  for (void* seen : places)
    if (seen == place) return;
  places.push_back(place);
  std::memset(place, 0xff, bytes);
  shared_bytes += bytes;
  if (shared_bytes > SHARED_MEMORY) {
    say("%zu bytes of shared memory in a block: CUDA gives 49152 unasked", shared_bytes);
    wait(DONE);
  }
}

void* dynamic_shared() { return dynamic_memory; }

}  // namespace on_cpu

// Runs a kernel; returns what went wrong, or null.
extern "C" __attribute__((visibility("default"))) const char* cuda_on_cpu_launch(
    void (*kernel)(void**), void** arguments, const unsigned* blocks, const unsigned* sides,
    size_t dynamic_bytes, int order, unsigned long long seed, int removed) {
  launch = {kernel, arguments, dynamic_bytes, static_cast<Order>(order), removed};
  failed = false;
  random_state = seed * 2 + 1;  // never 0
  gridDim = {blocks[0], blocks[1], blocks[2]};
  blockDim = {sides[0], sides[1], sides[2]};
  check(blocks, sides);
  if (failed) return message;
  count = sides[0] * sides[1] * sides[2];
  for (unsigned i = 0; i < static_cast<unsigned>(count); ++i)
    threads[i].index = {i % sides[0], i / sides[0] % sides[1], i / sides[0] / sides[1]};
  make_room();
  run_blocks();
  return failed ? message : nullptr;
}
