// GRADC_SANITIZED: whether AddressSanitizer or ThreadSanitizer owns the allocator and makes
// everything slower, by GCC's word for it or by clang's.
#pragma once

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GRADC_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GRADC_SANITIZED 1
#endif
#endif
#ifndef GRADC_SANITIZED
#define GRADC_SANITIZED 0
#endif
