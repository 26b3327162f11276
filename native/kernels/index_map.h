// What gather and scatter share: windows of an array, at positions read from an index array.
//
// Both walk positions p of a batch (the index array without its vector dimension). At p they read a vector of start
// indices, turn it into an offset of the array, and move a window between there and a dense array ("values": the result
// of gather, the updates of scatter). Python normalises the dimension numbers into this table:
//
//   mode (0 clip, 1 skip out of bounds), index type, batch rank nb, vector length nv, window rank nw,
//   stride of the vector dimension in the index array,
//   nb x (size, index stride, array stride, values stride)   array stride: 0 but for dimensions that are batched with it
//   nv x (array stride, largest start in bounds)
//   nw x (size, array stride, values stride)
//
// All strides in elements, batch and window dimensions in order of decreasing values stride or in any other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "index_type.h"

namespace addax {

struct IndexMap {
  static constexpr int kMaxRank = 32;
  static constexpr int kBlock = 256;          // positions resolved at a time
  static constexpr int64_t kSkip = INT64_MIN;  // the offset of a position that is out of bounds

  struct BatchDim {
    int64_t n, index, array, values;
  };
  struct Component {
    int64_t array, limit;
  };
  struct WindowDim {
    int64_t n, array, values;
  };

  bool skip;
  int64_t index_type, vector_stride;
  int nb, nv, nw;
  BatchDim batch[2 * kMaxRank];
  Component vec[kMaxRank];
  WindowDim window[kMaxRank];
  int64_t positions = 1, window_size = 1;

  explicit IndexMap(const int64_t* t) {
    skip = t[0] != 0;
    index_type = t[1];
    nb = static_cast<int>(t[2]), nv = static_cast<int>(t[3]), nw = static_cast<int>(t[4]);
    vector_stride = t[5];
    t += 6;
    for (int i = 0; i < nb; ++i, t += 4) batch[i] = {t[0], t[1], t[2], t[3]}, positions *= t[0];
    for (int v = 0; v < nv; ++v, t += 2) vec[v] = {t[0], t[1]};
    for (int i = 0; i < nw; ++i, t += 3) window[i] = {t[0], t[1], t[2]}, window_size *= t[0];
    normalise_window();
    normalise_batch();
  }

  bool empty() const { return positions <= 0 || window_size <= 0; }

  // Makes window dimension w an outermost dimension of the batch, all of whose positions use the same indices.
  void hoist(int w) {
    for (int i = nb; i > 0; --i) batch[i] = batch[i - 1];
    batch[0] = {window[w].n, 0, window[w].array, window[w].values};
    ++nb;
    positions *= window[w].n, window_size /= window[w].n;
    for (int i = w; i + 1 < nw; ++i) window[i] = window[i + 1];
    --nw;
  }

  // Offsets in the array and in the values of positions [first, first + count), count <= kBlock.
  void resolve(const void* indices, int64_t first, int count, int64_t* array, int64_t* values) const {
    if (nb == 0) {
      values[0] = 0, array[0] = 0;
      int64_t at = 0;
      components(indices, &at, 1, array);
      return;
    }
    int64_t at[kBlock];
    const BatchDim& inner = batch[nb - 1];
    for (int done = 0; done < count;) {
      int64_t p = first + done, q = p / inner.n, r = p - q * inner.n;
      int64_t i0 = r * inner.index, a0 = r * inner.array, v0 = r * inner.values;
      for (int d = nb - 2; d >= 0; --d) {
        int64_t s = q % batch[d].n;
        q /= batch[d].n;
        i0 += s * batch[d].index, a0 += s * batch[d].array, v0 += s * batch[d].values;
      }
      int run = static_cast<int>(std::min<int64_t>(count - done, inner.n - r));
      for (int k = 0; k < run; ++k) {
        at[done + k] = i0 + k * inner.index;
        array[done + k] = a0 + k * inner.array;
        values[done + k] = v0 + k * inner.values;
      }
      done += run;
    }
    components(indices, at, count, array);
  }

 private:
  void components(const void* indices, const int64_t* at, int count, int64_t* array) const {
    for (int v = 0; v < nv; ++v) {
      switch (index_type) {
        case kI32: component(static_cast<const int32_t*>(indices), at, count, v, array); break;
        case kI64: component(static_cast<const int64_t*>(indices), at, count, v, array); break;
        default:
          for (int k = 0; k < count; ++k) add(read_index(indices, index_type, at[k] + v * vector_stride), vec[v], array[k]);
      }
    }
  }
  template <typename I>
  void component(const I* indices, const int64_t* at, int count, int v, int64_t* array) const {
    const I* from = indices + v * vector_stride;
    Component c = vec[v];
    if (skip) {
      for (int k = 0; k < count; ++k) add(from[at[k]], c, array[k]);
    } else {
      for (int k = 0; k < count; ++k) array[k] += std::clamp<int64_t>(from[at[k]], 0, std::max<int64_t>(c.limit, 0)) * c.array;
    }
  }
  void add(int64_t start, Component c, int64_t& offset) const {
    if (!skip) offset += std::clamp<int64_t>(start, 0, std::max<int64_t>(c.limit, 0)) * c.array;
    else if (start < 0 || start > c.limit) offset = kSkip;
    else if (offset != kSkip) offset += start * c.array;
  }

  void normalise_window() {
    int kept = 0;
    for (int i = 0; i < nw; ++i)
      if (window[i].n != 1) window[kept++] = window[i];
    nw = kept;
    std::stable_sort(window, window + nw, [](const WindowDim& a, const WindowDim& b) { return a.values > b.values; });
    for (int i = nw - 2; i >= 0; --i) {
      WindowDim &outer = window[i], &inner = window[i + 1];
      if (outer.array != inner.array * inner.n || outer.values != inner.values * inner.n) continue;
      inner.n *= outer.n;
      std::copy(window + i + 1, window + nw, window + i);
      --nw;
    }
  }
  // Keeps the order of positions: it is the order in which scatter applies its updates.
  void normalise_batch() {
    int kept = 0;
    for (int i = 0; i < nb; ++i)
      if (batch[i].n != 1) batch[kept++] = batch[i];
    nb = kept;
    for (int i = nb - 2; i >= 0; --i) {
      BatchDim &outer = batch[i], &inner = batch[i + 1];
      if (outer.index != inner.index * inner.n || outer.array != inner.array * inner.n || outer.values != inner.values * inner.n) continue;
      inner.n *= outer.n;
      std::copy(batch + i + 1, batch + nb, batch + i);
      --nb;
    }
  }
};

}  // namespace addax
