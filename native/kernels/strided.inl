// Strided index spaces over a source and a destination: merging dimensions, finding positions, copying rows. Included
// inside foreach_isa.h.

#include "items.inl"

namespace addax::ADDAX_ISA {
namespace {

constexpr int kMaxRank = 32;

struct Dim {
  int64_t n, s, d;  // size; source and destination strides, in elements
};

struct Layout {
  int rank = 0;
  Dim dim[kMaxRank];  // outermost first

  void push(int64_t n, int64_t s, int64_t d) { dim[rank++] = {n, s, d}; }

  // False if there is nothing to copy. Otherwise no dimension has size 1 and no two neighbours could be one.
  bool normalise() {
    int kept = 0;
    for (int i = 0; i < rank; ++i) {
      if (dim[i].n <= 0) return false;
      if (dim[i].n != 1) dim[kept++] = dim[i];
    }
    rank = kept;
    for (int i = 1; i < rank; ++i)  // few, mostly in order: std::stable_sort would allocate
      for (int j = i; j > 0 && std::llabs(dim[j - 1].d) < std::llabs(dim[j].d); --j) std::swap(dim[j - 1], dim[j]);
    for (int i = rank - 2; i >= 0; --i) {
      Dim &outer = dim[i], &inner = dim[i + 1];
      if (outer.s != inner.s * inner.n || outer.d != inner.d * inner.n) continue;
      inner.n *= outer.n;
      std::copy(dim + i + 1, dim + rank, dim + i);
      --rank;
    }
    return true;
  }
};

// One row of n elements.
template <typename T>
inline void copy_row(T* dst, int64_t d, const T* src, int64_t s, int64_t n) {
  if (d == 1 && s == 1) {
    if (n * sizeof(T) >= 128) {
      std::memcpy(dst, src, n * sizeof(T));
    } else {
      for (int64_t i = 0; i < n; ++i) dst[i] = src[i];
    }
  } else if (d == 1 && s == 0) {
    std::fill(dst, dst + n, *src);
  } else if (d == 1 && s == -1) {
    for (int64_t i = 0; i < n; ++i) dst[i] = src[-i];
  } else if (d == 1) {
    for (int64_t i = 0; i < n; ++i) dst[i] = src[i * s];
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i * d] = src[i * s];
  }
}

// Offsets of the position-th element of the outer dimensions.
struct Offsets {
  int64_t s = 0, d = 0;
};
inline Offsets locate(const Dim* dims, int rank, int64_t position) {
  Offsets o;
  for (int i = rank - 1; i >= 0; --i) {
    int64_t q = position / dims[i].n, r = position - q * dims[i].n;
    o.s += r * dims[i].s, o.d += r * dims[i].d;
    position = q;
  }
  return o;
}

}  // namespace
}  // namespace addax::ADDAX_ISA
