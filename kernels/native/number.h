// Single elements to float32 and back, for loops that memory bounds: the compiler vectorises them for any processor.
#pragma once
#include <cstdint>
#include <cstring>

namespace paddock {

struct Bfloat16 {
  uint16_t bits;
};

inline float widened(float x) { return x; }
inline float widened(Bfloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// To bfloat16 rounded to nearest even; a NaN stays one.
inline void narrow(float value, float& to) { to = value; }
inline void narrow(float value, Bfloat16& to) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
  to.bits = static_cast<uint16_t>((value != value ? bits | 0x400000 : rounded) >> 16);
}

}  // namespace paddock
