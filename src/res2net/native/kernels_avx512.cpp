// Micro-kernels of convolutions.
#include "avx512.h"

namespace r2n {
namespace {

// Whole sums lie in memory when they are scaled, a row of columns for each pixel: unrolled for each
// shape of tile as above, this would be most of the library.
INLINE Pair scales_at(const float* by) { return {_mm512_loadu_ps(by), _mm512_loadu_ps(by + kLanes)}; }

INLINE Pair product(Pair x, Pair y) {
  return {_mm512_mul_ps(x.lo, y.lo), _mm512_mul_ps(x.hi, y.hi)};
}

INLINE Pair sum_of(Pair x, Pair by, Pair y) {  // x · by + y
  return {_mm512_fmadd_ps(x.lo, by.lo, y.lo), _mm512_fmadd_ps(x.hi, by.hi, y.hi)};
}

void finish_bytes(const Job& job, const int32_t* sums, int pixels, int columns) {
  for (int shift = 0; shift < columns * kLanes; shift += 2 * kLanes) {
    const uint32_t mask = job.mask[shift / (2 * kLanes)], mask2 = job.mask2[shift / (2 * kLanes)];
    const int32_t* from = sums + shift;
    const Pair by = scales_at(job.scales[kSum] + shift);
    const auto next = [&]() INLINE_LAMBDA {
      const Pair x{_mm512_cvtepi32_ps(_mm512_loadu_si512(from)),
                   _mm512_cvtepi32_ps(_mm512_loadu_si512(from + kLanes))};
      from += columns * kLanes;
      return product(x, by);
    };
    if (job.out_type == BF16) {
      for (int m = 0; m < pixels; ++m) {
        const Pair x = next();
        Bf16::store_by_shifts(at(job.out, m) + shift * Bf16::kBytes, mask, job.relu ? relu(x) : x);
      }
    } else if (job.residual.base) {
      const Pair by_residual = scales_at(job.scales[kResidual] + shift);
      for (int m = 0; m < pixels; ++m) {
        const Pair y = U8s::load(at(job.residual, m) + shift, mask | mask2);
        const Pair x = sum_of(y, by_residual, next());
        if (mask) U8s::store(at(job.out, m) + shift, mask, x);
        if (mask2) U8s::store(at(job.out2, m) + shift, mask2, x);
      }
    } else if (job.add.base) {
      const Pair by_output = scales_at(job.scales[kOutput] + shift);
      const Pair by_add = scales_at(job.scales[kAdd] + shift);
      for (int m = 0; m < pixels; ++m) {
        const Pair x = relu(next());
        U8s::store(at(job.out, m) + shift, mask, x);
        char* p = at(job.add, m) + shift;
        U8s::store(p, mask, sum_of(U8s::load(p, mask), by_add, product(x, by_output)));
      }
    } else {
      for (int m = 0; m < pixels; ++m) {
        const Pair x = next();
        if (mask) U8s::store(at(job.out, m) + shift, mask, x);
        if (mask2) U8s::store(at(job.out2, m) + shift, mask2, x);
      }
    }
  }
}

// Sums of some pixels and columns, in steps of the first source → of the second.
__attribute__((noinline)) void rescale(int32_t* sums, int pixels, int columns, const float* by) {
  for (int m = 0; m < pixels; ++m)
    for (int n = 0; n < columns; ++n, sums += kLanes) {
      const __m512 x = _mm512_cvtepi32_ps(_mm512_load_si512(sums));
      const __m512 y = _mm512_mul_ps(x, _mm512_loadu_ps(by + n * kLanes));
      _mm512_store_si512(sums, _mm512_cvtps_epi32(y));
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
  alignas(64) int32_t held[T::kInteger ? (M * N + 1) * kLanes : 1];  // pairs are read, to the end
  const auto hold = [&]() INLINE_LAMBDA {
    if constexpr (T::kInteger) {
#pragma GCC unroll 28
      for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
        for (int n = 0; n < W; ++n) _mm512_store_si512(held + (m * N + n) * kLanes, sum[m][n]);
        if (HALF) _mm512_store_si512(held + (m * N + W) * kLanes, T::whole(half[m]));
      }
    }
  };
  const int64_t column = job.b_column, fetch_step = job.fetch_step;
  const char* fetch = job.fetch;
  for (int s = 0; s < job.count; ++s) {
    const Segment& segment = job.segments[s];
    if constexpr (T::kInteger)
      if (s == job.second) {
        // through memory and a call: else the loop below would keep its sums there
        hold();
        rescale(held, M, N, job.scales[kSecond]);
#pragma GCC unroll 28
        for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
          for (int n = 0; n < W; ++n) sum[m][n] = _mm512_load_si512(held + (m * N + n) * kLanes);
          if (HALF) half[m] = _mm256_load_si256((const __m256i*)(held + (m * N + W) * kLanes));
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
      if (HALF) v = _mm256_load_si256((const __m256i*)(b + W * column));
#pragma GCC unroll 4
      for (int n = 0; n < W; ++n) w[n] = _mm512_load_si512(b + n * column);
      _mm_prefetch(fetch, _MM_HINT_T1);
      fetch += fetch_step;
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
  if constexpr (T::kInteger) {
    hold();
    _mm512_store_si512(held + M * N * kLanes, _mm512_setzero_si512());
    finish_bytes(job, held, M, N);
  } else {
    const auto column_of = [&](int m, int n) INLINE_LAMBDA {
      return n < W ? sum[m][n] : T::whole(half[m]);
    };
#pragma GCC unroll 2
    for (int j = 0; j < (N + 1) / 2; ++j) {
      const int last = 2 * j + 1 < N ? 2 * j + 1 : 2 * j;
#pragma GCC unroll 28
      for (int m = 0; m < M; ++m)
        finish<T>(job, m, 2 * j * kLanes, job.mask[j], job.mask2[j],
                  {column_of(m, 2 * j), column_of(m, last)});
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

// As many products as registers hold sums, round after round: nothing is read or written.
constexpr int kPeakSums = 24;
template <class T>
void products(int64_t rounds) {
  typename T::Sum sum[kPeakSums] = {};
#pragma GCC unroll 24
  for (int i = 0; i < kPeakSums; ++i) asm volatile("" : "+v"(sum[i]));  // as if they differed
  __m512i a = _mm512_setzero_si512(), b = a;
  for (int64_t r = 0; r < rounds; ++r) {
    asm volatile("" : "+v"(a), "+v"(b));  // and these were new
#pragma GCC unroll 24
    for (int i = 0; i < kPeakSums; ++i) sum[i] = T::dot(sum[i], a, b);
  }
#pragma GCC unroll 24
  for (int i = 0; i < kPeakSums; ++i) asm volatile("" : : "v"(sum[i]));
}

}  // namespace

int64_t avx512_products(Type type, int64_t rounds) {
  type == BF16 ? products<Bf16>(rounds) : type == F32 ? products<F32s>(rounds) : products<U8s>(rounds);
  return rounds * kPeakSums * kLanes * per_unit(type);
}

Kernel avx512_kernel(Type type, int pixels, int columns, bool half) {
  return type == BF16 ? of_type<Bf16>(pixels, columns, half)
         : type == F32 ? of_type<F32s>(pixels, columns, half)
                       : of_type<U8s>(pixels, columns, half);
}

}  // namespace r2n
AVX512_END
