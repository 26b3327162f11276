// Copies between strided arrays of any rank: slice, concatenate, pad, reverse, broadcast and transpose are all this one
// operation. The plan: drop and merge dimensions, order them by the destination's strides, then run the two innermost
// ones with the best of four inner loops. Start at strided_copy.

#include "strided.inl"
#include "transpose.inl"

namespace addax::ADDAX_ISA {
namespace {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <int kSize>
void strided_copy(Item<kSize>* dst, const Item<kSize>* src, Layout layout) {
  if (!layout.normalise()) return;
  if (layout.rank == 0) {
    *dst = *src;
    return;
  }
  Dim inner = layout.dim[--layout.rank];
  int64_t outer = 1;
  for (int i = 0; i < layout.rank; ++i) outer *= layout.dim[i].n;
  double ns = 0.05 * kSize * static_cast<double>(outer) * static_cast<double>(inner.n) + 2.0 * outer;

  // A transpose: the source runs along another dimension than the destination.
  int along = -1;
  if (inner.d == 1 && inner.s != 1 && inner.s != 0 && inner.n >= 4)
    for (int i = 0; i < layout.rank; ++i)
      if (layout.dim[i].s == 1 && layout.dim[i].n >= 4) along = i;
  if (along >= 0) {
    Dim rows = layout.dim[along];
    std::copy(layout.dim + along + 1, layout.dim + layout.rank, layout.dim + along);
    outer /= rows.n;
    --layout.rank;
    constexpr int64_t kBlock = kSize >= 8 ? 64 : 128;
    int64_t row_blocks = ceil_div(rows.n, kBlock), col_blocks = ceil_div(inner.n, kBlock);
    parallel_for(outer * row_blocks * col_blocks, 1, ns * 1.5, [&](int64_t lo, int64_t hi) {
      for (int64_t unit = lo; unit < hi; ++unit) {
        int64_t block = unit % (row_blocks * col_blocks);
        int64_t i = block / col_blocks * kBlock, j = block % col_blocks * kBlock;
        Offsets o = locate(layout.dim, layout.rank, unit / (row_blocks * col_blocks));
        transpose_block<kSize>(dst + o.d + i * rows.d + j, rows.d, src + o.s + j * inner.s + i, inner.s,
                               std::min(kBlock, rows.n - i), std::min(kBlock, inner.n - j));
      }
    });
    return;
  }

  if (outer == 1) {
    parallel_for(inner.n, 64, ns, [&](int64_t lo, int64_t hi) {
      copy_row(dst + lo * inner.d, inner.d, src + lo * inner.s, inner.s, hi - lo);
    });
    return;
  }
  // Rows, in runs along the next dimension out; long rows are cut so that few of them still occupy all threads.
  Dim next = layout.dim[layout.rank - 1];
  int64_t pieces = outer < 64 ? std::min<int64_t>(16, ceil_div(inner.n * kSize, 32 << 10)) : 1;
  int64_t piece = ceil_div(ceil_div(inner.n, pieces), 16) * 16;
  pieces = ceil_div(inner.n, piece);
  parallel_for(outer * pieces, 1, ns, [&](int64_t lo, int64_t hi) {
    if (pieces > 1) {
      for (int64_t unit = lo; unit < hi; ++unit) {
        int64_t begin = unit % pieces * piece;
        Offsets o = locate(layout.dim, layout.rank, unit / pieces);
        copy_row(dst + o.d + begin * inner.d, inner.d, src + o.s + begin * inner.s, inner.s, std::min(piece, inner.n - begin));
      }
      return;
    }
    for (int64_t row = lo; row < hi;) {
      Offsets o = locate(layout.dim, layout.rank, row);
      int64_t run = std::min(hi - row, next.n - row % next.n);
      auto* d = dst + o.d;
      auto* s = src + o.s;
      for (int64_t k = 0; k < run; ++k, d += next.d, s += next.s) copy_row(d, inner.d, s, inner.s, inner.n);
      row += run;
    }
  });
}

// [src, dst]; table: rank, source offset, destination offset, dims[rank], source strides[rank], destination
// strides[rank], all in elements.
template <int kSize>
void copy(void** args, const int64_t* t, int64_t, int64_t) {
  int rank = static_cast<int>(t[0]);
  Layout layout;
  for (int i = 0; i < rank; ++i) layout.push(t[3 + i], t[3 + rank + i], t[3 + 2 * rank + i]);
  strided_copy<kSize>(static_cast<Item<kSize>*>(args[1]) + t[2], static_cast<const Item<kSize>*>(args[0]) + t[1], layout);
}

// [value, dst]; table: n.
template <int kSize>
void fill(void** args, const int64_t* t, int64_t, int64_t) {
  using T = Item<kSize>;
  T value = *static_cast<const T*>(args[0]);
  auto* dst = static_cast<T*>(args[1]);
  parallel_for(t[0], 64, t[0] * kSize * 0.04, [&](int64_t lo, int64_t hi) { std::fill(dst + lo, dst + hi, value); });
}

// The layout of a block of `sizes` inside a row-major array of `dims`, at start indices clamped so that it fits.
// Returns the offset of the block. The block's own strides are row-major too.
struct Block {
  int64_t offset = 0;
  int64_t big_stride[kMaxRank], small_stride[kMaxRank];
};
inline Block clamped_block(void** index_args, int rank, int64_t index_type, const int64_t* dims, const int64_t* sizes) {
  Block b;
  int64_t big = 1, small = 1;
  for (int i = rank - 1; i >= 0; --i) {
    b.big_stride[i] = big, b.small_stride[i] = small;
    int64_t start = read_index(index_args[i], index_type, 0);
    b.offset += std::clamp<int64_t>(start, 0, std::max<int64_t>(0, dims[i] - sizes[i])) * big;
    big *= dims[i], small *= sizes[i];
  }
  return b;
}

// [operand, start_0, ..., start_{rank-1}, dst]; table: rank, index type, dims[rank], sizes[rank].
template <int kSize>
void dynamic_slice(void** args, const int64_t* t, int64_t, int64_t) {
  int rank = static_cast<int>(t[0]);
  const int64_t *dims = t + 2, *sizes = t + 2 + rank;
  Block b = clamped_block(args + 1, rank, t[1], dims, sizes);
  Layout layout;
  for (int i = 0; i < rank; ++i) layout.push(sizes[i], b.big_stride[i], b.small_stride[i]);
  strided_copy<kSize>(static_cast<Item<kSize>*>(args[rank + 1]), static_cast<const Item<kSize>*>(args[0]) + b.offset, layout);
}

// [update, start_0, ..., start_{rank-1}, dst], dst already holding the operand; table as for dynamic_slice, with the
// update's sizes.
template <int kSize>
void dynamic_update_slice(void** args, const int64_t* t, int64_t, int64_t) {
  int rank = static_cast<int>(t[0]);
  const int64_t *dims = t + 2, *sizes = t + 2 + rank;
  Block b = clamped_block(args + 1, rank, t[1], dims, sizes);
  Layout layout;
  for (int i = 0; i < rank; ++i) layout.push(sizes[i], b.small_stride[i], b.big_stride[i]);
  strided_copy<kSize>(static_cast<Item<kSize>*>(args[rank + 1]) + b.offset, static_cast<const Item<kSize>*>(args[0]), layout);
}

}  // namespace

void copy_entries(KernelList& list) {
#define ADDAX_SIZE(size)                                              \
  list.push_back({"copy_" #size, copy<size>});                        \
  list.push_back({"fill_" #size, fill<size>});                        \
  list.push_back({"dynamic_slice_" #size, dynamic_slice<size>});      \
  list.push_back({"dynamic_update_slice_" #size, dynamic_update_slice<size>});
  ADDAX_SIZE(1)
  ADDAX_SIZE(2)
  ADDAX_SIZE(4)
  ADDAX_SIZE(8)
  ADDAX_SIZE(16)
#undef ADDAX_SIZE
}

}  // namespace addax::ADDAX_ISA
