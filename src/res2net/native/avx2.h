// What files compiled for processors with AVX2, FMA and AVX-VNNI share. As in avx512.h, no header of
// the standard library; it is the first thing included, and AVX2_END the last line.
#pragma once
#if defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11
#define AVX2_VNNI 1
#else
#define AVX2_VNNI 0
#endif
#if defined(__clang__) && AVX2_VNNI
#pragma clang attribute push(__attribute__((target("avx2,fma,avxvnni"))), apply_to = function)
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif AVX2_VNNI
#pragma GCC target("avx2,fma,avxvnni")
#else
#pragma GCC target("avx2,fma")
#endif
#include <immintrin.h>

#include "kernels.h"

#if defined(__clang__)
#define AVX2_END _Pragma("clang attribute pop")
#else
#define AVX2_END
#endif

namespace r2n {
namespace {

#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))

constexpr int kWide = 8;  // channels of a vector: half a packed column
constexpr uint32_t kAll = 0xff;

// Of a number of channels that are left, the mask of a vector.
INLINE uint32_t up_to(int left) { return left >= kWide ? kAll : (1u << left) - 1; }

INLINE __m256i lanes(uint32_t mask) {
  const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)mask), bits), bits);
}

// Some elements of a few bytes.
template <int BYTES>
INLINE void copy(char* to, const char* from, uint32_t mask) {
  for (; mask; mask &= mask - 1) {
    const int i = __builtin_ctz(mask) * BYTES;
    __builtin_memcpy(to + i, from + i, BYTES);
  }
}

// Four bytes of one pixel, at any address: splits begin where their width says.
typedef int32_t Unit __attribute__((aligned(1), may_alias));

// The first channels of eight; what a masked store takes dozens of steps for on AMD's processors.
INLINE void store_first(float* p, uint32_t mask, __m256 x) {
  __m128 y = _mm256_castps256_ps128(x);
  if (mask & 8) {
    _mm_storeu_ps(p, y);
    if (!(mask & 16)) return;
    p += 4, mask >>= 4, y = _mm256_extractf128_ps(x, 1);
  }
  if (mask & 2) {
    _mm_storel_pi((__m64*)p, y);
    if (!(mask & 4)) return;
    p += 2, y = _mm_movehl_ps(y, y);
  }
  _mm_store_ss(p, y);
}

// How a type is kept: eight channels from memory and back.
struct F32s {
  static constexpr int kBytes = 4;
  static INLINE __m256 load(const char* p, uint32_t mask) {
    return mask == kAll ? _mm256_loadu_ps((const float*)p)
                        : _mm256_maskload_ps((const float*)p, lanes(mask));
  }
  static INLINE void store(char* p, uint32_t mask, __m256 x) {
    if (mask == kAll) return _mm256_storeu_ps((float*)p, x);
    if (mask & 1) return store_first((float*)p, mask, x);
    alignas(32) char some[32];
    _mm256_store_ps((float*)some, x);
    copy<4>(p, some, mask);
  }
};

// Of int8 alone, for what has a sign.
struct Bf16 {
  static constexpr int kBytes = 2;
  static INLINE __m256 load(const char* p, uint32_t mask) {
    alignas(16) char some[16] = {};
    if (mask != kAll) copy<2>(some, p, mask), p = some;
    const __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
  }
  // To the nearest and even.
  static INLINE void store(char* p, uint32_t mask, __m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const __m256i y = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    const __m128i z = _mm_packus_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    if (mask == kAll) return _mm_storeu_si128((__m128i*)p, z);
    alignas(16) char some[16];
    _mm_store_si128((__m128i*)some, z);
    copy<2>(p, some, mask);
  }
};

struct U8s {
  static constexpr int kBytes = 1;
  static INLINE __m256 load(const char* p, uint32_t mask) {
    alignas(16) char some[16] = {};
    if (mask != kAll) copy<1>(some, p, mask), p = some;
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)));
  }
  // To the nearest and even; what is below 0 or above 255 becomes that.
  static INLINE void store(char* p, uint32_t mask, __m256 x) {
    const __m256i y = _mm256_min_epi32(
        _mm256_max_epi32(_mm256_cvtps_epi32(x), _mm256_setzero_si256()), _mm256_set1_epi32(255));
    const __m128i z = _mm_packus_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    const __m128i w = _mm_packus_epi16(z, z);
    if (mask == kAll) return _mm_storel_epi64((__m128i*)p, w);
    alignas(16) char some[16];
    _mm_store_si128((__m128i*)some, w);
    copy<1>(p, some, mask);
  }
};

INLINE char* at(const Target& t, int m) {
  return t.base + t.step * (t.map ? (int64_t)t.map[m] : t.first + m);
}

INLINE __m256 relu(__m256 x) { return _mm256_max_ps(x, _mm256_setzero_ps()); }

