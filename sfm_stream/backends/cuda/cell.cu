// The SFM cell on a GPU: `forward` steps the memory of many rows over many ticks, `learn`
// computes the gradient over the stored ticks and takes the optimiser's step. Each row has
// a block. If streams share a cell, `learn` only computes the gradient, `join` adds up the
// gradients, and `together` takes the step along their mean.
//
// The tape is in the row, or for windows of the past in `work`: this file is compiled for
// each of the two.
//
// The equations and the tape are those of kernels/memory/cell.py and backprop.py; the tests
// compare the results. `prelude.py` writes the text before this file: the sizes, the
// offsets of the arrays in a row, and the constants of the stages.
//
// A thread computes for a frequency k and a place j < J, J >= D and M: state j of the
// memory, and output j of the heads. If a block cannot hold K * J threads, a thread
// computes for ITEMS such pairs.

constexpr int R = N + M + 1, DIN = PHASE ? 3 * D : D, DPAD = (DIN + 3) / 4 * 4;
constexpr int COLS = 3 * D + K + (ADAPTIVE ? K : 0), G = COLS + K * M;
constexpr int HEADS = R * G, BIAS = HEADS + K * DIN * 2 * M, V = BIAS + K * M;
constexpr int C = V + Q * M, SIZE = C + Q, SLOTS = RING - 1, WARPS = THREADS / 32;
constexpr int ITEMS = (K * J + THREADS - 1) / THREADS;
constexpr int SMALL = (COLS + THREADS - 1) / THREADS, ROWS = (DIN + J - 1) / J, TILE = 4;
// If all threads of a frequency are in one warp, they need no barrier of the block.
constexpr bool NARROW = J <= 32;

static_assert(G == GATES && SIZE == WEIGHTS, "the layout of the weights has changed");
static_assert(THREADS % 32 == 0 && THREADS % J == 0, "a thread keeps its place j");

// The row that holds the cell of row b.
__device__ __forceinline__ long home(long b) { return SHARED ? b % TARGETS : b; }

__device__ __forceinline__ float squash(float x) {  // tanh; NaN stays NaN
  x = x > LIMIT ? LIMIT : (x < -LIMIT ? -LIMIT : x);
  const float y = x * x;
  const float p = A1 + y * (A3 + y * (A5 + y * (A7 + y * (A9 + y * (A11 + y * A13)))));
  return __fdividef(x * p, B0 + y * (B2 + y * (B4 + y * B6)));
}

__device__ __forceinline__ float logistic(float x) { return 0.5f + 0.5f * squash(0.5f * x); }

__device__ __forceinline__ void meet_frequency() {
  if (NARROW) __syncwarp(); else __syncthreads();
}

template <class Real> __device__ __forceinline__ Real over_warp(Real x) {
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) x += __shfl_xor_sync(~0u, x, o);
  return x;
}

// f and its derivative by the product of the gates.
__device__ __forceinline__ void forget(float base, float tau, float& f, float& slope) {
  f = base;
  slope = 1.0f;
  if (CLOCKED) {
    base = fmaxf(base, TINY);
    f = powf(base, tau);
    slope = tau * f / base;
  }
}

// ------------------------------------------------------------------------ forward

struct Forward {
  float read[K * DPAD], gate[COLS], part[K * M], z[WARPS * M];
};
static_assert(sizeof(Forward) == FORWARD_BYTES, "prelude.py counts the shared memory");

// The weights of a thread's outputs: in registers if there are enough, else in the cache.
struct Heads {
  float z[HOLDS ? M : 1], o[HOLDS ? DPAD : 1], q[HOLDS ? DPAD : 1];
  const float *in, *heads;

  __device__ __forceinline__ void take(const float* W, int k, int m) {
    in = W + N * G + COLS + k * M + m;
    heads = W + HEADS + k * DIN * 2 * M + m;
    if (!HOLDS) return;
    const bool there = k < K && m < M;
#pragma unroll
    for (int j = 0; j < M; j++) z[HOLDS ? j : 0] = there ? in[j * G] : 0.0f;
#pragma unroll
    for (int a = 0; a < DPAD; a++) {
      const bool real = there && a < DIN;
      o[HOLDS ? a : 0] = real ? heads[a * 2 * M] : 0.0f;
      q[HOLDS ? a : 0] = real ? heads[a * 2 * M + M] : 0.0f;
    }
  }

