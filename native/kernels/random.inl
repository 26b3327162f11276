// Threefry-2x32, 20 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//
// Counters are laid out so that element i of the output depends on i alone ("partitionable"): both words of the 64-bit
// counter i are hashed, 32-bit outputs are the xor of the two resulting words, 64-bit outputs their concatenation, and
// narrower outputs the low bits of the 32-bit one.

namespace addax::ADDAX_ISA {
namespace {

// Vectors of 32-bit words; two are hashed together, since one block is a serial chain of 20 rounds.
constexpr int kLanes = ADDAX_VEC_BYTES / 4;
typedef uint32_t Words __attribute__((vector_size(ADDAX_VEC_BYTES)));

struct Key {
  uint32_t k0, k1, k2;
  Key(uint32_t a, uint32_t b) : k0(a), k1(b), k2(a ^ b ^ 0x1BD11BDAu) {}
};

template <typename V>
ADDAX_INLINE V rotate_left(V x, int r) {
  return (x << r) | (x >> (32 - r));
}

template <typename V>
ADDAX_INLINE void rounds(V& x0, V& x1, int r0, int r1, int r2, int r3) {
  x0 += x1, x1 = rotate_left(x1, r0), x1 ^= x0;
  x0 += x1, x1 = rotate_left(x1, r1), x1 ^= x0;
  x0 += x1, x1 = rotate_left(x1, r2), x1 ^= x0;
  x0 += x1, x1 = rotate_left(x1, r3), x1 ^= x0;
}

template <typename V>
ADDAX_INLINE void threefry(const Key& k, V& x0, V& x1) {
  x0 += k.k0, x1 += k.k1;
  rounds(x0, x1, 13, 15, 26, 6);
  x0 += k.k1, x1 += k.k2 + 1u;
  rounds(x0, x1, 17, 29, 16, 24);
  x0 += k.k2, x1 += k.k0 + 2u;
  rounds(x0, x1, 13, 15, 26, 6);
  x0 += k.k0, x1 += k.k1 + 3u;
  rounds(x0, x1, 17, 29, 16, 24);
  x0 += k.k1, x1 += k.k2 + 4u;
  rounds(x0, x1, 13, 15, 26, 6);
  x0 += k.k2, x1 += k.k0 + 5u;
}

// out(i, high word, low word) for every counter in [lo, hi), in vectors of kLanes counters or one at a time.
template <typename Vector, typename Scalar>
ADDAX_INLINE void hash_range(const Key& key, uint64_t lo, uint64_t hi, Vector&& out_vector, Scalar&& out_scalar) {
  Words iota;
  for (int i = 0; i < kLanes; ++i) iota[i] = static_cast<uint32_t>(i);
  uint64_t i = lo;
  // Whole vectors, as long as the low counter word does not wrap inside one.
  while (i + 2 * kLanes <= hi) {
    uint32_t low = static_cast<uint32_t>(i), high = static_cast<uint32_t>(i >> 32);
    if (low > UINT32_MAX - 2 * kLanes) break;
    Words a0 = Words{} + high, a1 = iota + low, b0 = a0, b1 = a1 + uint32_t{kLanes};
    threefry(key, a0, a1);
    threefry(key, b0, b1);
    out_vector(i, a0, a1);
    out_vector(i + kLanes, b0, b1);
    i += 2 * kLanes;
  }
  for (; i < hi; ++i) {
    uint32_t x0 = static_cast<uint32_t>(i >> 32), x1 = static_cast<uint32_t>(i);
    threefry(key, x0, x1);
    out_scalar(i, x0, x1);
  }
}

template <typename Out>
void bits_range(const Key& key, Out* out, uint64_t base, uint64_t lo, uint64_t hi) {
  hash_range(
      key, base + lo, base + hi,
      [=](uint64_t i, Words x0, Words x1) __attribute__((always_inline)) {
        Out* at = out + (i - base);
        if constexpr (sizeof(Out) == 4) {
          Words x = x0 ^ x1;
          std::memcpy(at, &x, sizeof x);
        } else {
          for (int k = 0; k < kLanes; ++k)
            at[k] = sizeof(Out) == 8 ? static_cast<Out>(uint64_t{x0[k]} << 32 | x1[k]) : static_cast<Out>(x0[k] ^ x1[k]);
        }
      },
      [=](uint64_t i, uint32_t x0, uint32_t x1) __attribute__((always_inline)) {
        out[i - base] = sizeof(Out) == 8 ? static_cast<Out>(uint64_t{x0} << 32 | x1) : static_cast<Out>(x0 ^ x1);
      });
}

// Splits the outputs of `keys` keys, n each, over the pool as one range of keys * n.
template <typename F>
void over_keys(int64_t keys, int64_t n, double ns_per_item, F&& run) {
  parallel_for(keys * n, 64, keys * n * ns_per_item, [&](int64_t lo, int64_t hi) {
    while (lo < hi) {
      int64_t key = lo / n, end = std::min(hi, (key + 1) * n);
      run(key, lo - key * n, end - key * n);
      lo = end;
    }
  });
}

// [keys uint32[keys, 2], bits out[keys, n]]; table: n, keys (0 means 1), first counter.
template <typename Out>
void threefry_bits(void** args, const int64_t* t, int64_t, int64_t) {
  auto* keys = static_cast<const uint32_t*>(args[0]);
  auto* out = static_cast<Out*>(args[1]);
  int64_t n = t[0], n_keys = t[1] > 0 ? t[1] : 1;
  if (n <= 0) return;
  over_keys(n_keys, n, 0.6, [&](int64_t k, int64_t lo, int64_t hi) {
    bits_range<Out>(Key(keys[2 * k], keys[2 * k + 1]), out + k * n, static_cast<uint64_t>(t[2]), lo, hi);
  });
}

// [keys uint32[keys, 2], uint32 out[keys, n, 2]]; table: n, keys. The two words of each counter, side by side: what
// splitting a key yields.
void threefry_split(void** args, const int64_t* t, int64_t, int64_t) {
  auto* keys = static_cast<const uint32_t*>(args[0]);
  auto* out = static_cast<uint32_t*>(args[1]);
  int64_t n = t[0], n_keys = t[1] > 0 ? t[1] : 1;
  if (n <= 0) return;
  over_keys(n_keys, n, 0.8, [&](int64_t k, int64_t lo, int64_t hi) {
    uint32_t* row = out + 2 * k * n;
    hash_range(
        Key(keys[2 * k], keys[2 * k + 1]), lo, hi,
        [=](uint64_t i, Words x0, Words x1) __attribute__((always_inline)) {
          for (int j = 0; j < kLanes; ++j) row[2 * (i + j)] = x0[j], row[2 * (i + j) + 1] = x1[j];
        },
        [=](uint64_t i, uint32_t x0, uint32_t x1) __attribute__((always_inline)) { row[2 * i] = x0, row[2 * i + 1] = x1; });
  });
}

// [k0, k1, x0, x1, y0, y1], all uint32: the hash itself, element by element. table: n, then for k0, k1, x0, x1 the
// element stride (0 broadcasts one value, 1 walks).
void threefry2x32(void** args, const int64_t* t, int64_t, int64_t) {
  auto in = [&](int i) { return static_cast<const uint32_t*>(args[i]); };
  const uint32_t *k0 = in(0), *k1 = in(1), *x0 = in(2), *x1 = in(3);
  auto *y0 = static_cast<uint32_t*>(args[4]), *y1 = static_cast<uint32_t*>(args[5]);
  int64_t s0 = t[1], s1 = t[2], s2 = t[3], s3 = t[4];
  parallel_for(t[0], 64, t[0] * 2.0, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) {
      uint32_t a = x0[i * s2], b = x1[i * s3];
      threefry(Key(k0[i * s0], k1[i * s1]), a, b);
      y0[i] = a, y1[i] = b;
    }
  });
}

}  // namespace

void random_entries(KernelList& list) {
  list.push_back({"threefry_bits_8", threefry_bits<uint8_t>});
  list.push_back({"threefry_bits_16", threefry_bits<uint16_t>});
  list.push_back({"threefry_bits_32", threefry_bits<uint32_t>});
  list.push_back({"threefry_bits_64", threefry_bits<uint64_t>});
  list.push_back({"threefry_split", threefry_split});
  list.push_back({"threefry2x32", threefry2x32});
}

}  // namespace addax::ADDAX_ISA