// What becomes of the sums of one pixel.
template <int N>
INLINE void finish(const Job& job, int m, const __m256 (&sum)[N]) {
  const uint32_t mask = job.mask[0], mask2 = job.mask2[0];
  __m256 x[N];
#pragma GCC unroll 2
  for (int n = 0; n < N; ++n) x[n] = sum[n];
  const auto each = [](auto&& f) INLINE_LAMBDA {
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) f(n, n * kWide * F32s::kBytes);
  };
  const auto part = [](uint32_t of, int n) INLINE_LAMBDA { return of >> n * kWide & kAll; };
  if (job.residual.base) {
    const char* p = at(job.residual, m);
    each([&](int n, int bytes) INLINE_LAMBDA {
      x[n] = x[n] + F32s::load(p + bytes, part(mask | mask2, n));
    });
  }
  if (job.relu) each([&](int n, int) INLINE_LAMBDA { x[n] = relu(x[n]); });
  if (mask) {
    char* p = at(job.out, m);
    each([&](int n, int bytes) INLINE_LAMBDA {
      if (part(mask, n)) F32s::store(p + bytes, part(mask, n), x[n]);
    });
  }
  if (mask2) {
    char* p = at(job.out2, m);
    each([&](int n, int bytes) INLINE_LAMBDA {
      if (part(mask2, n)) F32s::store(p + bytes, part(mask2, n), x[n]);
    });
  }
  if (job.add.base) {
    char* p = at(job.add, m);
    each([&](int n, int bytes) INLINE_LAMBDA {
      if (const uint32_t here = part(mask, n))
        F32s::store(p + bytes, here, x[n] + F32s::load(p + bytes, here));
    });
  }
}

// Asks for what is read and written at the end, while there is time.
INLINE void prepare(const Job& job, int begin, int end) {
  if (job.residual.base)
    for (int m = begin; m < end; ++m) _mm_prefetch(at(job.residual, m), _MM_HINT_T0);
  for (int m = begin; m < end; ++m) __builtin_prefetch(at(job.out, m), 1);
}

// Multiplication by type: weights of a unit for eight channels, a unit of a pixel, sums.
struct Floats {
  static constexpr Type kType = F32;
  static constexpr int kPixels[] = {0, 12, 6};  // at most, of tiles of so many vectors
  using Sum = __m256;
  using Factor = __m256;
  static INLINE Sum start(const char* bias) { return _mm256_loadu_ps((const float*)bias); }
  static INLINE Sum load(const int32_t* p) { return _mm256_load_ps((const float*)p); }
  static INLINE void store(int32_t* p, Sum x) { _mm256_store_ps((float*)p, x); }
  static INLINE Factor weights(const char* b) { return _mm256_load_ps((const float*)b); }
  static INLINE Factor all(const char* a) { return _mm256_broadcast_ss((const float*)a); }
  static INLINE Sum dot(Sum s, Factor x, Factor w) { return _mm256_fmadd_ps(x, w, s); }
};

// sum[m][n] += the products of a stretch of units. Pixels lie in groups of five: their addresses are
// a base and 0, 1, 2, 3 or 4 steps.
template <class T, int M, int N>
INLINE void add_products(typename T::Sum (&sum)[M][N], const char* from, int64_t step,
                         const char* b, int64_t b_step, int units, const char*& fetch,
                         int64_t fetch_step) {
  const int64_t step3 = 3 * step;
  const char* a[(M + 4) / 5];
#pragma GCC unroll 3
  for (int g = 0; g < (M + 4) / 5; ++g) a[g] = from + 5 * g * step;
  const char* const end = b + b_step * units;
  for (; b != end; b += b_step) {
    typename T::Factor w[N];
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) w[n] = T::weights(b + 32 * n);
    _mm_prefetch(fetch, _MM_HINT_T1);
    fetch += fetch_step;
#pragma GCC unroll 12
    for (int m = 0; m < M; ++m) {
      const int k = m % 5;
      const typename T::Factor x = T::all(a[m / 5] + (k == 3 ? step3 : k * step));
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) sum[m][n] = T::dot(sum[m][n], x, w[n]);
    }
#pragma GCC unroll 3
    for (int g = 0; g < (M + 4) / 5; ++g) {
      a[g] += 4;
      asm("" : "+r"(a[g]));  // else each pixel gets a pointer of its own
    }
  }
}

// A part of [0, total): even parts, none larger than `most`.
struct Even {
  int total, most, parts;
  INLINE Even(int total, int most)
      : total(total), most(most), parts((total + most - 1) / most) {}
  INLINE int begin(int part) const { return total * part / parts; }
};

template <int... I>
struct IntList {};
template <int N, int... I>
struct Count : Count<N - 1, N - 1, I...> {};
template <int... I>
struct Count<0, I...> {
  using List = IntList<I...>;
};
template <int N>
using Upto = typename Count<N>::List;  // 0 to N - 1

}  // namespace
}  // namespace r2n
