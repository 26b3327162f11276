// float16 and bfloat16 as bit patterns, converted by integer arithmetic that compilers vectorise and that no
// flush-to-zero mode disturbs.
#pragma once

#include <cstdint>
#include <cstring>

namespace addax {

struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};

inline float bits_to_float(uint32_t u) {
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}
inline uint32_t float_to_bits(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return u;
}

inline float to_float(BFloat x) { return bits_to_float(uint32_t{x.bits} << 16); }

inline float to_float(Half x) {
  uint32_t sign = uint32_t{x.bits & 0x8000u} << 16, body = x.bits & 0x7fffu;
  uint32_t normal = (body << 13) + 0x38000000u;                         // exponent bias 15 -> 127
  uint32_t special = (body << 13) | 0x7f800000u;                        // inf, nan
  uint32_t tiny = float_to_bits(bits_to_float((body << 13) + 0x38800000u) - bits_to_float(0x38800000u));  // subnormal: m * 2^-24
  uint32_t u = body >= 0x7c00u ? special : body < 0x0400u ? tiny : normal;
  return bits_to_float(u | sign);
}

inline BFloat to_bfloat(float f) {
  uint32_t u = float_to_bits(f);
  uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1)) >> 16;  // to nearest, ties to even
  uint32_t quiet = (u >> 16) | 0x0040u;
  return {static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded)};
}

inline Half to_half(float f) {
  uint32_t u = float_to_bits(f), sign = u >> 16 & 0x8000u, body = u & 0x7fffffffu;
  uint32_t normal = (body - 0x38000000u + 0x0fffu + (body >> 13 & 1)) >> 13;
  // Below 2^-14 the adder rounds for us: 0.5 has its last mantissa bit at 2^-24, half's smallest step.
  uint32_t tiny = float_to_bits(bits_to_float(body < 0x38800000u ? body : 0u) + 0.5f) - 0x3f000000u;
  uint32_t special = body > 0x7f800000u ? 0x7e00u | (body >> 13 & 0x1ffu) : 0x7c00u;
  uint32_t h = body >= 0x477ff000u ? special : body < 0x38800000u ? tiny : normal;
  return {static_cast<uint16_t>(h | sign)};
}

}  // namespace addax
