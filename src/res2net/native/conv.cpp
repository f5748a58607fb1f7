#include "conv.h"

#include <algorithm>
#include <cstring>

namespace r2n {

namespace {
constexpr int kMaxKernel = 7;
constexpr int64_t kNear = 400 * 1024;  // bytes of weights that stay in the second cache

int ceil_div(int a, int b) { return (a + b - 1) / b; }

// An axis of `total` pixels in `parts`, as even as may be.
int begin_of(int part, int total, int parts) { return (int)((int64_t)total * part / parts); }
}  // namespace

Conv::Conv(Network& net, const ConvSpec& spec) : spec_(spec) {
  const Buffer& in = net.buffer(spec.input);
  check(spec.channels > 0 && spec.input_channel >= 0 &&
            spec.input_channel + spec.channels <= in.channels,
        "a convolution reads channels that are not there");
  check(spec.outputs > 0 && spec.outputs < 65536 && spec.groups > 0 &&
            spec.outputs % spec.groups == 0 && spec.channels % spec.groups == 0,
        "a convolution's groups do not divide its channels");
  check(spec.kernel >= 1 && spec.kernel <= kMaxKernel && spec.kernel % 2 == 1 && spec.stride >= 1 &&
            spec.stride <= 16,
        "a convolution's kernel or stride is out of range");
  check(spec.dilation == 1 || (spec.dilation > 1 && spec.dilation < 16 && !spec.rows && !spec.pairs),
        "a convolution's dilation is out of range");
  check(in.border >= spec.kernel / 2 * spec.dilation,
        "a convolution's input has too narrow a border");
  check(!spec.rows || (spec.groups == 1 && in.packed && spec.channels == in.channels),
        "a convolution by rows needs whole packed pixels");
  check(!spec.pairs || (spec.kernel == 3 && spec.stride == 1 && !spec.rows && spec.second < 0 &&
                        in.type != U8 && !in.packed),
        "a convolution by pairs is 3×3 in float, of stride 1 and one source");
  const bool signed_ = net.buffer(spec.output).type == BF16;  // of bytes: then nothing is added
  check(in.type != U8 || !signed_ || (spec.output2 < 0 && spec.residual < 0 && spec.add < 0),
        "a convolution adds what has a sign");
  check(in.type != U8 || signed_ || spec.relu, "bytes have no sign: a ReLU must be there");
  const auto holds = [&](int id, int channel, int channels) {
    const Buffer& buffer = net.buffer(id);
    const bool as = buffer.type == in.type || (in.type == U8 && id == spec.output && signed_);
    check(as && !buffer.packed, "a convolution changes the type");
    check(channel >= 0 && channels > 0 && channel + channels <= buffer.channels,
          "a convolution writes channels that are not there");
  };
  check(spec.split > 0 && spec.split <= spec.outputs, "a convolution is split out of range");
  holds(spec.output, spec.output_channel, spec.split);
  check((spec.output2 >= 0) == (spec.split < spec.outputs), "a split needs a second output");
  if (spec.output2 >= 0) holds(spec.output2, spec.output2_channel, spec.outputs - spec.split);
  if (spec.residual >= 0) holds(spec.residual, 0, spec.outputs);
  if (spec.add >= 0) {
    holds(spec.add, spec.add_channel, spec.outputs);
    check(spec.output2 < 0, "a convolution cannot be split and added");
  }
  if (spec.second >= 0) {
    holds(spec.second, 0, spec.second_channels);
    check(spec.groups == 1 && spec.second_stride >= 1, "a second source needs one group");
  }
  barrier = spec.barrier;
  pack(spec, in.type);
}

void Conv::pack(const ConvSpec& spec, Type type) {
  const int bytes = size_of(type), per = per_unit(type);
  const int k = spec.kernel, in_group = spec.channels / spec.groups;
  const int out_group = spec.outputs / spec.groups;
  columns_ = ceil_div(spec.outputs, kLanes);
  // channels that the outputs of a column read: those of all groups that it touches
  int reach = 0;
  for (int c = 0; c < columns_; ++c) {
    const int last = std::min(spec.outputs, (c + 1) * kLanes) - 1;
    reach = std::max(reach, (last / out_group - c * kLanes / out_group + 1) * in_group);
  }
  for (int c = 0; c < columns_; ++c)
    first_.push_back(std::min(c * kLanes / out_group * in_group, spec.channels - reach));
  const int wide = spec.pairs ? kPlanes : k;  // taps of a row
  const int taps = spec.rows ? k : k * wide, run = spec.rows ? k * reach : reach;
  units_ = ceil_div(run, per);
  units2_ = spec.second >= 0 ? ceil_div(spec.second_channels, per) : 0;
  column_bytes_ = 64 * ((int64_t)taps * units_ + units2_);
  weights_.resize(column_bytes_ * columns_);
  const auto put = [&](int o, int64_t unit, int place, const char* value, int each = 1, int one = 0) {
    char* to = weights_.data() + o / kLanes * column_bytes_ + o % kLanes * 4 + place % per * bytes;
    std::memcpy(to + 64 * ((unit + place / per) * each + one), value, bytes);
  };
  const char* w = static_cast<const char*>(spec.weights);
  for (int o = 0; o < spec.outputs; ++o) {
    const int begin = o / out_group * in_group - first_[o / kLanes];
    for (int i = 0; i < in_group; ++i)
      for (int ky = 0; ky < k; ++ky)
        for (int kx = 0; kx < wide; ++kx, w += bytes) {
          if (spec.rows) put(o, (int64_t)ky * units_, kx * reach + i, w);
          else if (spec.pairs) put(o, (int64_t)ky * units_, begin + i, w, kPlanes, kx);
          else put(o, (int64_t)(ky * k + kx) * units_, begin + i, w);
        }
  }
  const char* w2 = static_cast<const char*>(spec.weights2);
  if (spec.second >= 0)
    for (int o = 0; o < spec.outputs; ++o)
      for (int i = 0; i < spec.second_channels; ++i, w2 += bytes)
        put(o, (int64_t)taps * units_, i, w2);
  bias_.assign(columns_ * kLanes * 4, 0);
  std::memcpy(bias_.data(), spec.bias, spec.outputs * 4);
  if (type != U8) return;
  const bool needed[kScales] = {true, spec.second >= 0, spec.residual >= 0, spec.add >= 0,
                                spec.add >= 0};
  for (int i = 0; i < kScales; ++i) {
    if (!needed[i]) continue;
    check(spec.scales[i], "a convolution of bytes lacks a scale");
    scales_[i].assign((columns_ + 1) * kLanes, 0.0f);  // columns are finished two by two
    std::copy(spec.scales[i], spec.scales[i] + spec.outputs, scales_[i].begin());
  }
}

void Conv::plan(Network& net) {
  const Buffer& in = net.buffer(spec_.input);
  check(in.height > 0, "a convolution reads what nothing has written");
  out_height_ = (in.height - 1) / spec_.stride + 1;
  out_width_ = (in.width - 1) / spec_.stride + 1;
  bool straight = spec_.kernel == 1 && spec_.stride == 1 && !in.border;
  if (spec_.second >= 0) {
    const Buffer& second = net.buffer(spec_.second);
    check((second.height - 1) / spec_.second_stride + 1 == out_height_ &&
              (second.width - 1) / spec_.second_stride + 1 == out_width_,
          "a second source of another size");
    straight = straight && spec_.second_stride == 1 && !second.border;
  }
  for (int id : {spec_.output, spec_.output2})
    if (id >= 0) net.buffer(id).lay_out(in.images, out_height_, out_width_);
  for (int id : {spec_.residual, spec_.add})
    if (id >= 0)
      check(net.buffer(id).height == out_height_ && net.buffer(id).width == out_width_,
            "a convolution adds a map of another size");
  straight_ = straight;
  const int64_t pixels = (int64_t)in.images * out_height_ * out_width_;
  check(pixels < INT32_MAX / 2, "the batch is too large");

  by_panel_ = column_bytes_ * columns_ > kNear;
  if (spec_.pairs) {
    // not in step with cache lines: planes of a pair come to a new line at different times
    plane_ = ((int64_t)spec_.channels * size_of(in.type) + 3) / 4 * 4;
    if (plane_ % 64 == 0) plane_ += 16;
    places_ = by_panel_ ? (int64_t)in.images * in.height : 3;
    net.need_rows(places_, row_bytes());
  }

  const int row = straight_ ? (int)pixels : out_width_;
  double best = 0;
  for (int wide : {2, 1, 3, 4}) {
    const int most_pixels = spec_.pairs ? 2 * net.kernels.max_pairs : net.kernels.max_pixels[wide - 1];
    if ((spec_.pairs && wide != 1) || most_pixels == 0) continue;
    std::vector<Panel> panels;
    for (int c = 0; c < columns_;) {
      // what is left over comes first: half a column is best beside a whole one
      const int most = c == 0 && spec_.groups == 1 && columns_ % wide ? columns_ % wide : wide;
      int n = 1;
      while (n < most && c + n < columns_ && first_[c + n] == first_[c]) ++n;
      const bool last = c + n == columns_;
      panels.push_back({c, n, last && spec_.outputs - (columns_ - 1) * kLanes <= kLanes / 2});
      c += n;
    }
    const int across = ceil_div(row, most_pixels);
    const double tiles = (double)across * panels.size();
    if (best == 0 || tiles < best) {
      best = tiles;
      panels_ = panels;
      across_ = across;
    }
  }
  tiles_ = straight_ ? across_ : (int64_t)in.images * out_height_ * across_;
}

int Conv::segments(const Network& net, const Tile& tile, Segment* into) const {
  Network& n = const_cast<Network&>(net);
  const Buffer& in = n.buffer(spec_.input);
  int count = 0;
  if (straight_) {
    into[count++] = {in.at(tile.x, spec_.input_channel), in.step, 0, units_};
    if (spec_.second >= 0) {
      const Buffer& second = n.buffer(spec_.second);
      into[count++] = {second.at(tile.x), second.step, 64 * (int64_t)units_, units2_};
    }
    return count;
  }
  const int k = spec_.kernel, d = spec_.dilation, pad = k / 2 * d, s = spec_.stride;
  for (int ky = 0; ky < k; ++ky) {
    const int y = tile.y * s + ky * d - pad;
    const bool outside = y < 0 || y >= in.height;
    if (outside && in.pad_row < 0) continue;
    const int64_t left = outside ? in.pad_row + in.border + tile.x * s - pad
                                 : in.place(tile.image, y, tile.x * s - pad);
    for (int kx = 0; kx < (spec_.rows ? 1 : k); ++kx) {
      const int tap = spec_.rows ? ky : ky * k + kx;
      into[count++] = {in.at(left + kx * d, spec_.input_channel), s * in.step,
                       64 * (int64_t)tap * units_, units_};
    }
  }
  if (spec_.second >= 0) {
    const Buffer& second = n.buffer(spec_.second);
    const int s2 = spec_.second_stride, taps = spec_.rows ? k : k * k;
    into[count++] = {second.at(second.place(tile.image, tile.y * s2, tile.x * s2)), s2 * second.step,
                     64 * (int64_t)taps * units_, units2_};
  }
  return count;
}

int Conv::segments_of_pairs(Network& net, const Tile& tile, int thread, Segment* into) const {
  const Buffer& in = net.buffer(spec_.input);
  Desk& desk = net.desks[thread];
  int count = 0;
  for (int ky = 0; ky < 3; ++ky) {
    const int y = tile.y + ky - 1;
    if (y < 0 || y >= in.height) continue;
    const int64_t row = (int64_t)tile.image * in.height + y;
    char* planes = desk.memory.data() + row % places_ * row_bytes();
    if (desk.held[row % places_] != row) {
      desk.held[row % places_] = row;
      net.kernels.planes(in.at(in.place(tile.image, y, -1), spec_.input_channel), in.step, in.width,
                         spec_.channels, planes, plane_, in.type);
    }
    into[count++] = {planes + tile.x / 2 * kPlanes * plane_, kPlanes * plane_,
                     64 * (int64_t)ky * kPlanes * units_, units_};
  }
  return count;
}

Bytes Conv::panel_bytes(int64_t number) const {
  const Panel& panel = panels_[number];
  const char* begin = weights_.data() + panel.column * column_bytes_;
  return {begin, begin + panel.columns * column_bytes_};
}

Bytes Conv::first(const Part& part) const {
  if (!by_panel_) return {weights_.data(), weights_.data() + columns_ * column_bytes_};
  return panel_bytes(Share(tiles_ * panels_.size(), part).begin / tiles_);
}

void Conv::run(Network& net, const Part& part) {
  Segment segments_of[kMaxKernel * kMaxKernel + 1];
  const Buffer& in = net.buffer(spec_.input);
  const int bytes = size_of(in.type);
  const Type out_type = net.buffer(spec_.output).type;
  Job job{};
  job.out_type = out_type;
  job.segments = segments_of;
  job.relu = spec_.relu;
  job.b_column = column_bytes_;
  job.plane = plane_;

  const auto target = [&](int id) {
    Target t{};
    if (id >= 0) {
      const Buffer& buffer = net.buffer(id);
      t.base = buffer.memory.data();
      t.step = buffer.step;
    }
    return t;
  };
  const Target out = target(spec_.output);
  const Target out2 = target(spec_.output2);
  const Target residual = target(spec_.residual);
  const Target add = target(spec_.add);
  const auto number = [&](Target& t, int id, int64_t pixel) {
    if (id < 0) return;
    const Buffer& buffer = net.buffer(id);
    t.map = buffer.map.empty() ? nullptr : buffer.map.data() + pixel;
    t.first = pixel;
  };

  const int64_t panels = panels_.size();
  const Share share(tiles_ * panels, part);
  const Part all{part.thread, net.pool.threads(), part.thread};  // this thread's share
  const int64_t last = (Share(tiles_ * panels, all).end - 1) / tiles_;  // panel of it
  Desk& desk = net.desks[part.thread];
  if (desk.of != this) {
    desk.of = this;
    std::fill(desk.held.begin(), desk.held.end(), -1);
    desk.wanted = next && !by_panel_ ? next->first(all) : Bytes{};
  }
  int64_t built = -1;
  Tile tile{};
  for (int64_t i = share.begin; i < share.end; ++i) {
    const int64_t t = by_panel_ ? i % tiles_ : i / panels;
    const Panel& panel = panels_[by_panel_ ? i / tiles_ : i % panels];
    if (t != built) {
      built = t;
      const int side = (int)(t % across_);
      const int row = straight_ ? (int)in.pixels() : out_width_;
      const int each = spec_.pairs ? 2 : 1, steps = ceil_div(row, each);
      tile.x = each * begin_of(side, steps, across_);
      tile.pixels = std::min(row, each * begin_of(side + 1, steps, across_)) - tile.x;
      tile.y = straight_ ? 0 : (int)(t / across_ % out_height_);
      tile.image = straight_ ? 0 : (int)(t / across_ / out_height_);
      job.count = spec_.pairs ? segments_of_pairs(net, tile, part.thread, segments_of)
                              : segments(net, tile, segments_of);
      job.second = spec_.second >= 0 ? job.count - 1 : -1;
      const int64_t pixel = ((int64_t)tile.image * out_height_ + tile.y) * out_width_ + tile.x;
      job.out = out, job.out2 = out2, job.residual = residual, job.add = add;
      number(job.out, spec_.output, pixel);
      number(job.out2, spec_.output2, pixel);
      number(job.residual, spec_.residual, pixel);
      number(job.add, spec_.add, pixel);
    }
    const int channel = panel.column * kLanes;
    for (int j = 0; j < (panel.columns + 1) / 2; ++j) {
      const int from = channel + j * 2 * kLanes;
      const auto below = [&](int limit) -> uint32_t {
        const int here = std::min(limit, channel + panel.columns * kLanes) - from;
        return here <= 0 ? 0 : here >= 32 ? ~0u : (1u << here) - 1;
      };
      job.mask[j] = below(spec_.split);
      job.mask2[j] = below(spec_.outputs) & ~job.mask[j];
    }
    job.out.base = out.base + (int64_t)(spec_.output_channel + channel) * size_of(out_type);
    if (out2.base)
      job.out2.base = out2.base + (int64_t)(spec_.output2_channel + channel - spec_.split) * bytes;
    if (residual.base) job.residual.base = residual.base + (int64_t)channel * bytes;
    if (add.base) job.add.base = add.base + (int64_t)(spec_.add_channel + channel) * bytes;
    job.a_offset = (int64_t)first_[panel.column] * bytes;
    job.b = weights_.data() + panel.column * column_bytes_;
    if (by_panel_ && (t == 0 || i == share.begin))
      desk.wanted = i / tiles_ < last ? panel_bytes(i / tiles_ + 1)
                    : next            ? next->first(all)
                                      : Bytes{};
    const bool fetch = desk.wanted.begin < desk.wanted.end;
    job.fetch = fetch ? desk.wanted.begin : job.b;
    job.fetch_step = fetch ? 64 : 0;
    if (fetch) desk.wanted.begin += 64 * (job.count * (int64_t)units_);
    job.bias = bias_.data() + channel * 4;
    for (int k = 0; k < kScales; ++k)
      job.scales[k] = scales_[k].empty() ? nullptr : scales_[k].data() + channel;
    job.pixels = tile.pixels;
    const Kernel kernel =
        spec_.pairs ? net.kernels.pairs(in.type, ceil_div(tile.pixels, 2), panel.half)
                    : net.kernels.tile(in.type, tile.pixels, panel.columns, panel.half);
    kernel(job);
  }
}

}  // namespace r2n
