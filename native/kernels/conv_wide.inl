// Convolutions with more taps than results: the gradient of a convolution's weights, whose window is an image and whose
// channels are the images of a batch.
//
//   out[(pixel, image), feature] = sum over (channel, tap) of  x[image, pixel * stride + tap * rhs_dilation - pad, channel]
//                                                              * w[channel, tap, feature]
//
// A product of two matrices with long rows and columns. Runs of taps are gathered: along the taps, or, if images lie side
// by side (the channels of the convolution that is differentiated), whole vectors of images. The sums are cut in
// parts, a number that depends on sizes alone, and added up at the end. Included inside foreach_isa.h
// after tiles.inl, transpose.inl and conv_shape.inl.

namespace addax::ADDAX_ISA {
namespace {

template <typename In, typename Acc, typename Out>
struct WideConv {
  using S = Simd<Acc>;
  static constexpr int kLanes = S::kLanes;
  static constexpr int64_t kPanel = kMaxVectors * kLanes;
  static constexpr int64_t kRows = 96, kDeep = 256;     // of the patch matrix at a time
  static constexpr int64_t kUnits = 8, kLeast = 1024;   // pieces of work wanted; terms of a sum that are worth a part

  const Shape& s;
  const In* x;
  const In* w;
  Out* out;

  static bool fits(const Shape& s) {
    return s.taps > 2 * s.pixels && s.last().kernel >= 4 && (s.x_c != 1 || s.channels == 1);
  }

  // Row m of the patch matrix is image m % n under output pixel m / n.
  bool side_by_side() const { return s.x_n == 1 && s.n > 1; }

  // Whether the weights of neighbouring taps lie at one distance throughout; then also those of neighbouring channels.
  bool even_taps() const {
    int64_t step = s.last().w;
    for (int i = s.rank - 1; i >= 0; step *= s.axis[i--].kernel)
      if (s.axis[i].w != step) return false;
    return true;
  }
  bool even() const { return even_taps() && (s.channels == 1 || s.w_c == s.last().w * s.taps); }

  // Weights need no packing.
  bool readable() const {
    return std::is_same_v<In, Acc> && s.w_f == 1 && s.features % kLanes == 0 && s.features <= kPanel && even();
  }

  // f(channel, outer taps, first tap of the row, how many) for the runs of terms [k0, k1).
  template <typename F>
  void runs(int64_t k0, int64_t k1, F&& f) const {
    int64_t length = s.last().kernel, outer[kMaxSpatial];
    for (int64_t k = k0; k < k1;) {
      int64_t from = k % length, count = std::min(length - from, k1 - k), rest = k / length;
      for (int i = s.rank - 2; i >= 0; --i) {
        outer[i] = rest % s.axis[i].kernel;
        rest /= s.axis[i].kernel;
      }
      f(rest, outer, from, count);
      k += count;
    }
  }

  // Where the run's row of the image starts, or null in the padding.
  const In* row(const In* image, int64_t channel, const int64_t* outer, const Pixel& pixel) const {
    image += channel * s.x_c;
    for (int i = s.rank - 2; i >= 0; --i) {
      int64_t at = s.axis[i].source(pixel.position[i], outer[i]);
      if (at < 0) return nullptr;
      image += at * s.axis[i].x;
    }
    return image;
  }

  // Taps [lo, hi) of a run that fall inside the image, unless it is dilated.
  std::pair<int64_t, int64_t> inside(int64_t position, int64_t from, int64_t count) const {
    const Axis& last = s.last();
    int64_t shift = position * last.stride - last.pad + from * last.rhs_dilation, step = last.rhs_dilation;
    int64_t lo = std::clamp(step == 1 ? -shift : divide_up(-shift, step), int64_t{0}, count);
    return {lo, std::clamp(step == 1 ? last.in - shift : divide_up(last.in - shift, step), lo, count)};
  }

