// Numbers as text, both ways, without the process's locale: a host that has called setlocale() (a
// decimal comma, grouped digits) reads and writes the same files as everybody else.
#pragma once

#include "runtime/containers.h"

namespace gradc::rt {

/// The number that all of [begin, end) spells: decimal, with an optional sign, fraction and
/// exponent, or inf, infinity, nan in any case. No spaces, no hexadecimal. What is too large
/// becomes infinite, what is too small zero. False, with *out untouched, for anything else.
bool parse_double(const char* begin, const char* end, double* out);
/// Decimal digits with an optional sign. False when [begin, end) is anything else or out of range.
bool parse_integer(const char* begin, const char* end, int64_t* out);
/// Decimal digits. False when [begin, end) is anything else or out of range.
bool parse_unsigned(const char* begin, const char* end, uint64_t* out);

/// The same of a zero-terminated text.
bool parse_double(const char* text, double* out);
bool parse_integer(const char* text, int64_t* out);
bool parse_unsigned(const char* text, uint64_t* out);

/// The shortest decimal that reads back to the same value: "0.1", "1e+20", "inf", "nan".
Str number_text(double value);
Str number_text(float value);

}  // namespace gradc::rt
