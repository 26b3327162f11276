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

 private:
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

// Offsets in the array and in the values of positions [first, first + count), count <= kBlock; see index_map.inl.
using ResolveFn = void (*)(const IndexMap& map, const void* indices, int64_t first, int count, int64_t* array, int64_t* values);
ResolveFn index_resolver();  // for this machine

}  // namespace addax
