#include "simple.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace r2n {

Normalise::Normalise(Network& net, int output, const float* scale, const float* shift,
                     const uint8_t* pad)
    : output_(output) {
  const Buffer& out = net.buffer(output);
  check(out.channels == 3, "images have three channels");
  if (out.type == U8) {
    check(pad && out.packed, "images as bytes need packed pixels and the byte of zero");
    std::copy(pad, pad + 3, pad_);
    return;
  }
  const int bytes = size_of(out.type);
  table_.resize(3 * 256 * bytes);
  for (int c = 0; c < 3; ++c)
    for (int v = 0; v < 256; ++v) {
      const float value = (float)v * scale[c] + shift[c];
      net.simple().store(&value, 1.0f, table_.data() + (c * 256 + v) * bytes, 1, out.type);
    }
}

void Normalise::plan(Network& net) {
  Buffer& out = net.buffer(output_);
  out.lay_out(net.images, net.height, net.width);
  if (out.type != U8) return;
  char* to = out.memory.data();
  for (size_t i = 0; i < out.memory.size(); ++i) to[i] = (char)pad_[i % 3];
}

template <class Value>
static void look_up(const uint8_t* from, Value* to, const Value* table, int pixels) {
  for (int x = 0; x < pixels; ++x)
    for (int c = 0; c < 3; ++c) to[3 * x + c] = table[256 * c + from[3 * x + c]];
}

void Normalise::run(Network& net, const Part& part) {
  Buffer& out = net.buffer(output_);
  const Share rows((int64_t)out.images * out.height, part);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const uint8_t* from = net.pixels + row * out.width * 3;
    char* to = out.at(out.place((int)(row / out.height), (int)(row % out.height), 0));
    if (out.type == U8)
      std::memcpy(to, from, (size_t)out.width * 3);
    else if (out.type == BF16)
      look_up(from, reinterpret_cast<uint16_t*>(to),
              reinterpret_cast<const uint16_t*>(table_.data()), out.width);
    else
      look_up(from, reinterpret_cast<float*>(to), reinterpret_cast<const float*>(table_.data()),
              out.width);
  }
}

PoolOp::PoolOp(Network& net, const PoolSpec& spec) : spec_(spec) {
  const Buffer& in = net.buffer(spec.input);
  const Buffer& out = net.buffer(spec.output);
  check(spec.channels > 0 && spec.input_channel >= 0 && spec.output_channel >= 0 &&
            spec.input_channel + spec.channels <= in.channels &&
            spec.output_channel + spec.channels <= out.channels,
        "a pool reads or writes channels that are not there");
  check(in.type == out.type, "a pool changes the type");
  check(spec.kernel >= 1 && spec.kernel <= 8 && spec.stride >= 1 && spec.stride <= 16 &&
            spec.pad >= 0 && 2 * spec.pad <= spec.kernel,
        "a pool's kernel, stride or pad is out of range");
  barrier = spec.barrier;
}

int PoolOp::out_size(int size) const {
  const int room = size + 2 * spec_.pad - spec_.kernel;
  if (room < 0 && !spec_.ceil) return 0;
  int n = (std::max(room, 0) + (spec_.ceil ? spec_.stride - 1 : 0)) / spec_.stride + 1;
  if (room < 0) n = 1;
  // a window must begin inside the image or its left border
  if (spec_.ceil && (n - 1) * spec_.stride >= size + spec_.pad) --n;
  return n;
}

void PoolOp::plan(Network& net) {
  const Buffer& in = net.buffer(spec_.input);
  check(in.height > 0, "a pool reads what nothing has written");
  net.buffer(spec_.output).lay_out(in.images, out_size(in.height), out_size(in.width));
}

void PoolOp::run(Network& net, const Part& part) {
  const Simple& simple = net.simple();
  const Buffer& in = net.buffer(spec_.input);
  Buffer& out = net.buffer(spec_.output);
  const char* window[64];
  const Share rows((int64_t)out.images * out.height, part);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int image = (int)(row / out.height), y = (int)(row % out.height);
    const int top = y * spec_.stride - spec_.pad;
    const int y0 = std::max(top, 0), y1 = std::min(top + spec_.kernel, in.height);
    for (int x = 0; x < out.width; ++x) {
      const int left = x * spec_.stride - spec_.pad;
      const int x0 = std::max(left, 0), x1 = std::min(left + spec_.kernel, in.width);
      int count = 0;
      for (int v = y0; v < y1; ++v)
        for (int u = x0; u < x1; ++u)
          window[count++] = in.at(in.place(image, v, u), spec_.input_channel);
      char* to = out.at(out.place(image, y, x), spec_.output_channel);
      if (!spec_.average) {
        simple.max_rows(window, count, to, spec_.channels, in.type);
        continue;
      }
      int area = count;
      if (spec_.count_pad)  // as far as the border goes
        area = (std::min(top + spec_.kernel, in.height + spec_.pad) - top) *
                (std::min(left + spec_.kernel, in.width + spec_.pad) - left);
      simple.mean_rows(window, count, 1.0f / (float)area, to, spec_.channels, in.type);
    }
  }
}

