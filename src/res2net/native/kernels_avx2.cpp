// Micro-kernels of convolutions: one packed column, or its first half, by a few pixels at a time.
#include "avx2.h"

namespace r2n {
namespace {

// Four bytes as two pairs of 16 bits, whose products and sums are exact: what multiplies bytes
// (vpmaddubsw) adds two products in 16 bits, which two of more than 16,383 pass.
struct Bytes {
  static constexpr Type kType = U8;
  static constexpr int kPixels[] = {0, 8, 4};
  using Sum = __m256i;
  struct Factor {
    __m256i even, odd;
  };
  static INLINE Sum start(const char* bias) { return _mm256_loadu_si256((const __m256i*)bias); }
  static INLINE Sum load(const int32_t* p) { return _mm256_load_si256((const __m256i*)p); }
  static INLINE void store(int32_t* p, Sum x) { _mm256_store_si256((__m256i*)p, x); }
  static INLINE Factor weights(const char* b) {
    const __m256i x = _mm256_load_si256((const __m256i*)b);
    return {_mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), _mm256_srai_epi16(x, 8)};
  }
  static INLINE Factor all(const char* a) {
    const __m256i x = _mm256_set1_epi32(*(const Unit*)a);
    return {_mm256_and_si256(x, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(x, 8)};
  }
  static INLINE Sum dot(Sum s, Factor x, Factor w) {
    return _mm256_add_epi32(s, _mm256_add_epi32(_mm256_madd_epi16(x.even, w.even),
                                                _mm256_madd_epi16(x.odd, w.odd)));
  }
};

#if AVX2_VNNI
struct BytesVnni : Bytes {
  static constexpr int kPixels[] = {0, 12, 6};
  using Factor = __m256i;
  static INLINE Factor weights(const char* b) { return _mm256_load_si256((const __m256i*)b); }
  static INLINE Factor all(const char* a) { return _mm256_set1_epi32(*(const Unit*)a); }
  static INLINE Sum dot(Sum s, Factor x, Factor w) { return _mm256_dpbusd_avx_epi32(s, x, w); }
};
#endif

// Of pixels from `first` on, whose sums lie in memory, a row of vectors for each.
void finish_bytes(const Job& job, const int32_t* sums, int first, int pixels, int vectors) {
  for (int n = 0; n < vectors; ++n) {
    const int shift = n * kWide;
    const uint32_t mask = job.mask[0] >> shift & kAll, mask2 = job.mask2[0] >> shift & kAll;
    const auto scale = [&](Scale of) INLINE_LAMBDA { return _mm256_loadu_ps(job.scales[of] + shift); };
    const int32_t* from = sums + shift;
    const __m256 by = scale(kSum);
    const auto next = [&]() INLINE_LAMBDA {
      const __m256 x = _mm256_cvtepi32_ps(_mm256_load_si256((const __m256i*)from));
      from += vectors * kWide;
      return _mm256_mul_ps(x, by);
    };
    const int end = first + pixels;
    if (job.out_type == BF16) {
      for (int m = first; m < end; ++m) {
        const __m256 x = next();
        Bf16::store(at(job.out, m) + shift * Bf16::kBytes, mask, job.relu ? relu(x) : x);
      }
    } else if (job.residual.base) {
      const __m256 by_residual = scale(kResidual);
      for (int m = first; m < end; ++m) {
        const __m256 y = U8s::load(at(job.residual, m) + shift, mask | mask2);
        const __m256 x = _mm256_fmadd_ps(y, by_residual, next());
        if (mask) U8s::store(at(job.out, m) + shift, mask, x);
        if (mask2) U8s::store(at(job.out2, m) + shift, mask2, x);
      }
    } else if (job.add.base) {
      const __m256 by_output = scale(kOutput), by_add = scale(kAdd);
      for (int m = first; m < end; ++m) {
        const __m256 x = relu(next());
        U8s::store(at(job.out, m) + shift, mask, x);
        char* p = at(job.add, m) + shift;
        const __m256 y = _mm256_mul_ps(x, by_output);
        U8s::store(p, mask, _mm256_fmadd_ps(U8s::load(p, mask), by_add, y));
      }
    } else {
      for (int m = first; m < end; ++m) {
        const __m256 x = next();
        if (mask) U8s::store(at(job.out, m) + shift, mask, x);
        if (mask2) U8s::store(at(job.out2, m) + shift, mask2, x);
      }
    }
  }
}

// Sums of some pixels, in steps of the first source → of the second.
__attribute__((noinline)) void rescale(int32_t* sums, int pixels, int vectors, const float* by) {
  for (int m = 0; m < pixels; ++m)
    for (int n = 0; n < vectors; ++n, sums += kWide) {
      const __m256 x = _mm256_cvtepi32_ps(_mm256_load_si256((const __m256i*)sums));
      const __m256 y = _mm256_mul_ps(x, _mm256_loadu_ps(by + n * kWide));
      _mm256_store_si256((__m256i*)sums, _mm256_cvtps_epi32(y));
    }
}

constexpr int kMost = 56;    // pixels of a job
constexpr int kNear = 256;  // units whose weights stay in the first cache, beside the pixels' units

// Segments of a sum whose weights stay near, or `units` units of a long one behind `skip`.
struct Stretch {
  int begin = 0, end = 0, skip = 0, units = 0;
  int64_t before = 0;  // units of the stretches before this one

