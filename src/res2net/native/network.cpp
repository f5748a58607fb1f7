#include "network.h"

#include <chrono>
#include <cstring>

namespace r2n {

namespace {
constexpr size_t kLine = 64;
constexpr size_t kSpare = 64;
constexpr int kParts = 4;  // of an operation, for each thread
}  // namespace

void Memory::resize(size_t bytes) {
  owned_.reset(new char[bytes + kLine + kSpare]);
  std::memset(owned_.get(), 0, bytes + kLine + kSpare);
  data_ = owned_.get() + (kLine - reinterpret_cast<uintptr_t>(owned_.get()) % kLine) % kLine;
  size_ = bytes;
}

void Buffer::lay_out(int images_, int height_, int width_) {
  if (height > 0) {  // another operation writes its own part of the channels
    check(images == images_ && height == height_ && width == width_,
          "two operations give one buffer different sizes");
    return;
  }
  check(height_ > 0 && width_ > 0, "the image is too small for this network");
  images = images_, height = height_, width = width_;
  step = (int64_t)channels * size_of(type);
  if (!packed) {
    step = (step + 63) / 64 * 64;
    // pixels whose distance is a multiple of 2 KiB would share few sets of the first cache
    if (step % 2048 == 0) step += 64;
  }
  const int64_t places = border + (int64_t)images * height * (width + border);
  const bool images_themselves = packed && type == U8;
  pad_row = images_themselves ? places : -1;
  memory.resize((places + (images_themselves ? width + 2 * border : 0)) * step);
  map.clear();
  if (!border) return;
  check(places < INT32_MAX, "the batch is too large");
  map.reserve(pixels());
  for (int i = 0; i < images; ++i)
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) map.push_back((int32_t)place(i, y, x));
}

int Network::add_buffer(int channels, int border, int type, bool packed) {
  check(channels > 0 && channels < 65536 && border >= 0 && border < 16, "a buffer out of range");
  check(type >= 0 && type < kTypes, "a buffer of an unknown type");
  buffers_.emplace_back(new Buffer(channels, border, static_cast<Type>(type), packed));
  return (int)buffers_.size() - 1;
}

int Network::add_vector(int size) {
  check(size > 0 && size < (1 << 24), "a vector out of range");
  vectors_.emplace_back(new Vector{size, {}});
  return (int)vectors_.size() - 1;
}

Buffer& Network::buffer(int id) {
  check(id >= 0 && id < (int)buffers_.size(), "no such buffer");
  return *buffers_[id];
}

Vector& Network::vector(int id) {
  check(id >= 0 && id < (int)vectors_.size(), "no such vector");
  return *vectors_[id];
}

void Network::need_rows(int64_t count, int64_t bytes) {
  for (Desk& each : desks) {
    if ((int64_t)each.held.size() < count) each.held.resize(count);
    if ((int64_t)each.memory.size() < count * bytes) each.memory.resize(count * bytes);
  }
}

void Network::plan(int images_, int height_, int width_) {
  if (images == images_ && height == height_ && width == width_) return;
  images = 0;  // half a plan is none
  for (auto& buffer : buffers_) buffer->height = 0;
  const int i = images_;
  for (auto& vector : vectors_) vector->values.assign((size_t)i * vector->size, 0.0f);
  height = height_, width = width_;
  images = images_;
  try {
    for (auto& op : ops) op->plan(*this);
    const Op* next = nullptr;
    for (auto op = ops.rbegin(); op != ops.rend(); ++op) {
      (*op)->next = next;
      if ((*op)->first({0, 1, 0}).begin) next = op->get();
    }
  } catch (...) {
    images = 0;
    throw;
  }
}

void Network::run(const uint8_t* pixels_, int images_, int height_, int width_) {
  check(images_ > 0 && height_ > 0 && width_ > 0, "no images");
  check(images_ < 65536 && height_ < 65536 && width_ < 65536, "an image or batch out of range");
  pool.settle();
  plan(images_, height_, width_);
  for (auto& op : ops) {
    if ((int)op->begun.size() != pool.threads())
      op->begun = std::vector<std::atomic<int>>(pool.threads());
    for (auto& begun : op->begun) begun.store(0, std::memory_order_relaxed);
    op->done.store(0, std::memory_order_relaxed);
  }
  seconds.assign(ops.size(), 0.0);
  pixels = pixels_;
  pool.run([](void* net, int thread) { static_cast<Network*>(net)->work(thread); }, this);
  pixels = nullptr;
}

void Network::work(int thread) {
  using Clock = std::chrono::steady_clock;
  auto start = Clock::now();
  const int threads = pool.threads(), each = threads == 1 ? 1 : kParts, parts = each * threads;
  desks[thread].of = nullptr;
  size_t waited = 0;  // operations before this one are known to be done
  for (size_t i = 0; i < ops.size(); ++i) {
    Op& op = *ops[i];
    for (int k = 0; k < threads; ++k) {
      const int owner = (thread + k) % threads;
      for (;;) {
        const int part = op.begun[owner].fetch_add(1, std::memory_order_relaxed);
        if (part >= each) break;
        op.run(*this, {owner * each + part, parts, thread});
        op.done.fetch_add(1, std::memory_order_release);
      }
    }
    if (!op.barrier && !timed && i + 1 < ops.size()) continue;
    for (; waited <= i; ++waited)
      for (int n = 0; ops[waited]->done.load(std::memory_order_acquire) < parts; ++n)
        Pool::pause(n);
    if (timed && thread == 0) {
      const auto now = Clock::now();
      seconds[i] = std::chrono::duration<double>(now - start).count();
      start = now;
    }
  }
}

}  // namespace r2n
