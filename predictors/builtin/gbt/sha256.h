// SHA-256, for the checksum of model files and the hash of training data: OpenSSL's.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace understudy::gbt {

// Not thread-safe; any thread.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void Add(std::string_view bytes);
  // 64 lower-case hexadecimal digits. Once, after which nothing may be added.
  std::string Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string Sha256Hex(std::string_view bytes);

}  // namespace understudy::gbt
