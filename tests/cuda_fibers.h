// A block of CUDA threads as fibers of one CPU thread, so that a kernel can be tested
// without a GPU.
//
// A warp runs until all its threads wait at a barrier of the block, or have ended; then
// the next warp runs. Within a warp a thread runs to the next barrier of any kind. So what
// a barrier does not order happens in the order of the threads, or against it, and a
// barrier that is missing, or one of the warp where the block must meet, gives other
// results.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

template <class T> T max(T a, T b) { return a > b ? a : b; }
template <class T> T min(T a, T b) { return a < b ? a : b; }
struct Index { int x; };
struct alignas(16) float4 { float x, y, z, w; };
inline Index threadIdx, blockIdx;
__attribute__((aligned(16))) unsigned char pool[1 << 18];

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__
#define __align__(n) __attribute__((aligned(n)))

namespace fibers {
enum State { RUNS, AT_WARP, AT_BLOCK, ENDED };
struct Fiber { ucontext_t start; jmp_buf at; State state; bool begun; double passed; };
constexpr int WARP = 32, MOST = 1024, STACK = 1 << 16;
inline Fiber all[MOST];
inline char stacks[MOST][STACK];
inline void (*body)(void*);
inline void* given;
inline jmp_buf back;
inline bool backwards = false;
inline bool broken;  // a warp waited at two kinds of barriers

inline void wait(State state) {
  Fiber& me = all[threadIdx.x];
  me.state = state;
  if (!_setjmp(me.at)) _longjmp(back, 1);
}

inline void enter() {
  body(given);
  all[threadIdx.x].state = ENDED;
  _longjmp(back, 1);
}

// Jumps, where swapcontext would ask the system about signals each time.
inline void go_on(Fiber& fiber) {
  if (_setjmp(back)) return;
  if (fiber.begun) _longjmp(fiber.at, 1);
  fiber.begun = true;
  setcontext(&fiber.start);
}

inline int place(int i, int count) { return backwards ? count - 1 - i : i; }

inline void run_warp(int warp) {
  const int first = warp * WARP;
  for (;;) {
    int waits = 0, blocked = 0;
    for (int i = 0; i < WARP; i++) {
      threadIdx.x = first + place(i, WARP);
      Fiber& fiber = all[threadIdx.x];
      if (fiber.state == RUNS) go_on(fiber);
      waits += fiber.state == AT_WARP;
      blocked += fiber.state == AT_BLOCK;
    }
    broken |= waits && blocked;
    if (!waits || broken) return;
    for (int i = 0; i < WARP; i++)
      if (all[first + i].state == AT_WARP) all[first + i].state = RUNS;
  }
}

inline bool release(int threads) {
  bool any = false;
  for (int t = 0; t < threads; t++)
    if (all[t].state == AT_BLOCK) all[t].state = RUNS, any = true;
  return any;
}

// Run `call` for every thread of `blocks` blocks of whole warps; say whether all met.
template <class F> bool launch(int blocks, int threads, F call) {
  body = [](void* call) { (*(F*)call)(); };
  given = &call;
  broken = false;
  for (int b = 0; b < blocks; b++) {
    blockIdx.x = b;
    memset(pool, 0xff, sizeof pool);  // what is read before it is written is NaN
    for (int t = 0; t < threads; t++) {
      Fiber& fiber = all[t];
      getcontext(&fiber.start);
      fiber.start.uc_stack.ss_sp = stacks[t];
      fiber.start.uc_stack.ss_size = STACK;
      fiber.state = RUNS;
      fiber.begun = false;
      makecontext(&fiber.start, enter, 0);
    }
    do
      for (int w = 0; w < threads / WARP; w++) run_warp(place(w, threads / WARP));
    while (!broken && release(threads));
  }
  return !broken;
}
}  // namespace fibers

inline void __syncthreads() { fibers::wait(fibers::AT_BLOCK); }
inline void __syncwarp() { fibers::wait(fibers::AT_WARP); }

template <class Real> Real __shfl_xor_sync(unsigned, Real x, int other) {
  fibers::all[threadIdx.x].passed = x;
  __syncwarp();
  const Real y = (Real)fibers::all[threadIdx.x ^ other].passed;
  __syncwarp();
  return y;
}

inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline void sincospif(float x, float* sine, float* cosine) {
  const double angle = x * 3.14159265358979323846;
  *sine = (float)sin(angle);
  *cosine = (float)cos(angle);
}
