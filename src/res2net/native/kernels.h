// What a micro-kernel is told: one tile of output pixels by packed columns of 16 channels.
//
// Everything is counted in units of 4 bytes of input: four bytes, two bf16 or one float of one
// pixel. A unit is broadcast to a vector and multiplied with 64 bytes of packed weights: that unit
// for 16 output channels. So one loop serves all types.
#pragma once
#include <cstdint>

namespace r2n {

enum Type : int32_t { BF16 = 0, F32 = 1, U8 = 2 };
constexpr int kTypes = 3;
constexpr int kLanes = 16;     // output channels of a packed column

static inline int size_of(Type t) { return t == BF16 ? 2 : t == F32 ? 4 : 1; }
static inline int per_unit(Type t) { return 4 / size_of(t); }

// A stretch of the sum: `units` units of every pixel of the tile, from `a` on, pixels `step` apart.
struct Segment {
  const char* a;
  int64_t step;   // bytes between pixels
  int64_t b;      // bytes into the packed column
  int32_t units;
};

// A buffer that a tile writes or reads besides its sums.
struct Target {
  char* base;          // first channel of the tile, pixel 0; null where there is none
  int64_t step;        // bytes between pixels
  const int32_t* map;  // numbers of the tile's pixels; null: first, first + 1, ...
  int64_t first;
};

// Of U8, by output channel: what a step of one thing is in steps of another.
enum Scale : int32_t {
  kSum = 0,      // of a sum, in the output's
  kSecond,       // of the first source's sum, in the second source's
  kResidual,     // of the residual, in the output's
  kOutput,       // of the output, in those that `add` has afterwards
  kAdd,          // of `add` before, in those that it has afterwards
  kScales
};

struct Job {
  const Segment* segments;
  int32_t count;
  int32_t relu;
  int64_t a_offset;     // bytes, added to every segment's a
  const char* b;        // packed weights of the tile's first column
  int64_t b_column;     // bytes between packed columns
  const char* fetch;    // what will be wanted soon: a line for each unit, so many bytes apart
  int64_t fetch_step;   // or 0
  const char* bias;     // of the tile's first column: floats, or int32 of U8
  const float* scales[kScales];  // of U8, of the tile's first column; null where not needed
  int32_t second;       // the segment of the second source, or -1
  int32_t out_type;     // of U8: U8, or BF16 for what has a sign
  int32_t pixels;       // of pairs: the last may have one pixel
  int64_t plane;        // of pairs: bytes between the four sums of a pair's pixels
  uint32_t mask[2];     // channels of column pairs that go to out
  uint32_t mask2[2];    // channels that go to out2
  Target out, out2, residual, add;
};

using Kernel = void (*)(const Job&);

// Arithmetic on the channels of one pixel, besides convolutions.
struct Simple {
  void (*max_rows)(const char* const* pixels, int count, char* out, int channels, Type type);
  // out = factor · sum
  void (*mean_rows)(const char* const* pixels, int count, float factor, char* out, int channels,
                    Type type);
  // sums += in
  void (*sum)(const char* in, float* sums, int channels, Type type);
  // out = factor · values
  void (*store)(const float* values, float factor, char* out, int channels, Type type);
  // out = relu(y · gates + residual)
  void (*gate)(const char* y, const float* gates, const char* residual, char* out, int channels,
               Type type);
  // out = relu(y · gates + scale · residual) / step, y in bf16, residual in bytes or bf16, out in
  // bytes; steps hold 1 / step
  void (*gate_bytes)(const char* y, const float* gates, const char* residual, Type residual_type,
                     const float* scales, const float* steps, char* out, int channels);
  float (*dot)(const float* x, const char* w, int n, Type type);
};

// Two pixels of a row by four products instead of six: Winograd's F(2, 3) along rows. Of pixels
// d0 to d3 that a pair's 3 taps see, each row of taps multiplies d0 - d2, d1 + d2, d2 - d1 and
// d1 - d3 (planes); weights come transformed as well.
constexpr int kPlanes = 4;

// The arithmetic of one set of instructions. A micro-kernel is chosen by its tile; `half`: the last
// column has no more than 8 channels.
struct Kernels {
  int max_pixels[4];  // of the widest tile of 1, 2, 3, 4 columns; 0: no tile has so many
  int max_pairs;      // of the widest tile of pairs, which has one column
  Kernel (*tile)(Type type, int pixels, int columns, bool half);
  // Segments are rows of taps, `step` is between pairs.
  Kernel (*pairs)(Type type, int pairs, bool half);
  // The planes of a row whose left border `in` points to; of a plane's channels no more are written
  // than its last unit has.
  void (*planes)(const char* in, int64_t step, int pixels, int channels, char* out, int64_t plane,
                 Type type);
  // Multiplies and adds in registers alone; returns how many multiply-adds that were.
  int64_t (*products)(Type type, int64_t rounds);
  const Simple* simple;
};

// A row of the table of kernels (kernels.cpp).
struct InstructionSet {
  const char* name;
  Type type;      // that convolutions multiply in
  int32_t level;  // place in `processor.LEVELS` from which on it may be used
  bool (*present)();
  const Kernels* kernels;
};

// The best set that this processor has for a type, of those up to a level; null where there is none.
const InstructionSet* instruction_set(int type, int level);

// What the files of a set's instructions give.
Kernel avx512_kernel(Type type, int pixels, int columns, bool half);
Kernel avx512_pairs(Type type, int pairs, bool half);
void avx512_planes(const char* in, int64_t step, int pixels, int channels, char* out, int64_t plane,
                   Type type);
int64_t avx512_products(Type type, int64_t rounds);
extern const Simple avx512_simple;

Kernel avx2_kernel(Type type, int pixels, int columns, bool half);
Kernel avx2_pairs(Type type, int pairs, bool half);
void avx2_planes(const char* in, int64_t step, int pixels, int channels, char* out, int64_t plane,
                 Type type);
int64_t avx2_products(Type type, int64_t rounds);
extern const Simple avx2_simple;

// Of bytes, with AVX-VNNI; null where the compiler does not know it.
Kernel avx2_vnni_kernel(Type type, int pixels, int columns, bool half);
int64_t avx2_vnni_products(Type type, int64_t rounds);

}  // namespace r2n
