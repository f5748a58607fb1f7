// Micro-kernels of convolutions.
#include "avx512.h"

namespace r2n {
namespace {

// Four bytes of one pixel, at any address: splits begin where their width says.
typedef int32_t Unit __attribute__((aligned(1), may_alias));

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

INLINE char* at(const Target& t, int m) {
  return t.base + t.step * (t.map ? (int64_t)t.map[m] : t.first + m);
}

INLINE Pair scaled(Pair x, const float* by) {
  return {_mm512_mul_ps(x.lo, _mm512_loadu_ps(by)), _mm512_mul_ps(x.hi, _mm512_loadu_ps(by + kLanes))};
}

INLINE Pair sum_of(Pair x, Pair y) {
  return {_mm512_add_ps(x.lo, y.lo), _mm512_add_ps(x.hi, y.hi)};
}

// x · by + y
INLINE Pair sum_of(Pair x, const float* by, Pair y) {
  return {_mm512_fmadd_ps(x.lo, _mm512_loadu_ps(by), y.lo),
          _mm512_fmadd_ps(x.hi, _mm512_loadu_ps(by + kLanes), y.hi)};
}

INLINE Pair relu(Pair x) {
  const __m512 zero = _mm512_setzero_ps();
  return {_mm512_max_ps(x.lo, zero), _mm512_max_ps(x.hi, zero)};
}

// What becomes of the sums of two columns and one pixel, `shift` channels behind the tile's first.
template <class T>
INLINE void finish(const Job& job, int m, int64_t shift, uint32_t mask, uint32_t mask2,
                   typename T::Sum lo, typename T::Sum hi) {
  const uint32_t both = mask | mask2;
  if constexpr (T::kInteger) {
    Pair x = scaled({_mm512_cvtepi32_ps(lo), _mm512_cvtepi32_ps(hi)}, job.scales[kSum] + shift);
    if (job.out_type == BF16) {
      if (job.relu) x = relu(x);
      Bf16::store(at(job.out, m) + shift * Bf16::kBytes, mask, x);
      return;
    }
    if (job.residual.base)
      x = sum_of(T::load(at(job.residual, m) + shift, both), job.scales[kResidual] + shift, x);
    if (mask) T::store(at(job.out, m) + shift, mask, x);
    if (mask2) T::store(at(job.out2, m) + shift, mask2, x);
    if (job.add.base) {
      char* p = at(job.add, m) + shift;
      x = scaled(relu(x), job.scales[kOutput] + shift);
      T::store(p, mask, sum_of(T::load(p, mask), job.scales[kAdd] + shift, x));
    }
  } else {
    Pair x{lo, hi};
    if (job.residual.base)
      x = sum_of(x, T::load(at(job.residual, m) + shift * T::kBytes, both));
    if (job.relu) x = relu(x);
    if (mask) T::store(at(job.out, m) + shift * T::kBytes, mask, x);
    if (mask2) T::store(at(job.out2, m) + shift * T::kBytes, mask2, x);
    if (job.add.base) {
      char* p = at(job.add, m) + shift * T::kBytes;
      T::store(p, mask, sum_of(x, T::load(p, mask)));
    }
  }
}

// M pixels by N columns. Where the last column has no more than 8 channels it is half a vector, and
// half the work.
template <class T, int M, int N, bool HALF>
void tile(const Job& job) {
  constexpr int W = HALF ? N - 1 : N;  // whole columns
  typename T::Sum sum[M][N];
  typename T::Half half[M];
  if (HALF) {
    const typename T::Half start = T::start_half(job.bias + W * kLanes * 4);
#pragma GCC unroll 28
    for (int m = 0; m < M; ++m) half[m] = start;
  }
#pragma GCC unroll 4
  for (int n = 0; n < W; ++n) {
    const typename T::Sum start = T::start(job.bias + n * kLanes * 4);
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
    if constexpr (T::kInteger)
      if (s == job.second) {
        const float* by = job.scales[kSecond];
#pragma GCC unroll 28
        for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
          for (int n = 0; n < W; ++n) sum[m][n] = T::scaled(sum[m][n], by + n * kLanes);
          if (HALF) half[m] = T::scaled(half[m], by + W * kLanes);
        }
      }
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
    return n < W ? sum[m][n] : T::whole(half[m]);
  };
#pragma GCC unroll 2
  for (int j = 0; j < (N + 1) / 2; ++j) {
    const bool two = 2 * j + 1 < N;
    const int64_t shift = 2 * j * kLanes;  // channels
    const uint32_t mask = job.mask[j], mask2 = job.mask2[j];
#pragma GCC unroll 28
    for (int m = 0; m < M; ++m)
      finish<T>(job, m, shift, mask, mask2, column_of(m, 2 * j),
                column_of(m, two ? 2 * j + 1 : 2 * j));
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

}  // namespace

Kernel avx512_kernel(Type type, int pixels, int columns, bool half) {
  return type == BF16 ? of_type<Bf16>(pixels, columns, half)
         : type == F32 ? of_type<F32s>(pixels, columns, half)
                       : of_type<U8s>(pixels, columns, half);
}

}  // namespace r2n
AVX512_END
