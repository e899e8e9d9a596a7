#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace weir {

// SHA-256 of bytes that come in pieces. Not thread safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(std::string_view data);
  // 64 lower-case hex digits of all that was given. Last call.
  std::string Finish();

  // Of one piece.
  static std::string Hex(std::string_view data);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// True for 64 lower-case hex digits: what Sha256 gives and what may name a blob.
bool IsSha256Hex(std::string_view text);

}  // namespace weir
