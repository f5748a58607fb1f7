// Micro-kernels for processors with AVX-512, bf16 and VNNI. No header of the standard library here:
// an inline function compiled for these instructions must not be the one that others link to.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni"))), apply_to = function)
#else
#pragma GCC target("fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni")
#endif
#include <immintrin.h>

#include "kernels.h"

namespace r2n {
namespace {

// Four bytes of one pixel, at any address: splits begin where their width says.
typedef int32_t Unit __attribute__((aligned(1), may_alias));

#define INLINE inline __attribute__((always_inline))

INLINE __m512 widen(__m256i x) {  // 16 bf16 → float
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

#define INLINE_LAMBDA __attribute__((always_inline))

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

// Two columns of 16 channels at a time, in float.
struct Pair {
  __m512 lo, hi;
};

struct Bf16 {
  static constexpr int kBytes = 2;
  using Sum = __m512;
  static INLINE Sum start(const float* bias) { return _mm512_loadu_ps(bias); }
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
    if (mask == ~0u) _mm512_storeu_si512(p, y);
    else _mm512_mask_storeu_epi16(p, mask, y);
  }
};

struct F32s {
  static constexpr int kBytes = 4;
  using Sum = __m512;
  static INLINE Sum start(const float* bias) { return _mm512_loadu_ps(bias); }
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

INLINE char* at(const Target& t, int m) {
  return t.base + t.step * (t.map ? (int64_t)t.map[m] : t.first + m);
}

// M pixels by N columns. Where the last column has no more than 8 channels it is half a vector, and
// half the work.
template <class T, int M, int N, bool HALF>
void tile(const Job& job) {
  constexpr int W = HALF ? N - 1 : N;  // whole columns
  typename T::Sum sum[M][N];
  __m256 half[M];
  if (HALF) {
    const __m256 start = _mm256_loadu_ps(job.bias + W * kLanes);
#pragma GCC unroll 28
    for (int m = 0; m < M; ++m) half[m] = start;
  }
#pragma GCC unroll 4
  for (int n = 0; n < W; ++n) {
    const typename T::Sum start = T::start(job.bias + n * kLanes);
#pragma GCC unroll 28
    for (int m = 0; m < M; ++m) sum[m][n] = start;
  }
  // what is written at the end is fetched now, while there is time
#pragma GCC unroll 2
  for (int j = 0; j < (N + 1) / 2; ++j) {
    const int64_t shift = 2 * j * kLanes * T::kBytes;
    if (job.residual.base)
      for (int m = 0; m < M; ++m) _mm_prefetch(at(job.residual, m) + shift, _MM_HINT_T0);
    for (int m = 0; m < M; ++m) __builtin_prefetch(at(job.out, m) + shift, 1);
  }
  const int64_t column = job.b_column, ahead = job.ahead;
  for (int s = 0; s < job.count; ++s) {
    const Segment& segment = job.segments[s];
    const int64_t step = segment.step, step3 = 3 * step;
    // pixels in groups of five: their addresses are a base and 0, 1, 2, 3 or 4 steps
    const char* a[(M + 4) / 5];
#pragma GCC unroll 6
    for (int g = 0; g < (M + 4) / 5; ++g) a[g] = segment.a + job.a_offset + 5 * g * step;
    const char* b = job.b + segment.b;
    const char* const end = b + 64 * (int64_t)segment.units;
    for (; b != end; b += 64) {
      __m512i w[N];
      __m256i v;
      if (HALF) {
        v = _mm256_load_si256((const __m256i*)(b + W * column));
        _mm_prefetch(b + W * column + ahead, _MM_HINT_T1);
      }
#pragma GCC unroll 4
      for (int n = 0; n < W; ++n) {
        w[n] = _mm512_load_si512(b + n * column);
        _mm_prefetch(b + n * column + ahead, _MM_HINT_T1);
      }
#pragma GCC unroll 28
      for (int m = 0; m < M; ++m) {
        const int k = m % 5;
        const char* p = a[m / 5] + (k == 3 ? step3 : k * step);
        const __m512i x = _mm512_set1_epi32(*(const Unit*)p);
#pragma GCC unroll 4
        for (int n = 0; n < W; ++n) sum[m][n] = T::dot(sum[m][n], x, w[n]);
        if (HALF) half[m] = T::dot(half[m], _mm512_castsi512_si256(x), v);
      }
#pragma GCC unroll 6
      for (int g = 0; g < (M + 4) / 5; ++g) {
        a[g] += 4;
        asm("" : "+r"(a[g]));  // else each pixel gets a pointer of its own
      }
    }
  }
  const auto column_of = [&](int m, int n) INLINE_LAMBDA {
    return n < W ? sum[m][n] : _mm512_zextps256_ps512(half[m]);
  };
#pragma GCC unroll 2
  for (int j = 0; j < (N + 1) / 2; ++j) {
    const bool two = 2 * j + 1 < N;
    const int64_t shift = 2 * j * kLanes;  // channels
    const uint32_t mask = job.mask[j], mask2 = job.mask2[j];
#pragma GCC unroll 28
    for (int m = 0; m < M; ++m) {
      Pair x{column_of(m, 2 * j), column_of(m, two ? 2 * j + 1 : 2 * j)};
      if (job.residual.base) {
        const Pair y = T::load(at(job.residual, m) + shift * T::kBytes, mask | mask2);
        x.lo = _mm512_add_ps(x.lo, y.lo);
        x.hi = _mm512_add_ps(x.hi, y.hi);
      }
      if (job.relu) {
        x.lo = _mm512_max_ps(x.lo, _mm512_setzero_ps());
        x.hi = _mm512_max_ps(x.hi, _mm512_setzero_ps());
      }
      if (mask) T::store(at(job.out, m) + shift * T::kBytes, mask, x);
      if (mask2) T::store(at(job.out2, m) + shift * T::kBytes, mask2, x);
      if (job.add.base) {
        char* p = at(job.add, m) + shift * T::kBytes;
        const Pair y = T::load(p, mask);
        x.lo = _mm512_add_ps(x.lo, y.lo);
        x.hi = _mm512_add_ps(x.hi, y.hi);
        T::store(p, mask, x);
      }
    }
  }
}

template <class T, int N, bool HALF, int... M>
INLINE Kernel pick(int pixels, IntList<M...>) {
  static constexpr Kernel table[] = {tile<T, M + 1, N, HALF>...};
  return table[pixels - 1];
}

template <class T>
Kernel of_type(int pixels, int columns, bool half) {
  switch (2 * columns + half) {
    case 2: return pick<T, 1, false>(pixels, Upto<28>());
    case 3: return pick<T, 1, true>(pixels, Upto<28>());
    case 4: return pick<T, 2, false>(pixels, Upto<14>());
    case 5: return pick<T, 2, true>(pixels, Upto<14>());
    case 6: return pick<T, 3, false>(pixels, Upto<9>());
    case 7: return pick<T, 3, true>(pixels, Upto<9>());
    case 8: return pick<T, 4, false>(pixels, Upto<6>());
    default: return pick<T, 4, true>(pixels, Upto<6>());
  }
}

// Loads and stores of up to 32 channels by type.
template <class F>
INLINE void each_pair(int channels, F&& f) {
  for (int c = 0; c < channels; c += 32) {
    const int left = channels - c;
    f(c, left >= 32 ? ~0u : (1u << left) - 1);
  }
}

INLINE Pair pair_of(const float* p, uint32_t mask) { return F32s::load((const char*)p, mask); }

// Numbers after a ReLU: as integers they stand in the same order as their values.
void max_rows(const char* const* rows, int count, char* out, int channels, Type type) {
  const int bytes = channels * size_of(type);
  for (int i = 0; i < bytes; i += 64) {
    const int left = bytes - i;
    const __mmask64 k = left >= 64 ? ~0ull : (1ull << left) - 1;
    __m512i best = _mm512_maskz_loadu_epi8(k, rows[0] + i);
    for (int r = 1; r < count; ++r) {
      const __m512i x = _mm512_maskz_loadu_epi8(k, rows[r] + i);
      best = type == BF16 ? _mm512_max_epi16(best, x) : _mm512_max_epi32(best, x);
    }
    _mm512_mask_storeu_epi8(out + i, k, best);
  }
}

template <class T>
INLINE void mean_of(const char* const* pixels, int count, float factor, char* out, int channels) {
  const __m512 f = _mm512_set1_ps(factor);
  each_pair(channels, [&](int c, uint32_t mask) INLINE_LAMBDA {
    Pair sum = T::load(pixels[0] + c * T::kBytes, mask);
    for (int i = 1; i < count; ++i) {
      const Pair x = T::load(pixels[i] + c * T::kBytes, mask);
      sum = {_mm512_add_ps(sum.lo, x.lo), _mm512_add_ps(sum.hi, x.hi)};
    }
    T::store(out + c * T::kBytes, mask, {_mm512_mul_ps(f, sum.lo), _mm512_mul_ps(f, sum.hi)});
  });
}

void mean_rows(const char* const* pixels, int count, float factor, char* out, int channels,
               Type type) {
  if (type == BF16) mean_of<Bf16>(pixels, count, factor, out, channels);
  else mean_of<F32s>(pixels, count, factor, out, channels);
}

template <class T>
INLINE void sum_of(const char* in, float* sums, int channels) {
  each_pair(channels, [&](int c, uint32_t mask) INLINE_LAMBDA {
    const Pair x = T::load(in + c * T::kBytes, mask), y = pair_of(sums + c, mask);
    F32s::store((char*)(sums + c), mask, {_mm512_add_ps(x.lo, y.lo), _mm512_add_ps(x.hi, y.hi)});
  });
}

void sum(const char* in, float* sums, int channels, Type type) {
  if (type == BF16) sum_of<Bf16>(in, sums, channels);
  else sum_of<F32s>(in, sums, channels);
}

template <class T>
INLINE void store_as(const float* values, float factor, char* out, int channels) {
  const __m512 f = _mm512_set1_ps(factor);
  each_pair(channels, [&](int c, uint32_t mask) INLINE_LAMBDA {
    const Pair x = pair_of(values + c, mask);
    T::store(out + c * T::kBytes, mask, {_mm512_mul_ps(f, x.lo), _mm512_mul_ps(f, x.hi)});
  });
}

void store(const float* values, float factor, char* out, int channels, Type type) {
  if (type == BF16) store_as<Bf16>(values, factor, out, channels);
  else store_as<F32s>(values, factor, out, channels);
}

template <class T>
INLINE void gate_of(const char* y, const float* gates, const char* residual, char* out, int channels) {
  const __m512 zero = _mm512_setzero_ps();
  each_pair(channels, [&](int c, uint32_t mask) INLINE_LAMBDA {
    const Pair a = T::load(y + c * T::kBytes, mask), g = pair_of(gates + c, mask);
    const Pair r = T::load(residual + c * T::kBytes, mask);
    T::store(out + c * T::kBytes, mask,
             {_mm512_max_ps(zero, _mm512_fmadd_ps(a.lo, g.lo, r.lo)),
              _mm512_max_ps(zero, _mm512_fmadd_ps(a.hi, g.hi, r.hi))});
  });
}

void gate(const char* y, const float* gates, const char* residual, char* out, int channels,
          Type type) {
  if (type == BF16) gate_of<Bf16>(y, gates, residual, out, channels);
  else gate_of<F32s>(y, gates, residual, out, channels);
}

template <class T>
INLINE float dot_of(const float* x, const char* w, int n) {
  __m512 lo = _mm512_setzero_ps(), hi = lo;
  each_pair(n, [&](int c, uint32_t mask) INLINE_LAMBDA {
    const Pair a = pair_of(x + c, mask), b = T::load(w + c * T::kBytes, mask);
    lo = _mm512_fmadd_ps(a.lo, b.lo, lo);
    hi = _mm512_fmadd_ps(a.hi, b.hi, hi);
  });
  return _mm512_reduce_add_ps(_mm512_add_ps(lo, hi));
}

float dot(const float* x, const char* w, int n, Type type) {
  return type == BF16 ? dot_of<Bf16>(x, w, n) : dot_of<F32s>(x, w, n);
}

}  // namespace

Kernel avx512_kernel(Type type, int pixels, int columns, bool half) {
  return type == BF16 ? of_type<Bf16>(pixels, columns, half) : of_type<F32s>(pixels, columns, half);
}

const Simple& avx512_simple() {
  static const Simple all = {max_rows, mean_rows, sum, store, gate, dot};
  return all;
}

}  // namespace r2n
#if defined(__clang__)
#pragma clang attribute pop
#endif
