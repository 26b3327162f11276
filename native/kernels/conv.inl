// Direct convolution of any rank, layout, stride, padding, dilation and grouping:
//
//   out[n, p, g, o] = sum over taps t and channels c of  x[n, p * stride + t * rhs_dilation - pad, g, c] * w[t, g, c, o]
//
// A block of output pixels at a time, the pixels' patches are gathered into a small matrix (pixels x (taps, channels), in
// cache) and multiplied with the weights, packed once in panels of whole vectors. Gathering costs a copy per
// Og multiply-adds, and takes care of padding, dilation, layout and conversion at once. With few channels the patch
// matrix is stored transposed, so that a whole run of pixels is one copy. Two kinds have vectors of something else than
// features: of channels, if groups of one channel in and out lie side by side (depthwise); of pixels, if there are few
// features and pixels follow each other (lines: filters of signals and images). Windows as wide as the image, which gradients of
// weights are, stand in conv_wide.inl. Start at conv, then Conv::run.

#include "items.inl"
#include "tiles.inl"
#include "transpose.inl"
#include "conv_shape.inl"
#include "conv_wide.inl"

namespace addax::ADDAX_ISA {
namespace {

constexpr int64_t kPixels = 96;   // output pixels per block
constexpr int64_t kPatch = 1024;  // patch elements per pixel gathered at a time
constexpr int64_t kLine = 1 << 13, kMaxLine = 1 << 20;  // elements of all input rows under a piece of a line: wanted, at most

template <typename In, typename Acc, typename Out>
struct Conv {
  using S = Simd<Acc>;
  static constexpr int kLanes = S::kLanes;
  static constexpr int64_t kPanel = kMaxVectors * kLanes;
  static constexpr int64_t kStep = 4 * kLanes;  // pixels of a line at a time

  const Shape& s;
  const In* x;
  const In* w;
  Out* out;
  bool transposed;  // the patch matrix is stored (patch, pixel)
  bool direct;      // output pixels lie at equal distances, features next to each other: sums are stored where they belong

  // patch(pixel, (tap, channel)) for `count` pixels of one output row from `first` on, taps [t0, t1).
  void gather_row(const In* image, const Pixel& first, int64_t count, int64_t t0, int64_t t1, Acc* to, int64_t pixel_step,
                  int64_t item_step) const {
    const Axis& last = s.last();
    int64_t p0 = first.position[s.rank - 1];
    for (int64_t tap = t0; tap < t1; ++tap, to += s.channels * item_step) {
      int64_t rest = tap / last.kernel, k = tap % last.kernel;
      const In* row = image;
      for (int i = s.rank - 2; i >= 0 && row; --i) {
        int64_t at = s.axis[i].source(first.position[i], rest % s.axis[i].kernel);
        rest /= s.axis[i].kernel;
        row = at < 0 ? nullptr : row + at * s.axis[i].x;
      }
      if (!row) {
        zero(to, count, pixel_step, item_step);
      } else if (last.lhs_dilation == 1) {
        int64_t shift = k * last.rhs_dilation - last.pad;
        int64_t lo = std::clamp(divide_up(-shift, last.stride) - p0, int64_t{0}, count);
        int64_t hi = std::clamp(divide_up(last.in - shift, last.stride) - p0, lo, count);
        zero(to, lo, pixel_step, item_step);
        zero(to + hi * pixel_step, count - hi, pixel_step, item_step);
        copy(row + ((p0 + lo) * last.stride + shift) * last.x, last.stride * last.x, to + lo * pixel_step, hi - lo, pixel_step, item_step);
      } else {
        for (int64_t q = 0; q < count; ++q) {
          int64_t at = last.source(p0 + q, k);
          if (at < 0) zero(to + q * pixel_step, 1, pixel_step, item_step);
          else copy(row + at * last.x, 0, to + q * pixel_step, 1, pixel_step, item_step);
        }
      }
    }
  }

  void zero(Acc* to, int64_t count, int64_t pixel_step, int64_t item_step) const {
    for (int64_t q = 0; q < count; ++q)
      for (int64_t c = 0; c < s.channels; ++c) to[q * pixel_step + c * item_step] = Acc{};
  }

