// A network as a flat list of operations over buffers of pixels, channels last.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.h"
#include "pool.h"

namespace r2n {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Bytes on a cache line's border, and some to spare: a unit may be read beyond the last channel.
class Memory {
 public:
  void resize(size_t bytes);
  char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<char[]> owned_;
  char* data_ = nullptr;
  size_t size_ = 0;
};

// A map of every image of a batch. With a border of p, p zero pixels stand before the first row and
// behind every row: what is left of a row is the border of the row above.
struct Buffer {
  Buffer(int channels, int border, Type type, bool packed)
      : channels(channels), border(border), type(type), packed(packed) {}

  int channels, border;
  Type type;
  bool packed;  // pixels follow each other without a gap, as the first convolution reads them

  int images = 0, height = 0, width = 0;  // height 0: not laid out
  int64_t step = 0;                       // bytes between pixels
  int64_t pad_row = -1;                   // place of a row of border, where that is not zero
  Memory memory;
  std::vector<int32_t> map;  // number of a pixel → its place; empty without a border

  void lay_out(int images, int height, int width);
  int64_t place(int image, int y, int x) const {
    return border + ((int64_t)image * height + y) * (width + border) + x;
  }
  char* at(int64_t place, int channel = 0) const {
    return memory.data() + place * step + channel * size_of(type);
  }
  int64_t pixels() const { return (int64_t)images * height * width; }
  int64_t place_of(int64_t pixel) const { return map.empty() ? pixel : map[pixel]; }
};

class Network;
class Op;

// Of an operation's work.
struct Part {
  int number, of;
  int thread;  // that does it
};

struct Bytes {
  const char *begin, *end;
};

// What a thread keeps while it is at one operation.
struct Desk {
  const Op* of = nullptr;
  Bytes wanted{};             // soon, and not fetched yet
  std::vector<int64_t> held;  // rows that a convolution makes on its way: the row in each place, or -1
  Memory memory;
};

class Op {
 public:
  virtual ~Op() = default;
  virtual void plan(Network& net) = 0;
  virtual void run(Network& net, const Part& part) = 0;
  // What a thread reads first of what no operation writes.
  virtual Bytes first(const Part&) const { return {}; }
  const Op* next = nullptr;  // that has something to read first
  bool barrier = true;  // the next operation reads what this one writes

  // Parts that were begun, of each thread's share, and parts that are done. A thread takes its own
  // share first and then what is left of the others': nobody waits for one that does not run.
  std::vector<std::atomic<int>> begun;
  std::atomic<int> done{0};
};

// A vector of floats for each image: means, gates, logits.
struct Vector {
  int size;
  std::vector<float> values;
};

class Network {
 public:
  Network(const Kernels& kernels, int threads) : kernels(kernels), desks(threads), pool(threads) {}

  int add_buffer(int channels, int border, int type, bool packed);
  int add_vector(int size);
  Buffer& buffer(int id);
  Vector& vector(int id);
  // uint8 (images, height, width, 3) through the whole list.
  void run(const uint8_t* pixels, int images, int height, int width);
  // While planning: room for so many rows of so many bytes, on every thread's desk.
  void need_rows(int64_t count, int64_t bytes);

  const Simple& simple() const { return *kernels.simple; }

  const Kernels& kernels;
  std::vector<std::unique_ptr<Op>> ops;
  std::vector<Desk> desks;      // of each thread
  std::vector<double> seconds;  // of each operation, where `timed`
  bool timed = false;
  Pool pool;
  const uint8_t* pixels = nullptr;  // of the run under way
  int images = 0, height = 0, width = 0;
  std::string error;

 private:
  void plan(int images, int height, int width);
  void work(int thread);

  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::vector<std::unique_ptr<Vector>> vectors_;
};

// A part of [0, total).
struct Share {
  int64_t begin, end;
  Share(int64_t total, const Part& part)
      : begin(total * part.number / part.of), end(total * (part.number + 1) / part.of) {}
};

inline void check(bool good, const char* what) {
  if (!good) throw Error(what);
}

}  // namespace r2n
