// What a convolution is: sizes and strides as the table of conv gives them. Included inside foreach_isa.h.

namespace addax::ADDAX_ISA {
namespace {

constexpr int kMaxSpatial = 8;

struct Axis {
  int64_t in, kernel, out, stride, pad, lhs_dilation, rhs_dilation, x, w, o;

  // The input position under tap t of output position p, or -1.
  int64_t source(int64_t p, int64_t t) const {
    int64_t at = p * stride + t * rhs_dilation - pad;
    if (lhs_dilation != 1) {
      if (at % lhs_dilation != 0) return -1;
      at /= lhs_dilation;
    }
    return at >= 0 && at < in ? at : -1;
  }
};

inline int64_t divide_up(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

struct Shape {
  int rank;
  int64_t n, groups, channels, features;  // channels and features per group
  int64_t x_offset, w_offset, o_offset;
  int64_t x_n, x_g, x_c, w_g, w_c, w_f, o_n, o_g, o_f;  // strides
  Axis axis[kMaxSpatial] = {};
  int64_t taps = 1, pixels = 1;  // pixels of one image

  explicit Shape(const int64_t* t) {
    rank = static_cast<int>(t[0]);
    n = t[1], groups = t[2], channels = t[3], features = t[4];
    x_offset = t[5], w_offset = t[6], o_offset = t[7];
    x_n = t[8], x_g = t[9], x_c = t[10], w_g = t[11], w_c = t[12], w_f = t[13], o_n = t[14], o_g = t[15], o_f = t[16];
    t += 17;
    int spatial = 0;
    for (int i = 0; i < rank; ++i, t += 10)
      if (t[0] != 1 || t[1] != 1 || t[2] != 1 || t[4] != 0)  // one of one is no dimension
        axis[spatial++] = {t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8], t[9]};
    if (spatial == 0) axis[spatial++] = {1, 1, 1, 1, 0, 1, 1, 0, 0, 0};
    rank = spatial;
    for (int i = 0; i < rank; ++i) taps *= axis[i].kernel, pixels *= axis[i].out;
  }
  const Axis& last() const { return axis[rank - 1]; }
};

// Where a pixel is, counted over all images.
struct Pixel {
  int64_t n, position[kMaxSpatial];
  Pixel(const Shape& s, int64_t index) {
    for (int i = s.rank - 1; i >= 0; --i) {
      position[i] = index % s.axis[i].out;
      index /= s.axis[i].out;
    }
    n = index;
  }
  // To the next one of the same image; from the last one to the first.
  void advance(const Shape& s) {
    for (int i = s.rank - 1; i >= 0 && ++position[i] == s.axis[i].out; --i) position[i] = 0;
  }
};

}  // namespace
}  // namespace addax::ADDAX_ISA