  void copy(const In* from, int64_t from_step, Acc* to, int64_t count, int64_t pixel_step, int64_t item_step) const {
    if (pixel_step == 1) {
      for (int64_t c = 0; c < s.channels; ++c) {
        const In* f = from + c * s.x_c;
        Acc* t = to + c * item_step;
        if (from_step == 1) for (int64_t q = 0; q < count; ++q) t[q] = widen<Acc>(f[q]);
        else for (int64_t q = 0; q < count; ++q) t[q] = widen<Acc>(f[q * from_step]);
      }
    } else if (s.x_c == 1) {
      for (int64_t q = 0; q < count; ++q, to += pixel_step, from += from_step) {
        int64_t c = 0;
        if constexpr (std::is_same_v<In, Acc>)
          for (; c + kLanes <= s.channels; c += kLanes) S::store(to + c, S::load(from + c));
        for (; c < s.channels; ++c) to[c] = widen<Acc>(from[c]);
      }
    } else {
      for (int64_t q = 0; q < count; ++q)
        for (int64_t c = 0; c < s.channels; ++c) to[q * pixel_step + c] = widen<Acc>(from[q * from_step + c * s.x_c]);
    }
  }

  // Weights of one group: panel after panel of kPanel features (the last padded to whole vectors), each (tap, channel) x
  // features.
  void pack_weights(int64_t g, Acc* to) const {
    int64_t depth = s.taps * s.channels;
    for (int64_t tap = 0; tap < s.taps; ++tap) {
      const In* at = w + g * s.w_g;
      for (int64_t i = s.rank - 1, rest = tap; i >= 0; --i) {
        at += rest % s.axis[i].kernel * s.axis[i].w;
        rest /= s.axis[i].kernel;
      }
      for (int64_t c = 0; c < s.channels; ++c)
        for (int64_t f0 = 0; f0 < s.features; f0 += kPanel) {
          int64_t width = std::min(kPanel, (s.features - f0 + kLanes - 1) / kLanes * kLanes);
          Acc* row = to + f0 * depth + (tap * s.channels + c) * width;
          for (int64_t f = 0; f < width; ++f)
            row[f] = f0 + f < s.features ? widen<Acc>(at[c * s.w_c + (f0 + f) * s.w_f]) : Acc{};
        }
    }
  }

  // Output pixels [first, first + count) of group g.
  void block(int64_t g, int64_t first, int64_t count, const Acc* weights, Acc* patches, Acc* sums) const {
    int64_t depth = s.taps * s.channels, wide = (s.features + kLanes - 1) / kLanes * kLanes;
    int64_t taps_at_once = std::max<int64_t>(1, kPatch / std::max<int64_t>(s.channels, 1));
    for (int64_t t0 = 0; t0 < s.taps; t0 += taps_at_once) {
      int64_t t1 = std::min(s.taps, t0 + taps_at_once), deep = (t1 - t0) * s.channels;
      int64_t pixel_step = transposed ? 1 : deep, item_step = transposed ? kPixels : 1;
      for (int64_t done = 0; done < count;) {
        Pixel p(s, first + done);
        int64_t run = std::min(count - done, s.last().out - p.position[s.rank - 1]);
        gather_row(x + p.n * s.x_n + g * s.x_g, p, run, t0, t1, patches + done * pixel_step, pixel_step, item_step);
        done += run;
      }
      Matrix<const Acc> a{patches, pixel_step, item_step};
      for (int64_t f0 = 0; f0 < s.features; f0 += kPanel) {
        int64_t width = std::min(kPanel, wide - f0), cols = width;
        const Acc* b = weights + f0 * depth + t0 * s.channels * width;
        Matrix<Acc> c{sums + f0, wide, 1};
        if constexpr (std::is_same_v<Acc, Out>)
          if (direct) c = {out + g * s.o_g + first * s.last().o + f0, s.last().o, 1}, cols = std::min(width, s.features - f0);
        Tiles<Acc>::panel(static_cast<int>(width / kLanes), count, deep, a, b, width, c, cols, t0 > 0);
      }
    }
    if (direct) return;
    for (int64_t done = 0; done < count;) {
      Pixel p(s, first + done);
      int64_t run = std::min(count - done, s.last().out - p.position[s.rank - 1]);
      Out* to = out + p.n * s.o_n + g * s.o_g;
      for (int i = 0; i < s.rank; ++i) to += p.position[i] * s.axis[i].o;
      for (int64_t q = 0; q < run; ++q, to += s.last().o) {
        const Acc* from = sums + (done + q) * wide;
        if (s.o_f == 1) for (int64_t f = 0; f < s.features; ++f) to[f] = narrow<Out>(from[f]);
        else for (int64_t f = 0; f < s.features; ++f) to[f * s.o_f] = narrow<Out>(from[f]);
      }
      done += run;
    }
  }

