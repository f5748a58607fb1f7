// What Python calls. Nothing is thrown across: a function that fails returns -1 (or null), and
// r2n_error says why.
#include <cstring>

#include "conv.h"
#include "network.h"
#include "simple.h"

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

using namespace r2n;

namespace {

template <class F>
int guarded(void* handle, F f) {
  Network& net = *static_cast<Network*>(handle);
  try {
    return f(net);
  } catch (const std::exception& error) {
    net.error = error.what();
    return -1;
  }
}

template <class T, class... Args>
int append(void* handle, Args&&... args) {
  return guarded(handle, [&](Network& net) {
    net.ops.emplace_back(new T(net, args...));
    return (int)net.ops.size() - 1;
  });
}

}  // namespace

// Name of the set of instructions that a precision's convolutions use here; null where there is none.
EXPORT const char* r2n_instructions(int type, int level) {
  const InstructionSet* set = instruction_set(type, level);
  return set ? set->name : nullptr;
}

EXPORT void* r2n_new(int threads, int type, int level) {
  try {
    const InstructionSet* set = instruction_set(type, level);
    if (threads < 1 || threads > 256 || !set) return nullptr;
    return new Network(*set->kernels, threads);
  } catch (const std::exception&) {
    return nullptr;
  }
}

EXPORT void r2n_delete(void* net) { delete static_cast<Network*>(net); }

EXPORT const char* r2n_error(void* net) { return static_cast<Network*>(net)->error.c_str(); }

EXPORT int r2n_buffer(void* net, int channels, int border, int type, int packed) {
  return guarded(net, [&](Network& n) { return n.add_buffer(channels, border, type, packed); });
}

EXPORT int r2n_vector(void* net, int size) {
  return guarded(net, [&](Network& n) { return n.add_vector(size); });
}

EXPORT int r2n_normalise(void* net, int output, const float* scale, const float* shift,
                         const uint8_t* pad) {
  return append<Normalise>(net, output, scale, shift, pad);
}

EXPORT int r2n_conv(void* net, const ConvSpec* spec) { return append<Conv>(net, *spec); }

EXPORT int r2n_pool(void* net, const PoolSpec* spec) { return append<PoolOp>(net, *spec); }

EXPORT int r2n_mean(void* net, int input, int output, const float* scales) {
  return append<Mean>(net, input, output, scales);
}

EXPORT int r2n_linear(void* net, int input, int output, int activation, int type,
                      const void* weights, const float* bias) {
  return append<Linear>(net, input, output, activation, type, weights, bias);
}

EXPORT int r2n_gate(void* net, int input, int gates, int residual, int output, const float* scales,
                    const float* steps) {
  return append<Gate>(net, input, gates, residual, output, scales, steps);
}

EXPORT int r2n_run(void* net, const uint8_t* pixels, int images, int height, int width) {
  return guarded(net, [&](Network& n) {
    n.run(pixels, images, height, width);
    return 0;
  });
}

EXPORT int r2n_read_vector(void* net, int id, float* to, int64_t count) {
  return guarded(net, [&](Network& n) {
    const Vector& from = n.vector(id);
    check((int64_t)from.values.size() == count, "a vector of another size");
    std::memcpy(to, from.values.data(), count * sizeof(float));
    return 0;
  });
}

// (channels, height, width) of a map.
EXPORT int r2n_shape(void* net, int id, int32_t* shape) {
  return guarded(net, [&](Network& n) {
    const Buffer& map = n.buffer(id);
    shape[0] = map.channels, shape[1] = map.height, shape[2] = map.width;
    return 0;
  });
}

// A map as float (images, channels, height, width).
EXPORT int r2n_read_map(void* net, int id, float* to, int64_t count) {
  return guarded(net, [&](Network& n) {
    const Buffer& map = n.buffer(id);
    check(map.pixels() * map.channels == count, "a map of another size");
    const int64_t area = (int64_t)map.height * map.width;
    std::vector<float> pixel(map.channels);
    for (int64_t i = 0; i < map.pixels(); ++i) {
      std::fill(pixel.begin(), pixel.end(), 0.0f);
      n.simple().sum(map.at(map.place_of(i)), pixel.data(), map.channels, map.type);
      float* image = to + i / area * area * map.channels + i % area;
      for (int c = 0; c < map.channels; ++c) image[c * area] = pixel[c];
    }
    return 0;
  });
}

// Seconds that each operation of the last run took; the first call switches the clock on.
EXPORT int r2n_seconds(void* net, double* to, int count) {
  return guarded(net, [&](Network& n) {
    n.timed = true;
    check(count <= (int)n.ops.size(), "more operations than there are");
    n.seconds.resize(n.ops.size());
    std::memcpy(to, n.seconds.data(), count * sizeof(double));
    return 0;
  });
}

// What the processor can do at most: multiply-adds of so many rounds in registers alone.
EXPORT int64_t r2n_products(int type, int level, int64_t rounds) {
  const InstructionSet* set = instruction_set(type, level);
  return set ? set->kernels->products(set->type, rounds) : 0;
}