  INLINE explicit Stretch(const Job& job) { take(job); }
  INLINE bool starts() const { return begin == 0 && skip == 0; }
  INLINE bool ends(const Job& job) const {
    return end == job.count && (end - begin > 1 || skip + units == job.segments[begin].units);
  }
  INLINE void next(const Job& job) {
    for (int s = begin; s < end; ++s) before += end - begin > 1 ? job.segments[s].units : units;
    skip += units;
    if (end - begin > 1 || skip == job.segments[begin].units) begin = end, skip = 0;
    take(job);
  }
  INLINE void take(const Job& job) {
    const int left = job.segments[begin].units - skip;
    units = left <= kNear + kNear / 2 ? left : kNear;
    end = begin + 1;
    if (skip) return;
    // a second source begins one, since sums may be rescaled before it
    for (int sum = units; end < job.count && end != job.second; ++end)
      if ((sum += job.segments[end].units) > kNear) break;
  }
};

// M pixels from `first` on by N vectors: what a stretch adds to their sums, which lie in memory
// between stretches.
template <class T, int M, int N>
void tile(const Job& job, const Stretch& stretch, int first, int32_t* held) {
  constexpr bool whole = T::kType == U8;
  typename T::Sum sum[M][N];
  held += first * N * kWide;
  if (stretch.starts()) {
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) {
      const typename T::Sum start = T::start(job.bias + n * kWide * 4);
#pragma GCC unroll 12
      for (int m = 0; m < M; ++m) sum[m][n] = start;
    }
  } else {
    if (whole && stretch.begin == job.second && !stretch.skip)
      rescale(held, M, N, job.scales[kSecond]);
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) sum[m][n] = T::load(held + (m * N + n) * kWide);
  }
  const int64_t fetch_step = first ? 0 : job.fetch_step;
  const char* fetch = first ? job.b : job.fetch + stretch.before * fetch_step;
  for (int s = stretch.begin; s < stretch.end; ++s) {
    const Segment& segment = job.segments[s];
    const int units = stretch.end - stretch.begin == 1 ? stretch.units : segment.units;
    const char* a = segment.a + job.a_offset + first * segment.step + 4 * stretch.skip;
    add_products<T, M, N>(sum, a, segment.step, job.b + segment.b + 64 * stretch.skip, 64, units,
                          fetch, fetch_step);
  }
  if constexpr (!whole)
    if (stretch.ends(job)) {
#pragma GCC unroll 12
      for (int m = 0; m < M; ++m) finish<N>(job, first + m, sum[m]);
      return;
    }
#pragma GCC unroll 12
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) T::store(held + (m * N + n) * kWide, sum[m][n]);
  if (whole && stretch.ends(job)) finish_bytes(job, held, first, M, N);
}

// All pixels of a job, stretch by stretch: its weights stay near.
template <class T, int N, int... M>
INLINE void in_tiles(const Job& job, IntList<M...>) {
  static constexpr void (*of_pixels[])(const Job&, const Stretch&, int, int32_t*) = {
      tile<T, M + 1, N>...};
  alignas(32) int32_t held[kMost * N * kWide];
  const Even even(job.pixels, T::kPixels[N]);
  for (Stretch stretch(job);; stretch.next(job)) {
    for (int i = 0; i < even.parts; ++i) {
      const int begin = even.begin(i), end = even.begin(i + 1);
      if (stretch.ends(job)) prepare(job, begin, end);
      of_pixels[end - begin - 1](job, stretch, begin, held);
    }
    if (stretch.ends(job)) return;
  }
}

template <class T, int N>
void tiles(const Job& job) {
  in_tiles<T, N>(job, Upto<T::kPixels[N]>());
}

template <class T>
INLINE Kernel of_type(bool half) {
  return half ? tiles<T, 1> : tiles<T, 2>;
}

// As many products as registers hold sums, round after round: nothing is read or written.
template <class T>
INLINE int64_t products(int64_t rounds) {
  constexpr int sums = 2 * T::kPixels[2];
  typename T::Sum sum[sums] = {};
#pragma GCC unroll 12
  for (int i = 0; i < sums; ++i) asm volatile("" : "+x"(sum[i]));  // as if they differed
  alignas(32) const char zero[32] = {};
  typename T::Factor a = T::all(zero), b = T::weights(zero);
  for (int64_t r = 0; r < rounds; ++r) {
    asm volatile("" : "+m"(a), "+m"(b));  // and these were new
#pragma GCC unroll 12
    for (int i = 0; i < sums; ++i) sum[i] = T::dot(sum[i], a, b);
  }
#pragma GCC unroll 12
  for (int i = 0; i < sums; ++i) asm volatile("" : : "x"(sum[i]));
  return rounds * sums * kWide * per_unit(T::kType);
}

}  // namespace

Kernel avx2_kernel(Type type, int, int, bool half) {
  return type == F32 ? of_type<Floats>(half) : of_type<Bytes>(half);
}

int64_t avx2_products(Type type, int64_t rounds) {
  return type == F32 ? products<Floats>(rounds) : products<Bytes>(rounds);
}

#if AVX2_VNNI
Kernel avx2_vnni_kernel(Type, int, int, bool half) { return of_type<BytesVnni>(half); }

int64_t avx2_vnni_products(Type, int64_t rounds) { return products<BytesVnni>(rounds); }
#else
Kernel avx2_vnni_kernel(Type, int, int, bool) { return nullptr; }

int64_t avx2_vnni_products(Type, int64_t) { return 0; }
#endif

}  // namespace r2n
AVX2_END
