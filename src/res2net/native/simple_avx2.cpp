// Arithmetic on the channels of one pixel, besides convolutions.
#include "avx2.h"

namespace r2n {
namespace {

template <class F>
INLINE void each_vector(int channels, F&& f) {
  for (int c = 0; c < channels; c += kWide) f(c, up_to(channels - c));
}

INLINE __m256 floats(const float* p, uint32_t mask) { return F32s::load((const char*)p, mask); }

// Numbers after a ReLU: as integers they stand in the same order as their values.
INLINE __m256i larger(__m256i x, __m256i y, Type type) {
  return type == BF16  ? _mm256_max_epi16(x, y)
         : type == F32 ? _mm256_max_epi32(x, y)
                       : _mm256_max_epu8(x, y);
}

void max_rows(const char* const* rows, int count, char* out, int channels, Type type) {
  const int bytes = channels * size_of(type);
  for (int i = 0; i < bytes; i += 32) {
    const int left = bytes - i < 32 ? bytes - i : 32;
    alignas(32) char some[32] = {};
    const auto row = [&](int r) INLINE_LAMBDA {
      if (left == 32) return _mm256_loadu_si256((const __m256i*)(rows[r] + i));
      __builtin_memcpy(some, rows[r] + i, left);
      return _mm256_load_si256((const __m256i*)some);
    };
    __m256i best = row(0);
    for (int r = 1; r < count; ++r) best = larger(best, row(r), type);
    if (left == 32) {
      _mm256_storeu_si256((__m256i*)(out + i), best);
    } else {
      _mm256_store_si256((__m256i*)some, best);
      __builtin_memcpy(out + i, some, left);
    }
  }
}

template <class T>
INLINE void mean_of(const char* const* pixels, int count, float factor, char* out, int channels) {
  const __m256 f = _mm256_set1_ps(factor);
  each_vector(channels, [&](int c, uint32_t mask) INLINE_LAMBDA {
    __m256 sum = T::load(pixels[0] + c * T::kBytes, mask);
    for (int i = 1; i < count; ++i) sum = sum + T::load(pixels[i] + c * T::kBytes, mask);
    T::store(out + c * T::kBytes, mask, f * sum);
  });
}

void mean_rows(const char* const* pixels, int count, float factor, char* out, int channels,
               Type type) {
  if (type == BF16) mean_of<Bf16>(pixels, count, factor, out, channels);
  else if (type == U8) mean_of<U8s>(pixels, count, factor, out, channels);
  else mean_of<F32s>(pixels, count, factor, out, channels);
}

template <class T>
INLINE void sum_of(const char* in, float* sums, int channels) {
  each_vector(channels, [&](int c, uint32_t mask) INLINE_LAMBDA {
    const __m256 x = T::load(in + c * T::kBytes, mask);
    F32s::store((char*)(sums + c), mask, x + floats(sums + c, mask));
  });
}

void sum(const char* in, float* sums, int channels, Type type) {
  if (type == BF16) sum_of<Bf16>(in, sums, channels);
  else if (type == U8) sum_of<U8s>(in, sums, channels);
  else sum_of<F32s>(in, sums, channels);
}

template <class T>
INLINE void store_as(const float* values, float factor, char* out, int channels) {
  const __m256 f = _mm256_set1_ps(factor);
  each_vector(channels, [&](int c, uint32_t mask) INLINE_LAMBDA {
    T::store(out + c * T::kBytes, mask, f * floats(values + c, mask));
  });
}

void store(const float* values, float factor, char* out, int channels, Type type) {
  if (type == BF16) store_as<Bf16>(values, factor, out, channels);
  else store_as<F32s>(values, factor, out, channels);
}

template <class T>
INLINE void gate_of(const char* y, const float* gates, const char* residual, char* out, int channels) {
  each_vector(channels, [&](int c, uint32_t mask) INLINE_LAMBDA {
    const __m256 a = T::load(y + c * T::kBytes, mask), r = T::load(residual + c * T::kBytes, mask);
    T::store(out + c * T::kBytes, mask, relu(_mm256_fmadd_ps(a, floats(gates + c, mask), r)));
  });
}

void gate(const char* y, const float* gates, const char* residual, char* out, int channels,
          Type type) {
  if (type == BF16) gate_of<Bf16>(y, gates, residual, out, channels);
  else gate_of<F32s>(y, gates, residual, out, channels);
}

template <class R>
INLINE void gate_bytes_of(const char* y, const float* gates, const char* residual,
                          const float* scales, const float* steps, char* out, int channels) {
  each_vector(channels, [&](int c, uint32_t mask) INLINE_LAMBDA {
    const __m256 a = Bf16::load(y + c * Bf16::kBytes, mask);
    const __m256 r = R::load(residual + c * R::kBytes, mask) * floats(scales + c, mask);
    // bytes have no sign, so this is the ReLU too
    U8s::store(out + c, mask,
               floats(steps + c, mask) * _mm256_fmadd_ps(a, floats(gates + c, mask), r));
  });
}

void gate_bytes(const char* y, const float* gates, const char* residual, Type residual_type,
                const float* scales, const float* steps, char* out, int channels) {
  if (residual_type == U8) gate_bytes_of<U8s>(y, gates, residual, scales, steps, out, channels);
  else gate_bytes_of<Bf16>(y, gates, residual, scales, steps, out, channels);
}

template <class T>
INLINE float dot_of(const float* x, const char* w, int n) {
  constexpr int each = 4;  // sums: one alone waits for itself
  __m256 sums[each] = {};
  for (int c = 0; c < n; c += each * kWide)
#pragma GCC unroll 4
    for (int i = 0; i < each; ++i) {
      const int from = c + i * kWide;
      if (from >= n) break;
      const uint32_t mask = up_to(n - from);
      sums[i] = _mm256_fmadd_ps(floats(x + from, mask), T::load(w + from * T::kBytes, mask), sums[i]);
    }
  alignas(32) float lane[kWide];
  _mm256_store_ps(lane, (sums[0] + sums[1]) + (sums[2] + sums[3]));
  return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

float dot(const float* x, const char* w, int n, Type type) {
  return type == BF16 ? dot_of<Bf16>(x, w, n) : dot_of<F32s>(x, w, n);
}

}  // namespace

const Simple avx2_simple = {max_rows, mean_rows, sum, store, gate, gate_bytes, dot};

}  // namespace r2n
AVX2_END