  // Rows [m0, m1) of the patch matrix, terms [k0, k1).
  void gather(const In* images, int64_t m0, int64_t m1, int64_t k0, int64_t k1, Acc* to, int64_t m_step, int64_t k_step) const {
    const Axis& last = s.last();
    const bool vectors = side_by_side();
    const int64_t step = last.rhs_dilation * last.x;
    const Pixel first(s, m0 / s.n);
    runs(k0, k1, [&](int64_t channel, const int64_t* outer, int64_t from, int64_t count) {
      Pixel pixel = first;
      Acc* at = to;
      for (int64_t m = m0, image = m0 % s.n, here; m < m1; m += here, at += here * m_step, image = 0, pixel.advance(s)) {
        here = std::min(s.n - image, m1 - m);
        const In* start = row(images + image * s.x_n, channel, outer, pixel);
        int64_t position = pixel.position[s.rank - 1];
        auto zero = [&](int64_t lo, int64_t hi) {
          if (vectors) for (int64_t t = lo; t < hi; ++t) std::fill(at + t * k_step, at + t * k_step + here, Acc{});
          else for (int64_t i = 0; i < here && lo < hi; ++i) std::fill(at + i * m_step + lo, at + i * m_step + hi, Acc{});
        };
        if (!start) {
          zero(0, count);
        } else if (last.lhs_dilation != 1) {
          for (int64_t t = 0; t < count; ++t) {
            int64_t source = last.source(position, from + t);
            if (source < 0) zero(t, t + 1);
            else for (int64_t i = 0; i < here; ++i) at[t * k_step + i * m_step] = widen<Acc>(start[source * last.x + i * s.x_n]);
          }
        } else {
          auto [lo, hi] = inside(position, from, count);
          zero(0, lo);
          zero(hi, count);
          const In* read = start + (position * last.stride - last.pad) * last.x + (from + lo) * step;
          if (vectors) {
            for (int64_t t = lo; t < hi; ++t, read += step) copy(read, at + t * k_step, here);
          } else {
            for (int64_t i = 0; i < here; ++i, read += s.x_n) {
              Acc* line = at + i * m_step;
              if (step == 1) copy(read, line + lo, hi - lo);
              else for (int64_t t = lo; t < hi; ++t) line[t] = widen<Acc>(read[(t - lo) * step]);
            }
          }
        }
      }
      to += count * k_step;
    });
  }

  static void copy(const In* from, Acc* to, int64_t count) {
    if constexpr (std::is_same_v<In, Acc>) {
      if (count >= kLanes) {
        for (int64_t i = 0; i + kLanes < count; i += kLanes) S::store(to + i, S::load(from + i));
        return S::store(to + count - kLanes, S::load(from + count - kLanes));
      }
    }
    for (int64_t i = 0; i < count; ++i) to[i] = widen<Acc>(from[i]);
  }

  // to(term, feature), zero beyond `here`.
  void pack_run(const In* read, int64_t count, int64_t here, int64_t width, Acc* to) const {
    const int64_t step = s.last().w;
    if (s.w_f == 1) {
      for (int64_t t = 0; t < count; ++t) copy(read + t * step, to + t * width, here);
    } else if (std::is_same_v<In, Acc> && step == 1) {
      using T = Item<sizeof(Acc)>;
      transpose_block<sizeof(Acc)>(reinterpret_cast<T*>(to), width, reinterpret_cast<const T*>(read), s.w_f, count, here);
    } else {
      for (int64_t f = 0; f < here; ++f)
        for (int64_t t = 0; t < count; ++t) to[t * width + f] = widen<Acc>(read[f * s.w_f + t * step]);
    }
    for (int64_t t = 0; t < count && here < width; ++t) std::fill(to + t * width + here, to + (t + 1) * width, Acc{});
  }

  // Weights of terms [k0, k1), panel after panel of kPanel features, the last padded to whole vectors.
  void pack(const In* weights, int64_t k0, int64_t k1, int64_t wide, Acc* to) const {
    const bool by_channels = even_taps();
    for (int64_t f0 = 0; f0 < s.features; f0 += kPanel) {
      int64_t width = std::min(kPanel, wide - f0), here = std::min(width, s.features - f0);
      const In* from = weights + f0 * s.w_f;
      if (by_channels) {
        for (int64_t k = k0, count; k < k1; k += count, to += count * width) {
          count = std::min(s.taps - k % s.taps, k1 - k);
          pack_run(from + k / s.taps * s.w_c + k % s.taps * s.last().w, count, here, width, to);
        }
        continue;
      }
      runs(k0, k1, [&](int64_t channel, const int64_t* outer, int64_t tap, int64_t count) {
        const In* read = from + channel * s.w_c + tap * s.last().w;
        for (int i = s.rank - 2; i >= 0; --i) read += outer[i] * s.axis[i].w;
        pack_run(read, count, here, width, to);
        to += count * width;
      });
    }
  }

  // Rows [m0, m1) of the sums over terms [k0, k1) of group g.
  void sum(int64_t g, int64_t m0, int64_t m1, int64_t k0, int64_t k1, int64_t wide, Acc* patches, Acc* packed, Acc* sums) const {
    int64_t rows = m1 - m0;
    int64_t m_step = side_by_side() ? 1 : kDeep + kLanes, k_step = side_by_side() ? kRows : 1;
    for (int64_t k = k0; k < k1; k += kDeep) {
      int64_t end = std::min(k + kDeep, k1);
      gather(x + g * s.x_g, m0, m1, k, end, patches, m_step, k_step);
      if (!readable()) pack(w + g * s.w_g, k, end, wide, packed);
      for (int64_t f0 = 0; f0 < wide; f0 += kPanel) {
        int64_t width = std::min(kPanel, wide - f0), b_row = width;
        const Acc* b = packed + f0 * (end - k);
        if constexpr (std::is_same_v<In, Acc>)
          if (readable()) b = w + g * s.w_g + k * s.last().w, b_row = s.last().w;
        Tiles<Acc>::panel(static_cast<int>(width / kLanes), rows, end - k, {patches, m_step, k_step}, b, b_row,
                          {sums + f0, wide, 1}, width, k > k0);
      }
    }
  }

