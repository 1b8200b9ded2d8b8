// Memory and text behind Vec and Str.
#include "runtime/containers.h"

#include <cstdio>
#include <locale.h>

namespace gradc::rt {
namespace {

// The locale "C" on this thread while text is formatted. Making that locale allocates nothing in
// the C libraries we know; where it cannot be made, the thread's own stays.
class CLocale {
 public:
  CLocale() : c_(newlocale(LC_ALL_MASK, "C", locale_t{})) {
    if (c_ != locale_t{}) saved_ = uselocale(c_);
  }
  ~CLocale() {
    if (c_ == locale_t{}) return;
    uselocale(saved_);
    freelocale(c_);
  }
  CLocale(const CLocale&) = delete;
  CLocale& operator=(const CLocale&) = delete;

 private:
  locale_t c_;
  locale_t saved_{};
};

}  // namespace

void Str::append(const char* text, size_t length) {
  const size_t old = size();
  const size_t need = old + length + 1;
  if (need > bytes_.capacity()) bytes_.reserve(need > 2 * old ? need : 2 * old);
  bytes_.resize(need);
  if (length > 0) memcpy(bytes_.data() + old, text, length);
  bytes_[old + length] = '\0';
}

bool Str::starts_with(const char* prefix) const {
  return strncmp(c_str(), prefix, strlen(prefix)) == 0;
}

bool Str::ends_with(const char* suffix) const {
  const size_t n = strlen(suffix);
  return size() >= n && strcmp(c_str() + size() - n, suffix) == 0;
}

void Str::append_formatted(const char* format, va_list arguments) {
  const CLocale locale;
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