Mean::Mean(Network& net, int input, int output, const float* scales)
    : input_(input), output_(output) {
  const Buffer& in = net.buffer(input);
  check(in.channels == net.vector(output).size, "a mean of another size");
  check(in.type != U8 || scales, "a mean of bytes lacks their steps");
  if (in.type == U8) scales_.assign(scales, scales + in.channels);
}

void Mean::plan(Network& net) {
  check(net.buffer(input_).height > 0, "a mean reads what nothing has written");
}

void Mean::run(Network& net, const Part& part) {
  const Buffer& in = net.buffer(input_);
  Vector& out = net.vector(output_);
  const int blocks = (in.channels + 63) / 64;  // of channels: a thread's share is of these
  const int pixels = in.height * in.width;
  const Share share((int64_t)in.images * blocks, part);
  for (int64_t i = share.begin; i < share.end; ++i) {
    const int image = (int)(i / blocks), c = (int)(i % blocks) * 64;
    const int channels = std::min(64, in.channels - c);
    float sums[64] = {};
    for (int p = 0; p < pixels; ++p) {
      const int64_t place = in.place_of((int64_t)image * pixels + p);
      net.simple().sum(in.at(place, c), sums, channels, in.type);
    }
    float* to = out.values.data() + (size_t)image * out.size + c;
    for (int k = 0; k < channels; ++k) to[k] = sums[k] / (float)pixels;
    if (!scales_.empty())
      for (int k = 0; k < channels; ++k) to[k] *= scales_[c + k];
  }
}

Linear::Linear(Network& net, int input, int output, int activation, int type, const void* weights,
               const float* bias)
    : input_(input), output_(output), activation_(activation), type_(static_cast<Type>(type)) {
  check(type == BF16 || type == F32, "a linear layer of an unknown type");
  check(activation >= kNone && activation <= kSigmoid, "an unknown activation");
  const size_t in = net.vector(input).size, out = net.vector(output).size;
  const char* w = static_cast<const char*>(weights);
  weights_.assign(w, w + in * out * size_of(type_));
  bias_.assign(bias, bias + out);
}

void Linear::run(Network& net, const Part& part) {
  const Vector& in = net.vector(input_);
  Vector& out = net.vector(output_);
  const Share share(out.size, part);
  for (int64_t o = share.begin; o < share.end; ++o) {
    const char* w = weights_.data() + (size_t)o * in.size * size_of(type_);
    for (int i = 0; i < net.images; ++i) {
      const float* x = in.values.data() + (size_t)i * in.size;
      float y = bias_[o] + net.simple().dot(x, w, in.size, type_);
      if (activation_ == kRelu) y = std::max(y, 0.0f);
      if (activation_ == kSigmoid) y = 1.0f / (1.0f + std::exp(-y));
      out.values[(size_t)i * out.size + o] = y;
    }
  }
}

Gate::Gate(Network& net, int input, int gates, int residual, int output, const float* scales,
           const float* steps)
    : input_(input), gates_(gates), residual_(residual), output_(output) {
  const Buffer &x = net.buffer(input), &r = net.buffer(residual), &y = net.buffer(output);
  check(x.channels == y.channels && x.channels == r.channels &&
            x.channels == net.vector(gates).size,
        "a gate of another size");
  if (y.type == U8) {
    check(x.type == BF16 && r.type != F32, "a gate changes the type");
    check(scales && steps, "a gate into bytes lacks a scale");
    scales_.assign(scales, scales + x.channels);
    steps_.assign(steps, steps + x.channels);
    return;
  }
  check(x.type == y.type && x.type == r.type, "a gate changes the type");
}

void Gate::plan(Network& net) {
  const Buffer& in = net.buffer(input_);
  const Buffer& residual = net.buffer(residual_);
  check(in.height > 0, "a gate reads what nothing has written");
  check(residual.height == in.height && residual.width == in.width, "a gate adds another size");
  net.buffer(output_).lay_out(in.images, in.height, in.width);
}

void Gate::run(Network& net, const Part& part) {
  const Buffer &in = net.buffer(input_), &residual = net.buffer(residual_);
  Buffer& out = net.buffer(output_);
  const Vector& gates = net.vector(gates_);
  const int64_t pixels = (int64_t)in.height * in.width;
  const Share share(in.pixels(), part);
  for (int64_t i = share.begin; i < share.end; ++i) {
    const char *x = in.at(in.place_of(i)), *r = residual.at(residual.place_of(i));
    const float* g = gates.values.data() + i / pixels * gates.size;
    char* y = out.at(out.place_of(i));
    if (out.type == U8)
      net.simple().gate_bytes(x, g, r, residual.type, scales_.data(), steps_.data(), y,
                                 in.channels);
    else
      net.simple().gate(x, g, r, y, in.channels, in.type);
  }
}

}  // namespace r2n
