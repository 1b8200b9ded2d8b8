// Numbers of a file as ours (IV.A.2.d, "fixed-point" and "floating-point").
#pragma once

#include "runtime/array.h"

#include "exchange/h5/datatype.h"

#include <string>

namespace gradc::exchange::h5 {

/// What numbers are stored as, and what they are read as: floats of 16 bits become f32, integers
/// i64 unless they are signed and of at most 32 bits.
struct NumberType {
  rt::Dtype dtype = rt::Dtype::kF32;
  bool is_float = false, is_signed = false, is_brain = false;  ///< the last: bf16
  bool is_big_endian = false;
  size_t bytes = 0;  ///< stored, of each
};

/// Only numbers that fill their bytes in the usual way; empty where it is one of them, else what
/// the type is instead.
std::string number_type(Span datatype_message, NumberType& out);

/// Numbers of the type's `dtype` out of stored ones. False where an integer is too large.
bool convert(const NumberType& type, rt::Bytes raw, rt::Bytes& out);

}  // namespace gradc::exchange::h5
