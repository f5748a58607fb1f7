// Micro-kernels of 3×3 convolutions by pairs of pixels (see kernels.h). Registers hold the sums of
// one plane at a time; those of all four meet in memory.
#include "avx2.h"

namespace r2n {
namespace {

constexpr int kMost = 28;  // pairs of a job

// M pairs of one plane, from `first` on.
template <int M, int N>
void tile(const Job& job, int plane, int first, float* held) {
  __m256 sum[M][N];
#pragma GCC unroll 2
  for (int n = 0; n < N; ++n) {
    // both pixels add the second plane
    const __m256 start = plane == 1 ? Floats::start(job.bias + n * kWide * 4) : _mm256_setzero_ps();
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m) sum[m][n] = start;
  }
  const bool leads = !plane && !first;
  const char* fetch = leads ? job.fetch : job.b;
  for (int s = 0; s < job.count; ++s) {
    const Segment& segment = job.segments[s];
    const char* a = segment.a + job.a_offset + plane * job.plane + first * segment.step;
    add_products<Floats, M, N>(sum, a, segment.step, job.b + segment.b + 64 * plane, kPlanes * 64,
                               segment.units, fetch, leads ? job.fetch_step : 0);
  }
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) _mm256_store_ps(held + ((first + m) * N + n) * kWide, sum[m][n]);
}

// All pairs of a job, plane by plane: its weights stay near.
template <int N, int... M>
INLINE void in_tiles(const Job& job, IntList<M...>) {
  static constexpr void (*of_pairs[])(const Job&, int, int, float*) = {tile<M + 1, N>...};
  alignas(32) float held[kPlanes][kMost][N][kWide];
  const int pairs = (job.pixels + 1) / 2;
  const Even even(pairs, Floats::kPixels[N]);
  prepare(job, 0, job.pixels);
  for (int plane = 0; plane < kPlanes; ++plane)
    for (int i = 0; i < even.parts; ++i) {
      const int begin = even.begin(i);
      of_pairs[even.begin(i + 1) - begin - 1](job, plane, begin, held[plane][0][0]);
    }
  for (int m = 0; m < pairs; ++m) {
    __m256 first[N], second[N];
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) {
      const auto sum = [&](int plane) INLINE_LAMBDA { return _mm256_load_ps(held[plane][m][n]); };
      first[n] = sum(0) + sum(1) + sum(2);
      second[n] = sum(1) - sum(2) - sum(3);
    }
    finish<N>(job, 2 * m, first);
    if (2 * m + 1 < job.pixels) finish<N>(job, 2 * m + 1, second);
  }
}

template <int N>
void tiles(const Job& job) {
  in_tiles<N>(job, Upto<Floats::kPixels[N]>());
}

}  // namespace

Kernel avx2_pairs(Type, int, bool half) { return half ? tiles<1> : tiles<2>; }

void avx2_planes(const char* in, int64_t step, int pixels, int channels, char* out, int64_t plane,
                 Type) {
  for (int next = 0; next < channels; next += kWide) {
    // what is left over is taken with some of the channels before it
    const int c = channels < kWide || next + kWide <= channels ? next : channels - kWide;
    const uint32_t mask = up_to(channels - c);
    const char* from = in + c * 4;
    char* to = out + c * 4;
    __m256 d0 = F32s::load(from, mask), d1 = F32s::load(from + step, mask);
    for (int x = 0; x < pixels; x += 2, to += kPlanes * plane) {
      from += 2 * step;
      const __m256 d2 = F32s::load(from, mask);
      const __m256 d3 = x + 1 < pixels ? F32s::load(from + step, mask) : d2;  // of half a pair: unused
      F32s::store(to, mask, d0 - d2);
      F32s::store(to + plane, mask, d1 + d2);
      F32s::store(to + 2 * plane, mask, d2 - d1);
      F32s::store(to + 3 * plane, mask, d1 - d3);
      d0 = d2, d1 = d3;
    }
  }
}

}  // namespace r2n
AVX2_END