  __device__ __forceinline__ float gate(const float* before) const {
    float x = 0.0f, y = 0.0f;
    if (HOLDS) {
#pragma unroll
      for (int j = 0; j < M; j++) {
        float& sum = j % 2 ? y : x;
        sum += z[HOLDS ? j : 0] * before[j];
      }
    } else {
#pragma unroll 4
      for (int j = 0; j < M; j++) x += in[j * G] * before[j];
    }
    return x + y;
  }

  __device__ __forceinline__ void see(const float* read, float& gate, float& value) const {
    if (HOLDS) {
      float g[4] = {gate, 0.0f, 0.0f, 0.0f}, v[4] = {value, 0.0f, 0.0f, 0.0f};
#pragma unroll
      for (int a = 0; a < DPAD; a += 4) {
        const float4 r = *(const float4*)(read + a);
        const float x[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
        for (int n = 0; n < 4; n++) {
          g[n] += o[HOLDS ? a + n : 0] * x[n];
          v[n] += q[HOLDS ? a + n : 0] * x[n];
        }
      }
      gate = (g[0] + g[1]) + (g[2] + g[3]);
      value = (v[0] + v[1]) + (v[2] + v[3]);
    } else {
#pragma unroll 4
      for (int a = 0; a < DIN; a++) {
        gate += heads[a * 2 * M] * read[a];
        value += heads[a * 2 * M + M] * read[a];
      }
    }
  }
};

// Write the terms of the gates from the inputs, which are known for all ticks, to the tape.
__device__ __forceinline__ void project_inputs(
    const float* W, const float* U, float* Gates, int first, int count) {
  for (int col = threadIdx.x; col < G; col += THREADS)
    for (int i = 0; i < count; i++) {
      const int slot = count == 1 ? first : (first + i) % SLOTS;
      float sum = W[(N + M) * G + col];
#pragma unroll 4
      for (int n = 0; n < N; n++) sum += U[slot * R + n] * W[n * G + col];
      Gates[slot * G + col] = sum;
    }
}

// Step the memory of each row over `count` slots from `first` on, from slot `before`.
//
// rows: f32 arena [B, WIDTH]. tapes: the arena of the tape [B, TAPE_WIDTH]. tables: f32
// arena [1, ..]. active [1 + B]: the number of active rows, and their numbers. steps
// [B, 3]: before, first, count. The slots' inputs u[:N] and tau are set. A single step may
// go to the last slot, which is for a peek.
extern "C" __global__ void __launch_bounds__(THREADS) forward(
    const float* rows, float* tapes, const float* __restrict__ tables,
    const int* __restrict__ active, const int* __restrict__ steps) {
  if (blockIdx.x >= active[0]) return;
  const long b = active[1 + blockIdx.x];
  const int before = steps[3 * b], first = steps[3 * b + 1], count = steps[3 * b + 2];
  if (count == 0) return;
  const int t = threadIdx.x, w = t / 32, j = t % J;
  const float* W = rows + home(b) * WIDTH + AT_WEIGHTS;
  float* tape = tapes + b * TAPE_WIDTH;
  float *U = tape + AT_TAPE_U, *Gates = tape + AT_TAPE_GATES, *Out = tape + AT_TAPE_OUT;
  float *Turned = tape + AT_TAPE_TURNED, *Read = tape + AT_TAPE_READ;
  float *Turn = tape + AT_TAPE_TURN, *Z = tape + AT_TAPE_Z;
  extern __shared__ __align__(16) unsigned char pool[];
  Forward& s = *(Forward*)pool;

  Heads heads[ITEMS];
  float re[ITEMS], im[ITEMS], bias[ITEMS], next_o[ITEMS], next[SMALL];
#pragma unroll
  for (int p = 0; p < ITEMS; p++) {
    const int k = (t + p * THREADS) / J;
    heads[p].take(W, k, j);
    const bool state = k < K && j < D;
    const float* past = Read + (before * K + k) * 3 * D;
    re[p] = state ? past[D + j] : 0.0f;
    im[p] = state ? past[2 * D + j] : 0.0f;
    bias[p] = k < K && j < M ? W[BIAS + k * M + j] : 0.0f;
  }
  for (int e = t; e < WARPS * M; e += THREADS) s.z[e] = Z[before * M + e % M];
  for (int e = t; e < K * DPAD; e += THREADS) s.read[e] = 0.0f;
  project_inputs(W, U, Gates, first, count);
  __syncthreads();
  auto fetch = [&](int slot) {
#pragma unroll
    for (int p = 0; p < ITEMS; p++) {
      const int k = (t + p * THREADS) / J;
      if (k < K && j < M) next_o[p] = Gates[slot * G + COLS + k * M + j];
    }
#pragma unroll
    for (int p = 0; p < SMALL; p++)
      if (t + p * THREADS < COLS) next[p] = Gates[slot * G + t + p * THREADS];
  };
  fetch(first);
  for (int i = 0; i < count; i++) {
    const int slot = count == 1 ? first : (first + i) % SLOTS;
    const float* z = s.z + w * M;
    const float tau = CLOCKED ? tape[AT_TAPE_TAU + slot] : 1.0f;
    float gate[ITEMS];
#pragma unroll
    for (int p = 0; p < ITEMS; p++) gate[p] = next_o[p] + heads[p].gate(z);
#pragma unroll
    for (int p = 0; p < SMALL; p++) {
      const int col = t + p * THREADS;
      if (col < COLS) {
        float x = next[p], y = 0.0f;
#pragma unroll 8
        for (int n = 0; n < M; n++) {
          float& sum = n % 2 ? y : x;
          sum += W[(N + n) * G + col] * z[n];
        }
        const bool is_tanh = col >= 2 * D + K;
        const float opened = is_tanh ? squash(x + y) : logistic(x + y);
        s.gate[col] = opened;
        Gates[slot * G + col] = opened;
      }
    }
    for (int n = t; n <= M; n += THREADS) U[slot * R + N + n] = n < M ? z[n] : 1.0f;
    if (i + 1 < count) fetch((slot + 1) % SLOTS);
    __syncthreads();
#pragma unroll
    for (int p = 0; p < ITEMS; p++) {
      const int k = (t + p * THREADS) / J;
      if (k < K) {
        float cosine = tables[AT_TURN + k], sine = tables[AT_TURN + K + k];
        if (ADAPTIVE || CLOCKED) {
          float angle = tables[AT_TURN + 2 * K + k];
          if (ADAPTIVE) angle += tables[AT_REACH + k] * s.gate[COLS - K + k];
          sincospif(angle * tau * (1.0f / PI), &sine, &cosine);
        }
        if (j == 0) {
          float* turn = Turn + slot * 3 * K + k;
          turn[0] = cosine;
          turn[K] = sine;
          if (ADAPTIVE) turn[2 * K] = s.gate[COLS - K + k];
        }
        if (j < D) {
          float f, slope;
          forget(CAP * s.gate[D + k] * s.gate[j], tau, f, slope);
          const float drive = s.gate[D + K + j] * s.gate[2 * D + K + j];
          const float x = cosine * re[p] + sine * im[p], y = cosine * im[p] - sine * re[p];
          re[p] = f * x + drive;
          im[p] = f * y;
          const float a = sqrtf(re[p] * re[p] + im[p] * im[p] + EPSILON);
          float* read = s.read + k * DPAD;
          read[j] = a;
          if (PHASE) read[D + j] = re[p], read[2 * D + j] = im[p];
          float* turned = Turned + (slot * K + k) * 2 * D + j;
          turned[0] = x;
          turned[D] = y;
          float* now = Read + (slot * K + k) * 3 * D + j;
          now[0] = a;
          now[D] = re[p];
          now[2 * D] = im[p];
        }
      }
    }
    meet_frequency();
#pragma unroll
    for (int p = 0; p < ITEMS; p++) {
      const int k = (t + p * THREADS) / J;
      if (k < K && j < M) {
        float value = bias[p];
        heads[p].see(s.read + k * DPAD, gate[p], value);
        const float o = logistic(gate[p]), q = squash(value);
        Gates[slot * G + COLS + k * M + j] = o;
        Out[slot * K * M + k * M + j] = q;
        s.part[k * M + j] = o * q;
      }
    }
    __syncthreads();
    for (int m = t % 32; m < M; m += 32) {  // each warp for itself
      float sum = 0.0f;
#pragma unroll
      for (int k = 0; k < K; k++) sum += s.part[k * M + m];
      s.z[w * M + m] = sum;
      if (w == 0) Z[slot * M + m] = sum;
    }
    __syncwarp();
  }
}

// -------------------------------------------------------------------------- learn

struct Backward {
  float heads[K * 2 * M], reads[K * DIN], ste[K * D], drive[K * D], fre[K * D];
  float turn[ADAPTIVE ? K * D : 4], delta[G], dz[M], pull[CHUNK * Q], push[CHUNK * M];
  int oldest[Q], newest[Q], news[Q], age[CHUNK], slot[CHUNK], count, more;
  double sums[2 * WARPS];
};
static_assert(sizeof(Backward) == BACKWARD_BYTES, "prelude.py counts the shared memory");

// The age of a tick is its distance from the newest tick with a label to learn from.
//
// spans [Q, 3]: first swept tick, first and last origin with new labels.
__device__ __forceinline__ int read_spans(Backward& s, const long long* spans) {
  long long latest = -1;
  for (int q = 0; q < Q; q++)
    if (spans[3 * q + 2] >= spans[3 * q + 1]) latest = max(latest, spans[3 * q + 2]);
  for (int q = threadIdx.x; q < Q; q += THREADS) {
    const bool any = spans[3 * q + 2] >= spans[3 * q + 1];
    s.newest[q] = any ? (int)(latest - spans[3 * q + 2]) : 1;
    s.news[q] = any ? (int)(latest - spans[3 * q + 1]) : 0;
    s.oldest[q] = any ? (int)(latest - spans[3 * q]) : 0;
  }
  return (int)(latest % SLOTS);
}

// List the next ticks that are in a window, newest first, after the tick of age `last`.
__device__ __forceinline__ void list_ticks(Backward& s, int last, int from) {
  int count = 0;
  while (count < CHUNK) {
    int next = 2 * RING;
    for (int q = 0; q < Q; q++) {
      const int age = max(s.newest[q], last + 1);
      if (s.newest[q] <= s.oldest[q] && age <= s.oldest[q]) next = min(next, age);
    }
    if (next == 2 * RING) break;
    s.age[count] = last = next;
    s.slot[count++] = (from - next + SLOTS) % SLOTS;
  }
  s.count = count;
  s.more = count == CHUNK;
}

// Compute the gradients from the labels of the listed ticks; give this thread's part of the
// squared errors.
__device__ __forceinline__ double pull_labels(
    Backward& s, const float* W, const float* Z, const float* Labels, float labels) {
  const int lane = threadIdx.x % 32;
  double loss = 0.0;
  for (int e = threadIdx.x / 32; e < s.count * Q; e += WARPS) {
    const int c = e / Q, q = e % Q, slot = s.slot[c];
    const float label = Labels[slot * Q + q];
    const bool known = label == label && s.newest[q] <= s.age[c] && s.age[c] <= s.news[q];
    float pull = 0.0f;
    if (known && s.newest[q] <= s.oldest[q]) {  // alike in a warp
      float said = 0.0f;
      for (int m = lane; m < M; m += 32) said += W[V + q * M + m] * Z[slot * M + m];
      const float error = over_warp(said) + W[C + q] - label;
      pull = 2.0f * error / labels;
      loss += lane == 0 ? (double)(error * error) : 0.0;
    }
    if (lane == 0) s.pull[c * Q + q] = pull;
  }
  __syncthreads();
  for (int e = threadIdx.x; e < s.count * M; e += THREADS) {
    float sum = 0.0f;
    for (int q = 0; q < Q; q++) sum += s.pull[e / M * Q + q] * W[V + q * M + e % M];
    s.push[e] = sum;
  }
  return loss;
}

// The weights of the heads for the rows of `read` whose gradient a thread computes.
struct BackHeads {
  float w[HOLDS_BACK ? ROWS * 2 * M : 1];

