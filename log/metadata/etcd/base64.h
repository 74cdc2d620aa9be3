// Base64 (RFC 4648 section 4, with padding), as JSON carries bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace understudy::etcd {

std::string Base64Encode(std::string_view bytes);
// Nothing when `text` is not Base64.
std::optional<std::string> Base64Decode(std::string_view text);

}  // namespace understudy::etcd
