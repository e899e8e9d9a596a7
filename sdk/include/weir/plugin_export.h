#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/base/config.h"
#include "weir/fingerprint.h"
#include "weir/plugin.h"

// What must be equal between a plugin and the host that loads it, as one string literal: the SDK's
// headers, the compiler, the standard library and its ABI, the C++ standard, Abseil, sanitizers and
// the machine. Evaluated by the compiler of whoever includes this, so a plugin built with other
// flags carries another text.

#define WEIR_INTERNAL_TEXT_INNER(x) #x
#define WEIR_INTERNAL_TEXT(x) WEIR_INTERNAL_TEXT_INNER(x)

#if defined(__clang__)
#define WEIR_INTERNAL_COMPILER "clang " WEIR_INTERNAL_TEXT(__clang_major__)
#elif defined(__GNUC__)
#define WEIR_INTERNAL_COMPILER "gcc " WEIR_INTERNAL_TEXT(__GNUC__)
#else
#error "Weir jobs are compiled with g++ or clang++"
#endif

#if defined(_LIBCPP_VERSION)
#define WEIR_INTERNAL_STANDARD_LIBRARY \
  "libc++ " WEIR_INTERNAL_TEXT(_LIBCPP_VERSION) " abi " WEIR_INTERNAL_TEXT(_LIBCPP_ABI_VERSION)
#else
#define WEIR_INTERNAL_STANDARD_LIBRARY                                               \
  "libstdc++ " WEIR_INTERNAL_TEXT(_GLIBCXX_RELEASE) " cxx11abi " WEIR_INTERNAL_TEXT( \
      _GLIBCXX_USE_CXX11_ABI)
#endif

#if defined(_GLIBCXX_DEBUG)
#define WEIR_INTERNAL_DEBUG_CONTAINERS " debug containers"
#else
#define WEIR_INTERNAL_DEBUG_CONTAINERS ""
#endif

#if defined(__has_feature)
#define WEIR_INTERNAL_HAS_FEATURE(x) __has_feature(x)
#else
#define WEIR_INTERNAL_HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || WEIR_INTERNAL_HAS_FEATURE(address_sanitizer)
#define WEIR_INTERNAL_SANITIZER "address"
#elif defined(__SANITIZE_THREAD__) || WEIR_INTERNAL_HAS_FEATURE(thread_sanitizer)
#define WEIR_INTERNAL_SANITIZER "thread"
#else
#define WEIR_INTERNAL_SANITIZER "none"
#endif

#if defined(ABSL_LTS_RELEASE_VERSION)
#define WEIR_INTERNAL_ABSEIL WEIR_INTERNAL_TEXT(ABSL_LTS_RELEASE_VERSION)
#else
#define WEIR_INTERNAL_ABSEIL "head"
#endif

#if defined(__x86_64__)
#define WEIR_INTERNAL_MACHINE "x86-64"
#elif defined(__aarch64__)
#define WEIR_INTERNAL_MACHINE "aarch64"
#else
#define WEIR_INTERNAL_MACHINE "another machine"
#endif

#define WEIR_FINGERPRINT                                                          \
  "sdk " WEIR_SDK_VERSION " " WEIR_SDK_HASH "; " WEIR_INTERNAL_COMPILER           \
  "; " WEIR_INTERNAL_STANDARD_LIBRARY WEIR_INTERNAL_DEBUG_CONTAINERS              \
  "; c++ " WEIR_INTERNAL_TEXT(__cplusplus) "; abseil " WEIR_INTERNAL_ABSEIL       \
                                           "; sanitizer " WEIR_INTERNAL_SANITIZER \
                                           "; " WEIR_INTERNAL_MACHINE

namespace weir::internal {

// The content of the ELF section ".weir_abi" (docs/FORMATS.md). Read from the file, before it is
// loaded, by every version of the host: fields are only ever added at the end.
template <std::size_t kTextBytes>
struct AbiStamp {
  char magic[8] = {'W', 'E', 'I', 'R', 'A', 'B', 'I', '\n'};
  std::uint32_t abi = kPluginAbi;
  // Of the text, without the zero that ends it.
  std::uint32_t text_bytes = kTextBytes - 1;
  char text[kTextBytes] = {};

  constexpr explicit AbiStamp(const char (&literal)[kTextBytes]) {
    for (std::size_t i = 0; i < kTextBytes; ++i) text[i] = literal[i];
  }
};

}  // namespace weir::internal

// Makes this library a plugin whose job is described by `define_function`, a
// void(const weir::DefineInput&, weir::JobDefinition&). Used once in a library, in the global
// namespace.
#define WEIR_EXPORT_PLUGIN(define_function)                                                  \
  namespace weir_plugin_internal {                                                           \
  __attribute__((section(".weir_abi"),                                                       \
                 used)) static constexpr ::weir::internal::AbiStamp stamp(WEIR_FINGERPRINT); \
  static constexpr ::weir::PluginInfo info{stamp.abi, stamp.text, define_function};          \
  }                                                                                          \
  extern "C" __attribute__((visibility("default"))) const ::weir::PluginInfo* weir_plugin(); \
  extern "C" const ::weir::PluginInfo* weir_plugin() { return &weir_plugin_internal::info; }
