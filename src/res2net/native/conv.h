#pragma once
#include <vector>

#include "network.h"

namespace r2n {

// What Python says of a convolution; the fields' order is that of `binding.py`.
struct ConvSpec {
  int32_t input, input_channel, channels;  // channels of the input that are read
  int32_t outputs, groups, kernel, stride, dilation, rows;
  int32_t pairs;                   // of pixels: weights come as planes (see kernels.h)
  int32_t second, second_channels, second_stride;  // a 1×1 of another buffer in the same sum, or -1
  int32_t output, output_channel;
  int32_t split, output2, output2_channel;  // channels from `split` on go to another buffer, or -1
  int32_t residual;                         // added before the ReLU, or -1
  int32_t add, add_channel;                 // the result is added into this buffer, or -1
  int32_t relu, barrier;
  // (outputs, channels / groups, kernel, kernel, or of pairs planes) in the input's type
  const void* weights;
  const void* weights2;  // (outputs, second_channels)
  const void* bias;      // (outputs,) floats; of U8 int32, in steps of the sum
  const float* scales[kScales];  // (outputs,) each; of U8 alone
};

class Conv : public Op {
 public:
  Conv(Network& net, const ConvSpec& spec);
  void plan(Network& net) override;
  void run(Network& net, const Part& part) override;
  Bytes first(const Part& part) const override;

 private:
  struct Panel {
    int column, columns;
    bool half;  // its last column has no more than 8 channels
  };
  struct Tile {  // pixels of one row, or of the whole map where it is read straight through
    int image, y, x, pixels;
  };

  Bytes panel_bytes(int64_t panel) const;
  void pack(const ConvSpec& spec, Type type);
  int segments(const Network& net, const Tile& tile, Segment* into) const;
  int segments_of_pairs(Network& net, const Tile& tile, int thread, Segment* into) const;

  int64_t row_bytes() const { return (int64_t)(out_width_ + 1) / 2 * kPlanes * plane_; }

  ConvSpec spec_;
  int columns_, units_, units2_;   // packed columns; units of a tap, of the second source
  int64_t column_bytes_;
  std::vector<int> first_;         // channel that a column's taps begin with
  Memory weights_;
  std::vector<char> bias_;
  std::vector<float> scales_[kScales];
  // of the plan
  bool straight_ = false, by_panel_ = false;
  int out_height_ = 0, out_width_ = 0, across_ = 0;  // tiles side by side in a row
  int64_t tiles_ = 0;
  int64_t plane_ = 0, places_ = 0;  // of pairs: bytes of a plane; rows that a thread keeps
  std::vector<Panel> panels_;
};

}  // namespace r2n
