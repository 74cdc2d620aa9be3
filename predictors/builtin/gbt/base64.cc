// Base64 by OpenSSL, whose decoder is more lenient than the files may be.
#include <openssl/evp.h>

#include "predictors/builtin/gbt/model.h"

namespace understudy::gbt {

std::string Base64Encode(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4, '\0');  // and the terminating 0, which is written, too
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()));
  return text;
}

bool Base64Decode(std::string_view text, std::string* bytes) {
  // OpenSSL skips white space, what follows a '-', and takes '=' for a digit anywhere. What it skips makes the result
  // shorter than it has to be.
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  bytes->clear();
  if (text.size() % 4 != 0 || text.size() > kModelBytesMax) return false;
  if (text.substr(0, text.size() - padding).find('=') != std::string_view::npos) return false;
  bytes->resize(text.size() / 4 * 3);
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes->data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0 || static_cast<size_t>(size) != bytes->size()) return false;
  bytes->resize(bytes->size() - padding);
  return true;
}

}  // namespace understudy::gbt
