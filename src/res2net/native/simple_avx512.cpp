// Arithmetic on the channels of one pixel, besides convolutions.
#include "avx512.h"

namespace r2n {
namespace {

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
      best = type == BF16  ? _mm512_max_epi16(best, x)
             : type == F32 ? _mm512_max_epi32(best, x)
                           : _mm512_max_epu8(best, x);
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
  else if (type == U8) mean_of<U8s>(pixels, count, factor, out, channels);
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
  else if (type == U8) sum_of<U8s>(in, sums, channels);
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

template <class R>
INLINE void gate_bytes_of(const char* y, const float* gates, const char* residual,
                          const float* scales, const float* steps, char* out, int channels) {
  each_pair(channels, [&](int c, uint32_t mask) INLINE_LAMBDA {
    const Pair a = Bf16::load(y + c * Bf16::kBytes, mask), g = pair_of(gates + c, mask);
    const Pair r = R::load(residual + c * R::kBytes, mask);
    const Pair s = pair_of(scales + c, mask), t = pair_of(steps + c, mask);
    // bytes have no sign, so this is the ReLU too
    U8s::store(out + c, mask,
               {_mm512_mul_ps(t.lo, _mm512_fmadd_ps(a.lo, g.lo, _mm512_mul_ps(r.lo, s.lo))),
                _mm512_mul_ps(t.hi, _mm512_fmadd_ps(a.hi, g.hi, _mm512_mul_ps(r.hi, s.hi)))});
  });
}

void gate_bytes(const char* y, const float* gates, const char* residual, Type residual_type,
                const float* scales, const float* steps, char* out, int channels) {
  if (residual_type == U8) gate_bytes_of<U8s>(y, gates, residual, scales, steps, out, channels);
  else gate_bytes_of<Bf16>(y, gates, residual, scales, steps, out, channels);
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

const Simple avx512_simple = {max_rows, mean_rows, sum, store, gate, gate_bytes, dot};

}  // namespace r2n
AVX512_END