  __device__ __forceinline__ void take(const float* W, int k, int j) {
    
#pragma unroll
    for (int r = 0; r < (HOLDS_BACK ? ROWS : 0); r++) {
      const int a = j + r * J;
#pragma unroll
      for (int m = 0; m < 2 * M; m++)
        w[HOLDS_BACK ? r * 2 * M + m : 0] =
            k < K && a < DIN ? W[HEADS + (k * DIN + a) * 2 * M + m] : 0.0f;
    }
  }

  __device__ __forceinline__ void back(Backward& s, int k, int j) const {
#pragma unroll
    for (int r = 0; r < (HOLDS_BACK ? ROWS : 0); r++) {
      const int a = j + r * J;
      float x = 0.0f, y = 0.0f;
#pragma unroll
      for (int m = 0; m < 2 * M; m++) {
        float& sum = m % 2 ? y : x;
        sum += w[HOLDS_BACK ? r * 2 * M + m : 0] * s.heads[k * 2 * M + m];
      }
      if (a < DIN) s.reads[k * DIN + a] = x + y;
    }
  }
};

// The same where the weights stay in the cache: a warp per row.
__device__ __forceinline__ void back_rows(Backward& s, const float* W) {
  const int lane = threadIdx.x % 32;
  for (int e = threadIdx.x / 32; e < K * DIN; e += WARPS) {
    float sum = 0.0f;
    for (int m = lane; m < 2 * M; m += 32)
      sum += W[HEADS + e * 2 * M + m] * s.heads[e / DIN * 2 * M + m];
    sum = over_warp(sum);
    if (lane == 0) s.reads[e] = sum;
  }
}

// Finish the gradients of the small gates' pre-activations.
__device__ __forceinline__ void back_gates(
    Backward& s, const float* gates, const float* tables, const float* turn, float tau) {
  for (int e = threadIdx.x; e < 2 * D + K + (ADAPTIVE ? K : 0); e += THREADS) {
    float sum = 0.0f;
    if (e < 2 * D) {
      const int d = e % D;
      const float* from = e < D ? s.ste : s.drive;
#pragma unroll
      for (int k = 0; k < K; k++) sum += from[k * D + d];
      if (e < D) {
        s.delta[d] = sum * gates[d] * (1.0f - gates[d]);
      } else {
        const float g = gates[D + K + d], i = gates[2 * D + K + d];
        s.delta[D + K + d] = sum * i * g * (1.0f - g);
        s.delta[2 * D + K + d] = sum * g * (1.0f - i * i);
      }
    } else {
      const int k = (e - 2 * D) % K;
      const float* from = (ADAPTIVE && e >= 2 * D + K ? s.turn : s.fre) + k * D;
#pragma unroll 8
      for (int d = 0; d < D; d++) sum += from[d];
      if (e < 2 * D + K) {
        s.delta[D + k] = CAP * sum * gates[D + k] * (1.0f - gates[D + k]);
      } else {
        const float shift = turn[2 * K + k];
        s.delta[COLS - K + k] = sum * tau * tables[AT_REACH + k] * (1.0f - shift * shift);
      }
    }
  }
}

// Add to rows [i0, i0 + TILE) of a gradient's column: the sum over the listed ticks of
// x(c) times the values at `seen(c)`.
template <class Column, class Seen>
__device__ __forceinline__ void add_tile(
    float* into, int step, int left, int count, bool begins, Column x, Seen seen) {
  float sum[TILE];
#pragma unroll
  for (int n = 0; n < TILE; n++) sum[n] = begins || n >= left ? 0.0f : into[n * step];
  for (int c = 0; c < count; c++) {
    const float pull = x(c);
    const float* from = seen(c);
#pragma unroll
    for (int n = 0; n < TILE; n++)
      if (n < left) sum[n] += pull * from[n];
  }
#pragma unroll
  for (int n = 0; n < TILE; n++)
    if (n < left) into[n * step] = sum[n];
}

// Add the gradients of the weights from the listed ticks.
__device__ __forceinline__ void weight_gradients(
    const Backward& s, const float* tape, const float* Delta, const float* Value,
    float* Grad, bool begins) {
  const float *U = tape + AT_TAPE_U, *Read = tape + AT_TAPE_READ, *Z = tape + AT_TAPE_Z;
  const int t = threadIdx.x, count = s.count;
  for (int e = t; e < G * ((R + TILE - 1) / TILE); e += THREADS) {
    const int col = e % G, i = e / G * TILE;
    add_tile(Grad + i * G + col, G, R - i, count, begins,
             [&](int c) { return Delta[c * G + col]; },
             [&](int c) { return U + s.slot[c] * R + i; });
  }
  for (int e = t; e < K * 2 * M * ((DIN + TILE - 1) / TILE); e += THREADS) {
    const int col = e % (K * 2 * M), k = col / (2 * M), m = col % (2 * M);
    const int a = e / (K * 2 * M) * TILE;
    const float* from = m < M ? Delta + COLS + k * M + m : Value + k * M + m - M;
    const int step = m < M ? G : K * M;
    add_tile(Grad + HEADS + (k * DIN + a) * 2 * M + m, 2 * M, DIN - a, count, begins,
             [&](int c) { return from[c * step]; },
             [&](int c) { return Read + (s.slot[c] * K + k) * 3 * D + a; });
  }
  for (int e = t; e < K * M; e += THREADS) {
    float sum = begins ? 0.0f : Grad[BIAS + e];
    for (int c = 0; c < count; c++) sum += Value[c * K * M + e];
    Grad[BIAS + e] = sum;
  }
  for (int e = t; e < Q * M; e += THREADS) {
    float sum = begins ? 0.0f : Grad[V + e];
    for (int c = 0; c < count; c++)
      sum += s.pull[c * Q + e / M] * Z[s.slot[c] * M + e % M];
    Grad[V + e] = sum;
  }
  for (int e = t; e < Q; e += THREADS) {
    float sum = begins ? 0.0f : Grad[C + e];
    for (int c = 0; c < count; c++) sum += s.pull[c * Q + e];
    Grad[C + e] = sum;
  }
}

// Give this thread's part of the sum of a gradient's squares.
__device__ __forceinline__ double squares_of(const float* Grad) {
  double squares = 0.0;
#pragma unroll 4
  for (int e = threadIdx.x; e < SIZE; e += THREADS) squares += (double)(Grad[e] * Grad[e]);
  return squares;
}

// Add up two numbers over all threads of the block; each thread gets the sums.
__device__ __forceinline__ void over_block(Backward& s, double& x, double& y) {
  x = over_warp(x);
  y = over_warp(y);
  __syncthreads();
  if (threadIdx.x % 32 == 0)
    s.sums[threadIdx.x / 32] = x, s.sums[WARPS + threadIdx.x / 32] = y;
  __syncthreads();
  x = y = 0.0;
  for (int e = 0; e < WARPS; e++) x += s.sums[e], y += s.sums[WARPS + e];
}

// Take step number `count` along the gradient, clipped to a norm.
__device__ __forceinline__ void descend(
    float* row, const float* Grad, double norm, double clip, double lr, long long count) {
  float *W = row + AT_WEIGHTS, *First = row + AT_MOMENT, *Second = row + AT_MOMENT2;
  const float shrink = norm > clip ? (float)(clip / norm) : 1.0f;
  const bool young = count < CORRECTED_AFTER;
  const float first = young ? -expm1f((float)count * LOG_BETA1) : 1.0f;
  const float second = young ? -expm1f((float)count * LOG_BETA2) : 1.0f;
  // In double precision, as on the CPU: the rate of a step is one number everywhere.
  const double slow = fmax((double)LEAST_SHARE, 1.0 / sqrt(1.0 + count / (double)STEADY_STEPS));
  const float pace = (float)(lr * slow) / first, root = rsqrtf(second);
#pragma unroll 4
  for (int e = threadIdx.x; e < SIZE; e += THREADS) {
    const float g = shrink * Grad[e];
    const float m1 = BETA1 * First[e] + (1.0f - BETA1) * g;
    const float m2 = BETA2 * Second[e] + (1.0f - BETA2) * g * g;
    First[e] = m1;
    Second[e] = m2;
    W[e] -= pace * m1 / (sqrtf(m2) * root + ADAM_EPSILON);
  }
}

// Learn from the labels of each row's windows.
//
// rows, counters, work, told, windows, tables: arenas by the type of their numbers. The
// used arrays of `work` are: f32 gradient, delta and deltas, i64 spans, and f64 product,
// which receives the sum of squared errors and the norm. tapes: see `forward`. counts [B]:
// labels to learn from; a row without labels does not change. turns [TARGETS, TURNS]: for a
// shared cell, whether a step is due before these gradients. joins [B] receives whether the
// gradient is finite. knobs [2]: largest norm, learning rate.
extern "C" __global__ void __launch_bounds__(THREADS) learn(
    float* rows, long long* counters, const float* tapes, const float* __restrict__ tables,
    float* work, double* told, const long long* __restrict__ windows,
    const int* __restrict__ active, const int* __restrict__ counts,
    const long long* __restrict__ turns, int* joins, const double* __restrict__ knobs) {
  if (blockIdx.x >= active[0]) return;
  const long b = active[1 + blockIdx.x];
  const int t = threadIdx.x, w = t / 32, lane = t % 32, j = t % J;
  if (counts[b] == 0 || (SHARED && turns[home(b) * TURNS + STATE] != NONE)) {
    if (t == 0) joins[b] = 0;
    return;
  }
  float *row = rows + home(b) * WIDTH, *mine = work + b * WORK_WIDTH;
  float *Grad = mine + AT_GRADIENT, *Delta = mine + AT_DELTA, *Value = mine + AT_DELTAS;
  const float *tape = tapes + b * TAPE_WIDTH, *W = row + AT_WEIGHTS;
  const float *Z = tape + AT_TAPE_Z, *Out = tape + AT_TAPE_OUT;
  const long long taken = counters[b * WIDTH_I64 + AT_COUNTERS + ADAM_STEP];
  extern __shared__ __align__(16) unsigned char pool[];
  Backward& s = *(Backward*)pool;

  BackHeads heads[ITEMS];
  float carry_re[ITEMS], carry_im[ITEMS];
#pragma unroll
  for (int p = 0; p < ITEMS; p++) {
    heads[p].take(W, (t + p * THREADS) / J, j);
    carry_re[p] = carry_im[p] = 0.0f;
  }
  const int from = read_spans(s, windows + b * WORK_WIDTH_I64 + AT_SPANS);
  double loss = 0.0;
  int last = -1;
  bool begins = true;
  do {
    __syncthreads();
    if (t == 0) list_ticks(s, last, from);
    __syncthreads();
    const int count = s.count;
    loss += pull_labels(s, W, Z, tape + AT_LABELS, (float)counts[b]);
    __syncthreads();
    for (int c = 0; c < count; c++) {
      const int slot = s.slot[c];
      const bool linked = last >= 0 && s.age[c] == last + 1;
      const float* gates = tape + AT_TAPE_GATES + slot * G;
      const float* turn = tape + AT_TAPE_TURN + slot * 3 * K;
      const float tau = CLOCKED ? tape[AT_TAPE_TAU + slot] : 1.0f;
      last = s.age[c];
#pragma unroll
      for (int p = 0; p < ITEMS; p++) {
        const int k = (t + p * THREADS) / J;
        if (k < K && j < M) {
          const float dz = (linked ? s.dz[j] : 0.0f) + s.push[c * M + j];
          const float o = gates[COLS + k * M + j], q = Out[slot * K * M + k * M + j];
          const float d_o = dz * o * q * (1.0f - o), d_q = dz * o * (1.0f - q * q);
          s.heads[k * 2 * M + j] = d_o;
          s.heads[k * 2 * M + M + j] = d_q;
          s.delta[COLS + k * M + j] = d_o;
          Value[c * K * M + k * M + j] = d_q;
        }
      }
      if (HOLDS_BACK) {
        meet_frequency();
#pragma unroll
        for (int p = 0; p < ITEMS; p++)
          if ((t + p * THREADS) / J < K) heads[p].back(s, (t + p * THREADS) / J, j);
        meet_frequency();
      } else {
        __syncthreads();
        back_rows(s, W);
        __syncthreads();
      }
#pragma unroll
      for (int p = 0; p < ITEMS; p++) {
        const int k = (t + p * THREADS) / J;
        if (k < K && j < D) {
          const float* read = tape + AT_TAPE_READ + (slot * K + k) * 3 * D + j;
          const float* turned = tape + AT_TAPE_TURNED + (slot * K + k) * 2 * D + j;
          const float re = turned[0], im = turned[D], ste = gates[j];
          const float kept = CAP * gates[D + k], cosine = turn[k], sine = turn[K + k];
          const float through = s.reads[k * DIN + j] / read[0];
          float d_re = (linked ? carry_re[p] : 0.0f) + through * read[D];
          float d_im = (linked ? carry_im[p] : 0.0f) + through * read[2 * D];
          if (PHASE) {
            d_re += s.reads[k * DIN + D + j];
            d_im += s.reads[k * DIN + 2 * D + j];
          }
          float f, slope;
          forget(kept * ste, tau, f, slope);
          const float d_f = (d_re * re + d_im * im) * slope;
          s.ste[k * D + j] = kept * d_f;
          s.fre[k * D + j] = ste * d_f;
          s.drive[k * D + j] = d_re;
          d_re *= f;
          d_im *= f;
          if (ADAPTIVE) s.turn[k * D + j] = d_re * im - d_im * re;
          carry_re[p] = cosine * d_re - sine * d_im;
          carry_im[p] = cosine * d_im + sine * d_re;
        }
      }
      __syncthreads();
      back_gates(s, gates, tables, turn, tau);
      __syncthreads();
      for (int m = w; m < M; m += WARPS) {
        float sum = 0.0f;
#pragma unroll 4
        for (int g = lane; g < G; g += 32) sum += W[(N + m) * G + g] * s.delta[g];
        sum = over_warp(sum);
        if (lane == 0) s.dz[m] = sum;
      }
      for (int g = t; g < G; g += THREADS) Delta[c * G + g] = s.delta[g];
      __syncthreads();
    }
    weight_gradients(s, tape, Delta, Value, Grad, begins);
    begins = false;
  } while (s.more);
  __syncthreads();
  double total = loss, norm = squares_of(Grad);
  over_block(s, norm, total);
  norm = sqrt(norm);
  const bool finite = isfinite(total) && isfinite(norm);
  told += b * WORK_WIDTH_F64 + AT_PRODUCT;
  if (t == 0) told[0] = total, told[1] = norm, joins[b] = finite;
  if (SHARED || !finite) return;
  descend(row, Grad, norm, knobs[0], knobs[1], taken + 1);
  if (t == 0) counters[b * WIDTH_I64 + AT_COUNTERS + ADAM_STEP] = taken + 1;
}

// ------------------------------------------------------------------- a shared cell

// Add the rows' gradients to the sum of their cell, in the order of the rows.
//
// PARTS blocks per cell. rows, counters, work, active, joins: see `learn`.
extern "C" __global__ void __launch_bounds__(THREADS) join(
    float* rows, long long* counters, const float* __restrict__ work,
    const int* __restrict__ active, const int* __restrict__ joins) {
  const int cell = blockIdx.x % TARGETS, part = blockIdx.x / TARGETS;
  float* sum = rows + cell * WIDTH + AT_POOL + KIND * SIZE;
  int joined = 0;
  for (int i = 1; i <= active[0]; i++) {
    const long b = active[i];
    if (home(b) != cell || !joins[b]) continue;
    const float* Grad = work + b * WORK_WIDTH + AT_GRADIENT;
    for (int e = part * THREADS + threadIdx.x; e < SIZE; e += PARTS * THREADS)
      sum[e] += Grad[e];
    joined++;
  }
  if (part == 0 && threadIdx.x == 0)
    counters[cell * WIDTH_I64 + AT_SHARING + NEW + KIND] += joined;
}

// Take a cell's step along the mean of the joined gradients, if it is due and every row has
// taken all events before it.
//
// A block per cell. rows, counters, turns, knobs: see `learn`. flags: whether a row lacks
// room for records, which delays the step.
extern "C" __global__ void __launch_bounds__(THREADS) together(
    float* rows, long long* counters, long long* turns, const int* __restrict__ flags,
    const double* __restrict__ knobs) {
  const int cell = blockIdx.x;
  if (turns[cell * TURNS + STATE] == NONE || flags[CROWDED]) return;
  float* row = rows + cell * WIDTH;
  long long *own = counters + cell * WIDTH_I64 + AT_COUNTERS, taken = own[ADAM_STEP];
  long long* joined = counters + cell * WIDTH_I64 + AT_SHARING + NEW;
  extern __shared__ __align__(16) unsigned char pool[];
  Backward& s = *(Backward*)pool;
  for (int kind = 0; kind < 2; kind++) {
    float* Grad = row + AT_POOL + kind * SIZE;
    const float count = (float)joined[kind];
    if (count == 0.0f) continue;
    for (int e = threadIdx.x; e < SIZE; e += THREADS) Grad[e] /= count;
    double norm = squares_of(Grad), nothing = 0.0;
    over_block(s, norm, nothing);
    norm = sqrt(norm);
    if (isfinite(norm)) descend(row, Grad, norm, knobs[0], knobs[1], ++taken);
    for (int e = threadIdx.x; e < SIZE; e += THREADS) Grad[e] = 0.0f;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  own[ADAM_STEP] = taken;
  own[VERSION] += 1;
  joined[0] = joined[1] = 0;
  turns[cell * TURNS + STATE] = NONE;
}