  // One channel in and out per group, groups contiguous: vectors of groups.
  void depthwise(int64_t first, int64_t count, const Acc* weights) const {
    constexpr int64_t kStrip = 256;
    Acc sums[kStrip];
    for (int64_t g0 = 0; g0 < s.groups; g0 += kStrip) {
      int64_t width = std::min(kStrip, s.groups - g0);
      for (int64_t q = 0; q < count; ++q) {
        Pixel p(s, first + q);
        std::fill(sums, sums + width, Acc{});
        for (int64_t tap = 0; tap < s.taps; ++tap) {
          const In* from = x + p.n * s.x_n + g0;
          bool inside = true;
          for (int64_t i = s.rank - 1, rest = tap; i >= 0 && inside; --i) {
            int64_t at = s.axis[i].source(p.position[i], rest % s.axis[i].kernel);
            rest /= s.axis[i].kernel;
            inside = at >= 0;
            from += at * s.axis[i].x;
          }
          if (!inside) continue;
          const Acc* wt = weights + tap * s.groups + g0;
          int64_t f = 0;
          if constexpr (std::is_same_v<In, Acc>)
            for (; f + kLanes <= width; f += kLanes)
              S::store(sums + f, S::fma(S::load(from + f), S::load(wt + f), S::load(sums + f)));
          for (; f < width; ++f) sums[f] += widen<Acc>(from[f]) * wt[f];
        }
        Out* to = out + p.n * s.o_n + g0;
        for (int i = 0; i < s.rank; ++i) to += p.position[i] * s.axis[i].o;
        for (int64_t f = 0; f < width; ++f) to[f] = narrow<Out>(sums[f]);
      }
    }
  }

  // Few features, neighbouring pixels read neighbouring elements: vectors of pixels of one output row. The input rows
  // under it are copied first, padded.

  bool in_lines() const {
    const Axis& last = s.last();
    int64_t rows = s.taps / std::max<int64_t>(last.kernel, 1) * s.channels;
    return last.stride == 1 && last.lhs_dilation == 1 && s.features * 4 <= std::max(kLanes, 4) && last.out >= kStep &&
           s.taps * s.channels > 0 && rows * ((last.kernel - 1) * last.rhs_dilation + 2 * kStep) <= kMaxLine;
  }

  // Output pixels [first, first + count) of one row and group. weights: feature x (outer tap, channel, tap of the row).
  void line(int64_t g, const Pixel& first, int64_t count, const Acc* weights, Acc* rows) const {
    const Axis& last = s.last();
    int64_t length = (count + kStep - 1) / kStep * kStep + (last.kernel - 1) * last.rhs_dilation;
    int64_t outer_taps = s.taps / last.kernel, n_rows = outer_taps * s.channels, p0 = first.position[s.rank - 1];
    int64_t lo = std::clamp(last.pad - p0, int64_t{0}, length), hi = std::clamp(last.in + last.pad - p0, lo, length);
    for (int64_t tap = 0; tap < outer_taps; ++tap) {
      const In* image = x + first.n * s.x_n + g * s.x_g;
      for (int64_t i = s.rank - 2, rest = tap; i >= 0 && image; --i) {
        int64_t at = s.axis[i].source(first.position[i], rest % s.axis[i].kernel);
        rest /= s.axis[i].kernel;
        image = at < 0 ? nullptr : image + at * s.axis[i].x;
      }
      for (int64_t c = 0; c < s.channels; ++c) {
        Acc* to = rows + (tap * s.channels + c) * length;
        if (!image) {
          std::fill(to, to + length, Acc{});
          continue;
        }
        const In* from = image + c * s.x_c + (p0 - last.pad) * last.x;
        std::fill(to, to + lo, Acc{});
        if (last.x == 1) for (int64_t q = lo; q < hi; ++q) to[q] = widen<Acc>(from[q]);
        else for (int64_t q = lo; q < hi; ++q) to[q] = widen<Acc>(from[q * last.x]);
        std::fill(to + hi, to + length, Acc{});
      }
    }
    Out* out_row = out + first.n * s.o_n + g * s.o_g;
    for (int i = 0; i < s.rank; ++i) out_row += first.position[i] * s.axis[i].o;
    for (int64_t f = 0; f < s.features; ++f, out_row += s.o_f)
      for (int64_t q = 0; q < count; q += kStep) {
        typename S::Vec sum[4] = {};
        const Acc* w_at = weights + f * s.taps * s.channels;
        for (int64_t r = 0; r < n_rows; ++r) {
          const Acc* at = rows + r * length + q;
          for (int64_t k = 0; k < last.kernel; ++k, at += last.rhs_dilation) {
            auto weight = S::splat(*w_at++);
#pragma GCC unroll 4
            for (int v = 0; v < 4; ++v) sum[v] = S::fma(S::load(at + v * kLanes), weight, sum[v]);
          }
        }
        alignas(64) Acc sums[kStep];
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) S::store(sums + v * kLanes, sum[v]);
        Out* to = out_row + q * last.o;
        int64_t width = std::min(kStep, count - q);
        if (last.o == 1) for (int64_t j = 0; j < width; ++j) to[j] = narrow<Out>(sums[j]);
        else for (int64_t j = 0; j < width; ++j) to[j * last.o] = narrow<Out>(sums[j]);
      }
  }

