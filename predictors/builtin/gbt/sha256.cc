#include "predictors/builtin/gbt/sha256.h"

#include <openssl/evp.h>

#include <cstdio>
#include <stdexcept>

namespace understudy::gbt {
namespace {

// OpenSSL fails only for want of memory, or of the digest in a library built without it.
void Must(int result) {
  if (result != 1) throw std::runtime_error("SHA-256: libcrypto refuses");
}

}  // namespace

struct Sha256::Context {
  Context() : state(EVP_MD_CTX_new()) {
    Must(state != nullptr ? 1 : 0);
    Must(EVP_DigestInit_ex(state, EVP_sha256(), nullptr));
  }
  ~Context() { EVP_MD_CTX_free(state); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  EVP_MD_CTX* state;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {}
Sha256::~Sha256() = default;

void Sha256::Add(std::string_view bytes) { Must(EVP_DigestUpdate(context_->state, bytes.data(), bytes.size())); }

std::string Sha256::Finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  Must(EVP_DigestFinal_ex(context_->state, digest, &size));
  std::string out;
  for (unsigned int i = 0; i < size; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", digest[i]);
    out += digits;
  }
  return out;
}

std::string Sha256Hex(std::string_view bytes) {
  Sha256 hash;
  hash.Add(bytes);
  return hash.Finish();
}

}  // namespace understudy::gbt
