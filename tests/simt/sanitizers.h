/* sanitizers.h - which sanitizer compiles us, and poisoning that is nothing without AddressSanitizer. */
#ifndef VT_SIMT_SANITIZERS_H
#define VT_SIMT_SANITIZERS_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define SIMT_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SIMT_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define SIMT_TSAN 1
#endif

#ifdef SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SIMT_POISON(p, bytes) __asan_poison_memory_region(p, bytes)
#define SIMT_UNPOISON(p, bytes) __asan_unpoison_memory_region(p, bytes)
#else
#define SIMT_POISON(p, bytes) ((void)(p), (void)(bytes))
#define SIMT_UNPOISON(p, bytes) ((void)(p), (void)(bytes))
#endif

#ifdef SIMT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#endif