  void run_lines(double ns) const {
    const Axis& last = s.last();
    int64_t depth = s.taps * s.channels, rows = depth / last.kernel, span = (last.kernel - 1) * last.rhs_dilation;
    Scratch<Acc> weights(s.groups * s.features * depth);
    for (int64_t g = 0, at = 0; g < s.groups; ++g)
      for (int64_t f = 0; f < s.features; ++f)
        for (int64_t row = 0; row < rows; ++row) {
          const In* from = w + g * s.w_g + f * s.w_f + row % s.channels * s.w_c;
          for (int64_t i = s.rank - 2, rest = row / s.channels; i >= 0; --i) {
            from += rest % s.axis[i].kernel * s.axis[i].w;
            rest /= s.axis[i].kernel;
          }
          for (int64_t k = 0; k < last.kernel; ++k) weights[at++] = widen<Acc>(from[k * last.w]);
        }
    // Pieces of rows whose inputs stay in the nearest cache, if the padding leaves room there.
    int64_t piece = std::clamp((kLine / rows - span) / kStep * kStep, 2 * kStep, 32 * kStep);
    int64_t pieces = (last.out + piece - 1) / piece;
    parallel_for(s.n * s.groups * (s.pixels / last.out) * pieces, 1, ns, [&](int64_t lo, int64_t hi) {
      Scratch<Acc> memory(rows * (piece + span));
      for (int64_t u = lo; u < hi; ++u) {
        int64_t g = u / pieces % s.groups, row = u / pieces / s.groups, p0 = u % pieces * piece;
        line(g, Pixel(s, row * last.out + p0), std::min(piece, last.out - p0), weights.get() + g * s.features * depth, memory.get());
      }
    });
  }

