// Micro-kernels of 3×3 convolutions by pairs of pixels (see kernels.h).
#include "avx512.h"

namespace r2n {
namespace {

INLINE Pair difference(Pair x, Pair y) {
  return {_mm512_sub_ps(x.lo, y.lo), _mm512_sub_ps(x.hi, y.hi)};
}

template <class T>
INLINE void planes(const char* in, int64_t step, int pixels, int channels, char* out, int64_t plane) {
  for (int c = 0; c < channels; c += 32) {
    const auto up_to = [](int limit) INLINE_LAMBDA { return limit >= 32 ? ~0u : (1u << limit) - 1; };
    const uint32_t mask = up_to(channels - c);
    const uint32_t whole = up_to((channels - c + T::kUnit - 1) / T::kUnit * T::kUnit);
    const char* from = in + c * T::kBytes;
    char* to = out + c * T::kBytes;
    Pair d0 = T::load(from, mask), d1 = T::load(from + step, mask);
    for (int x = 0; x < pixels; x += 2, to += kPlanes * plane) {
      from += 2 * step;
      const Pair d2 = T::load(from, mask);
      const Pair d3 = x + 1 < pixels ? T::load(from + step, mask) : d2;  // of half a pair: unused
      T::store(to, whole, difference(d0, d2));
      T::store(to + plane, whole, sum_of(d1, d2));
      T::store(to + 2 * plane, whole, difference(d2, d1));
      T::store(to + 3 * plane, whole, difference(d1, d3));
      d0 = d2, d1 = d3;
    }
  }
}

template <bool HALF>
struct Vector {
  using Type = __m512;
  static INLINE Type start(const char* bias) { return _mm512_loadu_ps(bias); }
  static INLINE __m512i weights(const char* b) { return _mm512_load_si512(b); }
  static INLINE __m512i all(const char* a) { return _mm512_set1_epi32(*(const Unit*)a); }
  static INLINE __m512 whole(Type x) { return x; }
};
template <>
struct Vector<true> {
  using Type = __m256;
  static INLINE Type start(const char* bias) { return _mm256_loadu_ps((const float*)bias); }
  static INLINE __m256i weights(const char* b) { return _mm256_load_si256((const __m256i*)b); }
  static INLINE __m256i all(const char* a) { return _mm256_set1_epi32(*(const Unit*)a); }
  static INLINE __m512 whole(Type x) { return _mm512_zextps256_ps512(x); }
};

template <class T, int P, bool HALF>
void pairs(const Job& job) {
  using V = Vector<HALF>;
  typename V::Type sum[P][kPlanes];
#pragma GCC unroll 7
  for (int p = 0; p < P; ++p) {
    sum[p][0] = sum[p][2] = sum[p][3] = typename V::Type{};
    sum[p][1] = V::start(job.bias);  // which both pixels add
  }
  for (int m = 0; m < job.pixels; ++m) __builtin_prefetch(at(job.out, m), 1);
  const int64_t plane = job.plane, plane3 = 3 * plane, fetch_step = job.fetch_step;
  const char* fetch = job.fetch;
  for (int s = 0; s < job.count; ++s) {
    const Segment& segment = job.segments[s];
    const char* a[P];
#pragma GCC unroll 7
    for (int p = 0; p < P; ++p) a[p] = segment.a + job.a_offset + p * segment.step;
    const char* b = job.b + segment.b;
    const char* const end = b + kPlanes * 64 * (int64_t)segment.units;
    for (; b != end; b += kPlanes * 64) {
      decltype(V::weights(b)) w[kPlanes];
#pragma GCC unroll 4
      for (int k = 0; k < kPlanes; ++k) w[k] = V::weights(b + k * 64);
      _mm_prefetch(fetch, _MM_HINT_T1);
      fetch += fetch_step;
#pragma GCC unroll 7
      for (int p = 0; p < P; ++p) {
        sum[p][0] = T::dot(sum[p][0], w[0], V::all(a[p]));
        sum[p][1] = T::dot(sum[p][1], w[1], V::all(a[p] + plane));
        sum[p][2] = T::dot(sum[p][2], w[2], V::all(a[p] + 2 * plane));
        sum[p][3] = T::dot(sum[p][3], w[3], V::all(a[p] + plane3));
        a[p] += 4;
      }
    }
  }
#pragma GCC unroll 7
  for (int p = 0; p < P; ++p) {
    const auto& m = sum[p];
    const __m512 even = V::whole(m[0] + m[1] + m[2]), odd = V::whole(m[1] - m[2] - m[3]);
    finish<T>(job, 2 * p, 0, job.mask[0], job.mask2[0], {even, even});
    if (2 * p + 1 < job.pixels)
      finish<T>(job, 2 * p + 1, 0, job.mask[0], job.mask2[0], {odd, odd});
  }
}

template <class T, bool HALF, int... P>
INLINE Kernel pick(int count, IntList<P...>) {
  static constexpr Kernel table[] = {pairs<T, P + 1, HALF>...};
  return table[count - 1];
}

constexpr int kMaxPairs = 7;

template <class T>
Kernel of_type(int count, bool half) {
  return half ? pick<T, true>(count, Upto<kMaxPairs>()) : pick<T, false>(count, Upto<kMaxPairs>());
}

}  // namespace

Kernel avx512_pairs(Type type, int count, bool half) {
  return type == BF16 ? of_type<Bf16>(count, half) : of_type<F32s>(count, half);
}

void avx512_planes(const char* in, int64_t step, int pixels, int channels, char* out, int64_t plane,
                   Type type) {
  if (type == BF16) planes<Bf16>(in, step, pixels, channels, out, plane);
  else planes<F32s>(in, step, pixels, channels, out, plane);
}

}  // namespace r2n
AVX512_END
