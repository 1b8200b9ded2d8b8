// Memory and text behind Vec and Str.
#include "runtime/containers.h"

#include <cstdio>
#include <cstdlib>

namespace gradc::rt {

void* grow_memory(void* memory, size_t bytes) {
  void* grown = realloc(memory, bytes > 0 ? bytes : 1);
  if (grown == nullptr) {
    fprintf(stderr, "error: out of memory: %zu bytes were asked for\n", bytes);
    exit(1);
  }
  return grown;
}

void release_memory(void* memory) {
  free(memory);
}

void Str::append_formatted(const char* format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  const int length = vsnprintf(nullptr, 0, format, arguments);
  if (length > 0) {
    Vec<char> buffer(static_cast<size_t>(length) + 1);
    vsnprintf(buffer.data(), buffer.size(), format, again);
    append(buffer.data(), static_cast<size_t>(length));
  }
  va_end(again);
}

void Str::appendf(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  append_formatted(format, arguments);
  va_end(arguments);
}

Str format(const char* pattern, ...) {
  Str text;
  va_list arguments;
  va_start(arguments, pattern);
  text.append_formatted(pattern, arguments);
  va_end(arguments);
  return text;
}

}  // namespace gradc::rt