  void run() const {
    int64_t pixels = s.n * s.pixels, depth = s.taps * s.channels;
    if (pixels <= 0 || s.groups <= 0 || s.features <= 0) return;
    double flops = 2.0 * pixels * s.groups * s.features * std::max<int64_t>(depth, 1);
    double ns = flops / (ADDAX_VEC_BYTES / sizeof(Acc) * 3.0) + pixels * s.groups * (depth * 0.5 + s.features * 0.3);
    if (s.channels == 1 && s.features == 1 && s.groups > 1 && s.x_g == 1 && s.o_g == 1) {
      Scratch<Acc> weights(std::max<int64_t>(1, s.taps * s.groups));
      for (int64_t tap = 0; tap < s.taps; ++tap) {
        const In* at = w;
        for (int64_t i = s.rank - 1, rest = tap; i >= 0; --i) {
          at += rest % s.axis[i].kernel * s.axis[i].w;
          rest /= s.axis[i].kernel;
        }
        for (int64_t g = 0; g < s.groups; ++g) weights[tap * s.groups + g] = widen<Acc>(at[g * s.w_g]);
      }
      parallel_for(pixels, 1, ns, [&](int64_t lo, int64_t hi) { depthwise(lo, hi - lo, weights.get()); });
      return;
    }
    if (in_lines()) return run_lines(ns);
    if (WideConv<In, Acc, Out>::fits(s)) return WideConv<In, Acc, Out>{s, x, w, out}.run(flops);
    int64_t wide = (s.features + kLanes - 1) / kLanes * kLanes;
    Scratch<Acc> weights(std::max<int64_t>(1, s.groups * depth * wide));
    parallel_for(s.groups, 1, s.groups * depth * wide * 0.5, [&](int64_t lo, int64_t hi) {
      for (int64_t g = lo; g < hi; ++g) pack_weights(g, weights.get() + g * depth * wide);
    });
    // Fewer pixels per block when there are few, so that every thread gets some.
    int64_t per_block = std::min(kPixels, (pixels * s.groups / (3 * num_threads()) + 11) / 12 * 12);
    per_block = std::max<int64_t>(per_block, 12);
    int64_t blocks = (pixels + per_block - 1) / per_block;
    int64_t patch = std::min(s.taps, std::max<int64_t>(1, kPatch / std::max<int64_t>(s.channels, 1))) * s.channels;
    parallel_for(blocks * s.groups, 1, ns, [&](int64_t lo, int64_t hi) {
      Scratch<Acc> patches(std::max<int64_t>(1, kPixels * patch)), sums(kPixels * wide);
      if (depth == 0) std::fill(sums.get(), sums.get() + kPixels * wide, Acc{});
      for (int64_t u = lo; u < hi; ++u) {
        int64_t g = u / blocks, first = u % blocks * per_block;
        block(g, first, std::min(per_block, pixels - first), weights.get() + g * depth * wide, patches.get(), sums.get());
      }
    });
  }
};

// [x, w, out]; table: spatial rank, batch, groups, channels per group, features per group, offsets of x, w, out, strides of x
// (batch, group, channel), w (group, channel, feature), out (batch, group, feature), then per spatial dimension: input
// size, kernel size, output size, stride, low padding (may be negative), lhs dilation, rhs dilation, strides in x, w, out.
template <typename In, typename Acc, typename Out>
void conv(void** args, const int64_t* t, int64_t, int64_t) {
  Shape s(t);
  bool transposed = s.channels < 8;
  bool direct = std::is_same_v<Acc, Out> && s.o_f == 1 && s.taps * s.channels > 0;
  int64_t image = s.last().o;  // walking outwards, what the next stride must be
  for (int i = s.rank - 1; i >= 0; --i) {
    direct &= s.axis[i].out == 1 || s.axis[i].o == image;
    image *= s.axis[i].out;
  }
  direct &= s.n == 1 || s.o_n == image;
  Conv<In, Acc, Out>{s, static_cast<const In*>(args[0]) + s.x_offset, static_cast<const In*>(args[1]) + s.w_offset,
                     static_cast<Out*>(args[2]) + s.o_offset, transposed, direct}
      .run();
}

}  // namespace

void conv_entries(KernelList& list) {
  list.push_back({"conv_f32_f32", conv<float, float, float>});
  list.push_back({"conv_f64_f64", conv<double, double, double>});
  list.push_back({"conv_f16_f16", conv<Half, float, Half>});
  list.push_back({"conv_f16_f32", conv<Half, float, float>});
  list.push_back({"conv_bf16_bf16", conv<BFloat, float, BFloat>});
  list.push_back({"conv_bf16_f32", conv<BFloat, float, float>});
  list.push_back({"conv_i8_i8", conv<int8_t, uint32_t, int8_t>});
  list.push_back({"conv_i8_i32", conv<int8_t, uint32_t, uint32_t>});
  list.push_back({"conv_u8_u8", conv<uint8_t, uint32_t, uint8_t>});
  list.push_back({"conv_i16_i16", conv<int16_t, uint32_t, int16_t>});
  list.push_back({"conv_u16_u16", conv<uint16_t, uint32_t, uint16_t>});
  list.push_back({"conv_i32_i32", conv<uint32_t, uint32_t, uint32_t>});
  list.push_back({"conv_u32_u32", conv<uint32_t, uint32_t, uint32_t>});
  list.push_back({"conv_i64_i64", conv<uint64_t, uint64_t, uint64_t>});
  list.push_back({"conv_u64_u64", conv<uint64_t, uint64_t, uint64_t>});
}

}  // namespace addax::ADDAX_ISA
