// The operations besides convolutions.
#pragma once
#include <vector>

#include "network.h"

namespace r2n {

// uint8 images → the first buffer, scaled and shifted by channel; into a buffer of bytes as they
// are, with `pad`, the byte that stands for zero, around them.
class Normalise : public Op {
 public:
  Normalise(Network& net, int output, const float* scale, const float* shift, const uint8_t* pad);
  void plan(Network& net) override;
  void run(Network& net, const Part& part) override;

 private:
  int output_;
  std::vector<char> table_;  // (channels, 256) values in the buffer's type
  uint8_t pad_[3] = {};
};

struct PoolSpec {
  int32_t input, input_channel, channels;
  int32_t output, output_channel;
  int32_t average, kernel, stride, pad;
  int32_t ceil;       // the last window may stand out
  int32_t count_pad;  // the mean is over the border too
  int32_t barrier;
};

// Maximum (of numbers that are not negative) or mean.
class PoolOp : public Op {
 public:
  PoolOp(Network& net, const PoolSpec& spec);
  void plan(Network& net) override;
  void run(Network& net, const Part& part) override;

 private:
  int out_size(int size) const;
  PoolSpec spec_;
};

// The mean of a map, by image and channel. `scales`: the steps of bytes, or null.
class Mean : public Op {
 public:
  Mean(Network& net, int input, int output, const float* scales);
  void plan(Network& net) override;
  void run(Network& net, const Part& part) override;

 private:
  int input_, output_;
  std::vector<float> scales_;
};

enum Activation : int32_t { kNone = 0, kRelu = 1, kSigmoid = 2 };

class Linear : public Op {
 public:
  Linear(Network& net, int input, int output, int activation, int type, const void* weights,
         const float* bias);
  void plan(Network&) override {}
  void run(Network& net, const Part& part) override;

 private:
  int input_, output_, activation_;
  Type type_;
  std::vector<char> weights_;
  std::vector<float> bias_;
};

// output = relu(input · gates + residual). Into bytes: `scales` holds the residual's steps (1 where
// it is bf16), `steps` what a value is in the output's; else both are null.
class Gate : public Op {
 public:
  Gate(Network& net, int input, int gates, int residual, int output, const float* scales,
       const float* steps);
  void plan(Network& net) override;
  void run(Network& net, const Part& part) override;

 private:
  int input_, gates_, residual_, output_;
  std::vector<float> scales_, steps_;
};

}  // namespace r2n
