// What files compiled for processors with AVX-512, bf16 and VNNI share. No header of the standard
// library here: an inline function compiled for these instructions must not be the one that others
// link to. It is the first thing included, and AVX512_END the last line.
#pragma once
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni"))), apply_to = function)
#else
#pragma GCC target("fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni")
#endif
#include <immintrin.h>

#include "kernels.h"

#if defined(__clang__)
#define AVX512_END _Pragma("clang attribute pop")
#else
#define AVX512_END
#endif

namespace r2n {
namespace {

#define INLINE inline __attribute__((always_inline))

INLINE __m512 widen(__m256i x) {  // 16 bf16 → float
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

#define INLINE_LAMBDA __attribute__((always_inline))

// Two columns of 16 channels at a time, in float.
struct Pair {
  __m512 lo, hi;
};

// What sums in float have in common.
struct FloatSums {
  static constexpr bool kInteger = false;
  using Sum = __m512;
  using Half = __m256;
  static INLINE Sum start(const char* bias) { return _mm512_loadu_ps(bias); }
  static INLINE Half start_half(const char* bias) { return _mm256_loadu_ps((const float*)bias); }
  static INLINE Sum whole(Half x) { return _mm512_zextps256_ps512(x); }
};

struct Bf16 : FloatSums {
  static constexpr int kBytes = 2, kUnit = 2;  // of a channel; channels of a unit
  static INLINE Sum dot(Sum s, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(s, (__m512bh)a, (__m512bh)b);
  }
  static INLINE __m256 dot(__m256 s, __m256i a, __m256i b) {
    return _mm256_dpbf16_ps(s, (__m256bh)a, (__m256bh)b);
  }
  static INLINE Pair load(const char* p, uint32_t mask) {
    const __m512i x = mask == ~0u ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16(mask, p);
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(x)), 16)),
            widen(_mm512_extracti64x4_epi64(x, 1))};
  }
  static INLINE void store(char* p, uint32_t mask, Pair x) {
    const __m512i y = (__m512i)_mm512_cvtne2ps_pbh(x.hi, x.lo);
    put(p, mask, y);
  }
  // The same without the instruction, for int8: processors with VNNI may lack it.
  static INLINE void store_by_shifts(char* p, uint32_t mask, Pair x) {
    put(p, mask, _mm512_inserti64x4(_mm512_castsi256_si512(rounded(x.lo)), rounded(x.hi), 1));
  }
  static INLINE __m256i rounded(__m512 x) {  // to the nearest and even
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_add_epi32(bits, half), 16));
  }
  static INLINE void put(char* p, uint32_t mask, __m512i y) {
    if (mask == ~0u) _mm512_storeu_si512(p, y);
    else _mm512_mask_storeu_epi16(p, mask, y);
  }
};

struct F32s : FloatSums {
  static constexpr int kBytes = 4, kUnit = 1;
  static INLINE Sum dot(Sum s, __m512i a, __m512i b) {
    return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), s);
  }
  static INLINE __m256 dot(__m256 s, __m256i a, __m256i b) {
    return _mm256_fmadd_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), s);
  }
  static INLINE Pair load(const char* p, uint32_t mask) {
    return {_mm512_maskz_loadu_ps(mask & 0xffff, p), _mm512_maskz_loadu_ps(mask >> 16, p + 64)};
  }
  static INLINE void store(char* p, uint32_t mask, Pair x) {
    _mm512_mask_storeu_ps(p, mask & 0xffff, x.lo);
    if (mask >> 16) _mm512_mask_storeu_ps(p + 64, mask >> 16, x.hi);
  }
};

// Activations of 8 bits without a sign, weights of 8 bits with one, sums of 32 bits.
struct U8s {
  static constexpr int kBytes = 1;
  static constexpr bool kInteger = true;
  using Sum = __m512i;
  using Half = __m256i;
  static INLINE Sum start(const char* bias) { return _mm512_loadu_si512(bias); }
  static INLINE Half start_half(const char* bias) {
    return _mm256_loadu_si256((const __m256i*)bias);
  }
  static INLINE Sum whole(Half x) { return _mm512_zextsi256_si512(x); }
  static INLINE Sum dot(Sum s, __m512i a, __m512i b) { return _mm512_dpbusd_epi32(s, a, b); }
  static INLINE Half dot(Half s, __m256i a, __m256i b) { return _mm256_dpbusd_epi32(s, a, b); }
  static INLINE Pair load(const char* p, uint32_t mask) {
    const __m256i x = mask == ~0u ? _mm256_loadu_si256((const __m256i*)p)
                                  : _mm256_maskz_loadu_epi8(mask, p);
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(x))),
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm256_extracti128_si256(x, 1)))};
  }
  // To the nearest and even; what is below 0 or above 255 becomes that.
  static INLINE __m128i bytes(__m512 x) {
    return _mm512_cvtusepi32_epi8(_mm512_max_epi32(_mm512_cvtps_epi32(x), _mm512_setzero_si512()));
  }
  static INLINE void store(char* p, uint32_t mask, Pair x) {
    const __m256i y = _mm256_set_m128i(bytes(x.hi), bytes(x.lo));
    if (mask == ~0u) _mm256_storeu_si256((__m256i*)p, y);
    else _mm256_mask_storeu_epi8(p, mask, y);
  }
};

// Four bytes of one pixel, at any address: splits begin where their width says.
typedef int32_t Unit __attribute__((aligned(1), may_alias));

INLINE char* at(const Target& t, int m) {
  return t.base + t.step * (t.map ? (int64_t)t.map[m] : t.first + m);
}

INLINE Pair sum_of(Pair x, Pair y) {
  return {_mm512_add_ps(x.lo, y.lo), _mm512_add_ps(x.hi, y.hi)};
}

INLINE Pair relu(Pair x) {
  const __m512 zero = _mm512_setzero_ps();
  return {_mm512_max_ps(x.lo, zero), _mm512_max_ps(x.hi, zero)};
}

// What becomes of the sums of two columns and one pixel, `shift` channels behind the tile's first.
template <class T>
INLINE void finish(const Job& job, int m, int64_t shift, uint32_t mask, uint32_t mask2, Pair x) {
  if (job.residual.base)
    x = sum_of(x, T::load(at(job.residual, m) + shift * T::kBytes, mask | mask2));
  if (job.relu) x = relu(x);
  if (mask) T::store(at(job.out, m) + shift * T::kBytes, mask, x);
  if (mask2) T::store(at(job.out2, m) + shift * T::kBytes, mask2, x);
  if (job.add.base) {
    char* p = at(job.add, m) + shift * T::kBytes;
    T::store(p, mask, sum_of(x, T::load(p, mask)));
  }
}

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