  // Groups of one channel in and out that lie side by side, as gradients of depthwise convolutions have them: vectors of
  // groups.
  bool depthwise() const {
    return s.features == 1 && s.n == 1 && s.groups > 1 && s.x_g == 1 && s.w_g == 1 && s.last().lhs_dilation == 1;
  }

  // to(pixel, group): sums over terms [k0, k1).
  void depthwise_sums(int64_t k0, int64_t k1, Acc* to) const {
    const Axis& last = s.last();
    const int64_t x_step = last.rhs_dilation * last.x;
    Pixel pixel(s, 0);
    for (int64_t p = 0; p < s.pixels; ++p, to += s.groups, pixel.advance(s))
      for (int64_t g0 = 0; g0 < s.groups; g0 += kPanel) {
        const int64_t width = std::min(kPanel, s.groups - g0), position = pixel.position[s.rank - 1];
        typename S::Vec sums[kMaxVectors] = {};
        Acc rest[kPanel] = {};
        runs(k0, k1, [&](int64_t channel, const int64_t* outer, int64_t from, int64_t count) {
          const In* read = row(x + g0, channel, outer, pixel);
          if (!read) return;
          auto [lo, hi] = inside(position, from, count);
          const In* by = w + g0 + channel * s.w_c + (from + lo) * last.w;
          for (int i = s.rank - 2; i >= 0; --i) by += outer[i] * s.axis[i].w;
          read += (position * last.stride - last.pad) * last.x + (from + lo) * x_step;
          for (int64_t t = lo; t < hi; ++t, read += x_step, by += last.w) {
            if constexpr (std::is_same_v<In, Acc>) {
              if (width == kPanel) {
#pragma GCC unroll 4
                for (int v = 0; v < kMaxVectors; ++v)
                  sums[v] = S::fma(S::load(read + v * kLanes), S::load(by + v * kLanes), sums[v]);
                continue;
              }
            }
            for (int64_t f = 0; f < width; ++f) rest[f] += widen<Acc>(read[f]) * widen<Acc>(by[f]);
          }
        });
        for (int64_t f = 0; f < width; ++f) to[g0 + f] = rest[f] + sums[f / kLanes][f % kLanes];
      }
  }

  void run(double flops) const {
    const bool by_groups = depthwise();
    const int64_t rows = s.n * s.pixels, terms = s.channels * s.taps;
    const int64_t wide = by_groups ? 1 : (s.features + kLanes - 1) / kLanes * kLanes;
    int64_t blocks = (rows + kRows - 1) / kRows, size = ((rows + blocks - 1) / blocks + 11) / 12 * 12;
    blocks = (rows + size - 1) / size;
    const int64_t units = by_groups ? 1 : s.groups * blocks;
    int64_t parts = std::clamp<int64_t>(kUnits / units, 1, std::max<int64_t>(1, terms / kLeast));
    const int64_t length = (terms + parts - 1) / parts, total = s.groups * rows * wide;
    parts = (terms + length - 1) / length;
    Scratch<Acc> sums(parts * total);
    double ns = flops / (ADDAX_VEC_BYTES / sizeof(Acc) * 3.0) + 0.2 * terms * s.groups * (rows + blocks * s.features);
    parallel_for(parts * units, 1, ns, [&](int64_t lo, int64_t hi) {
      Scratch<Acc> patches(by_groups ? 0 : kRows * (kDeep + kLanes)), packed(by_groups || readable() ? 0 : kDeep * wide);
      for (int64_t u = lo; u < hi; ++u) {
        int64_t part = u / units, g = u % units / blocks, m0 = u % blocks * size;
        int64_t k0 = part * length, k1 = std::min(k0 + length, terms);
        Acc* to = sums.get() + part * total;
        if (by_groups) depthwise_sums(k0, k1, to);
        else sum(g, m0, std::min(m0 + size, rows), k0, k1, wide, patches.get(), packed.get(), to + (g * rows + m0) * wide);
      }
    });
    for (int64_t part = 1; part < parts; ++part)
      for (int64_t i = 0; i < total; ++i) sums[i] += sums[part * total + i];
    Pixel pixel(s, 0);
    for (int64_t p = 0; p < s.pixels; ++p, pixel.advance(s))
      for (int64_t g = 0; g < s.groups; ++g)
        for (int64_t image = 0; image < s.n; ++image) {
          Out* to = out + g * s.o_g + image * s.o_n;
          for (int i = 0; i < s.rank; ++i) to += pixel.position[i] * s.axis[i].o;
          const Acc* from = sums.get() + (by_groups ? p * s.groups + g : (g * rows + p * s.n + image) * wide);
          for (int64_t f = 0; f < s.features; ++f) to[f * s.o_f] = narrow<Out>(from[f]);
        }
  }
};

}  // namespace
}  // namespace addax::ADDAX_ISA
