#include "common/hash/sha256.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "common/base/check.h"

namespace weir {

struct Sha256::Context {
  EVP_MD_CTX* digest = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(digest); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  WEIR_CHECK(context_->digest != nullptr);
  WEIR_CHECK_EQ(EVP_DigestInit_ex(context_->digest, EVP_sha256(), nullptr), 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(std::string_view data) {
  WEIR_CHECK_EQ(EVP_DigestUpdate(context_->digest, data.data(), data.size()), 1);
}

std::string Sha256::Finish() {
  std::array<unsigned char, 32> bytes{};
  unsigned int size = 0;
  WEIR_CHECK_EQ(EVP_DigestFinal_ex(context_->digest, bytes.data(), &size), 1);
  WEIR_CHECK_EQ(size, bytes.size());
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (unsigned char byte : bytes) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

std::string Sha256::Hex(std::string_view data) {
  Sha256 hash;
  hash.Update(data);
  return hash.Finish();
}

bool IsSha256Hex(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace weir
