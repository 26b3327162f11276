// Integer arrays whose type is known only at run time: start indices of slices, gathers and scatters.
#pragma once

#include <cstdint>

namespace addax {

// Type codes in kernel tables.
enum IndexType : int64_t { kI32 = 0, kI64 = 1, kU32 = 2, kU64 = 3, kI8 = 4, kI16 = 5, kU8 = 6, kU16 = 7 };

// Element i as int64. A uint64 beyond the range of int64 reads as the largest int64: out of bounds either way.
inline int64_t read_index(const void* data, int64_t type, int64_t i) {
  switch (type) {
    case kI64: return static_cast<const int64_t*>(data)[i];
    case kU32: return static_cast<const uint32_t*>(data)[i];
    case kU64: {
      uint64_t v = static_cast<const uint64_t*>(data)[i];
      return v > INT64_MAX ? INT64_MAX : static_cast<int64_t>(v);
    }
    case kI8: return static_cast<const int8_t*>(data)[i];
    case kI16: return static_cast<const int16_t*>(data)[i];
    case kU8: return static_cast<const uint8_t*>(data)[i];
    case kU16: return static_cast<const uint16_t*>(data)[i];
    default: return static_cast<const int32_t*>(data)[i];
  }
}

}  // namespace addax
