// Micro-kernels of 3×3 convolutions by pairs of pixels (see kernels.h). Registers hold the sums of
// one plane at a time; those of all four meet in memory.
#include "avx2.h"

namespace r2n {
namespace {

template <int M, int N>
void tile(const Job& job, int first) {
  alignas(32) float held[kPlanes][M][N][kWide];
  const char* fetch = first ? job.b : job.fetch;
  for (int k = 0; k < kPlanes; ++k) {
    __m256 sum[M][N];
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) {
      // both pixels add the second plane
      const __m256 start = k == 1 ? Floats::start(job.bias + n * kWide * 4) : _mm256_setzero_ps();
#pragma GCC unroll 12
      for (int m = 0; m < M; ++m) sum[m][n] = start;
    }
    const int64_t fetch_step = first ? 0 : job.fetch_step;
    for (int s = 0; s < job.count; ++s) {
      const Segment& segment = job.segments[s];
      const char* a = segment.a + job.a_offset + k * job.plane + first * segment.step;
      add_products<Floats, M, N>(sum, a, segment.step, job.b + segment.b + 64 * k, kPlanes * 64,
                                 segment.units, fetch, k ? 0 : fetch_step);
    }
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) _mm256_store_ps(held[k][m][n], sum[m][n]);
  }
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) {
      __m256 x[kPlanes];
#pragma GCC unroll 4
      for (int k = 0; k < kPlanes; ++k) x[k] = _mm256_load_ps(held[k][m][n]);
      const int pixel = 2 * (first + m), shift = n * kWide;
      finish(job, pixel, shift, x[0] + x[1] + x[2]);
      if (pixel + 1 < job.pixels) finish(job, pixel + 1, shift, x[1] - x[2] - x[3]);
    }
}

template <int N, int... M>
INLINE void in_tiles(const Job& job, IntList<M...>) {
  static constexpr void (*of_pairs[])(const Job&, int) = {tile<M + 1, N>...};
  const int pairs = (job.pixels + 1) / 2;
  const int parts = (pairs + Floats::kPixels[N] - 1) / Floats::kPixels[N];
  for (int i = 0; i < parts; ++i) {
    const int begin = pairs * i / parts, end = pairs * (i + 1) / parts;
    of_pairs[end - begin - 1](job, begin);
  }
}

// All pairs of a job, as evenly as may be.
template <int N>
void tiles(const Job& job) {
  in_tiles<N>(job, Upto<Floats::kPixels[N]>());
}

}  // namespace

Kernel avx2_pairs(Type, int, bool half) { return half ? tiles<1> : tiles<2>; }

void avx2_planes(const char* in, int64_t step, int pixels, int channels, char* out, int64_t plane,
                 Type) {
  for (int c = 0; c < channels; c += kWide) {
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
