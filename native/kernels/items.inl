// Elements of which only the size matters. Included inside foreach_isa.h.

namespace addax::ADDAX_ISA {
namespace {

struct alignas(16) Item16 {
  uint64_t w[2];
};
template <int kSize> struct ItemOf;
template <> struct ItemOf<1> { using type = uint8_t; };
template <> struct ItemOf<2> { using type = uint16_t; };
template <> struct ItemOf<4> { using type = uint32_t; };
template <> struct ItemOf<8> { using type = uint64_t; };
template <> struct ItemOf<16> { using type = Item16; };
template <int kSize> using Item = typename ItemOf<kSize>::type;

}  // namespace
}  // namespace addax::ADDAX_ISA
