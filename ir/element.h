// Numbers as element types hold them.
#pragma once

#include "ir/attrs.h"
#include "ir/type.h"

#include <string>

namespace gradc {

/// What a cast of the real number x gives: the nearest float, ties to even, infinite beyond the
/// largest; an integer truncated and held to its range, 0 for NaN; whether x is not 0. The ends of
/// i64 are those that a double can hold: -2^63 and 2^63 - 1024.
double as_element(double x, DType dtype);
/// Whether numbers of the type are added up in a larger one: bf16, f16.
bool is_short_float(DType dtype);
/// What a constant of the type is to hold for x. Short floats are rounded; f32 keeps the bits of
/// the double, as all of f32 does in the reference evaluation, and is rounded once, where code is
/// made. Integers are what they are.
double as_constant(double x, DType dtype);
/// Whether a type holds x exactly. Numbers of i64 are held in doubles here: up to 2^53.
bool is_element(double x, DType dtype);
/// The shortest text from which as_constant gives x: 0.1 for 0.10009765625 of bf16; inf, nan.
std::string element_text(double x, DType dtype);
/// The same as a list, as print_attr does it.
std::string elements_text(const Dense& elements, size_t max_dense, DType dtype);
/// The attributes of a constant with its elements as as_constant gives them: what every node has,
/// however it is made.
AttrRef with_own_elements(AttrRef constant);
/// Whether a double, and so a constant, holds the integer exactly.
bool fits_double(int64_t integer);

}  // namespace gradc
