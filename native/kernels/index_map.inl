// From positions to offsets, a block at a time. Included inside foreach_isa.h.

namespace addax::ADDAX_ISA {
namespace {

ADDAX_INLINE int64_t clamped(int64_t start, IndexMap::Component c) {
  return std::min(std::max<int64_t>(start, 0), std::max<int64_t>(c.limit, 0));
}

// array[k] += the offset that component v of the start vector of position k stands for.
template <typename Read>
ADDAX_INLINE void add_component(const IndexMap& map, IndexMap::Component c, int count, int64_t* __restrict array, Read&& read) {
  if (!map.skip) {
    for (int k = 0; k < count; ++k) array[k] += clamped(read(k), c) * c.array;
    return;
  }
  for (int k = 0; k < count; ++k) {
    int64_t start = read(k);
    bool lost = start < 0 || start > c.limit || array[k] == IndexMap::kSkip;
    array[k] = lost ? IndexMap::kSkip : array[k] + start * c.array;
  }
}

template <typename I>
ADDAX_INLINE void add_components(const IndexMap& map, const I* __restrict indices, const int64_t* __restrict at, int count, int64_t* __restrict array) {
  for (int v = 0; v < map.nv; ++v) {
    const I* from = indices + v * map.vector_stride;
    add_component(map, map.vec[v], count, array, [=](int k) { return static_cast<int64_t>(from[at[k]]); });
  }
}

void resolve(const IndexMap& map, const void* indices, int64_t first, int count, int64_t* __restrict array, int64_t* __restrict values) {
  int64_t at[IndexMap::kBlock];
  if (map.nb == 0) {
    at[0] = array[0] = values[0] = 0;
  } else {
    const IndexMap::BatchDim inner = map.batch[map.nb - 1];
    for (int done = 0; done < count;) {
      int64_t p = first + done, q = p / inner.n, r = p - q * inner.n;
      int64_t i0 = r * inner.index, a0 = r * inner.array, v0 = r * inner.values;
      for (int d = map.nb - 2; d >= 0; --d) {
        int64_t s = q % map.batch[d].n;
        q /= map.batch[d].n;
        i0 += s * map.batch[d].index, a0 += s * map.batch[d].array, v0 += s * map.batch[d].values;
      }
      int run = static_cast<int>(std::min<int64_t>(count - done, inner.n - r));
      for (int k = 0; k < run; ++k) at[done + k] = i0 + k * inner.index;
      for (int k = 0; k < run; ++k) array[done + k] = a0 + k * inner.array;
      for (int k = 0; k < run; ++k) values[done + k] = v0 + k * inner.values;
      done += run;
    }
  }
  if (map.index_type == kI32) return add_components(map, static_cast<const int32_t*>(indices), at, count, array);
  if (map.index_type == kI64) return add_components(map, static_cast<const int64_t*>(indices), at, count, array);
  for (int v = 0; v < map.nv; ++v)
    add_component(map, map.vec[v], count, array, [&](int k) { return read_index(indices, map.index_type, at[k] + v * map.vector_stride); });
}

}  // namespace
}  // namespace addax::ADDAX_ISA
