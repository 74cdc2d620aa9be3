#include "log/metadata/etcd/etcd_messages.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "log/metadata/etcd/base64.h"

namespace understudy::etcd {
namespace {

using nlohmann::json;

constexpr size_t kQuotedMax = 200;  // of a body that is put into a message

std::string Quote(std::string_view body) {
  std::string text(body.substr(0, kQuotedMax));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '.';
  }
  return "'" + text + (body.size() > kQuotedMax ? "...'" : "'");
}

Status Bad(const std::string& what, std::string_view body) {
  return {StatusCode::kCorruption, "etcd answered what is not understood (" + what + "): " + Quote(body)};
}

// Left-out fields are zero; a wrong type is an error.
bool ReadNumber(const json& object, const char* name, uint64_t* number) {
  *number = 0;
  const auto at = object.find(name);
  if (at == object.end()) return true;
  if (at->is_number_unsigned()) {
    *number = at->get<uint64_t>();
    return true;
  }
  if (!at->is_string()) return false;
  const std::string& text = at->get_ref<const std::string&>();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

bool ReadBool(const json& object, const char* name, bool* value) {
  const auto at = object.find(name);
  if (at == object.end()) return true;
  if (!at->is_boolean()) return false;
  *value = at->get<bool>();
  return true;
}

bool ReadBytes(const json& object, const char* name, std::string* bytes) {
  const auto at = object.find(name);
  if (at == object.end()) return true;
  if (!at->is_string()) return false;
  std::optional<std::string> decoded = Base64Decode(at->get_ref<const std::string&>());
  if (!decoded) return false;
  *bytes = std::move(*decoded);
  return true;
}

bool ReadEntry(const json& kv, MetadataEntry* entry) {
  return kv.is_object() && ReadBytes(kv, "key", &entry->key) && ReadBytes(kv, "value", &entry->value) &&
         ReadNumber(kv, "mod_revision", &entry->version) && !entry->key.empty() && entry->version != 0;
}

bool ReadRevision(const json& reply, uint64_t* revision) {
  const auto header = reply.find("header");
  return header != reply.end() && header->is_object() && ReadNumber(*header, "revision", revision);
}

// The elements of an array field; nullptr when it is left out or empty. False: it is no array.
bool ReadArray(const json& object, const char* name, const json** array) {
  *array = nullptr;
  const auto at = object.find(name);
  if (at == object.end() || at->is_null()) return true;
  if (!at->is_array()) return false;
  *array = &*at;
  return true;
}

std::string Txn(const std::string& key, uint64_t expected, json change) {
  const std::string name = Base64Encode(key);
  const json compare = {
      {"key", name}, {"target", "MOD"}, {"result", "EQUAL"}, {"mod_revision", std::to_string(expected)}};
  const json look = {{"request_range", {{"key", name}, {"keys_only", true}}}};
  const json txn = {{"compare", json::array({compare})},
                    {"success", json::array({std::move(change)})},
                    {"failure", json::array({look})}};
  return txn.dump();
}

}  // namespace

std::string PrefixEnd(const std::string& prefix) {
  std::string end = prefix;
  while (!end.empty() && static_cast<uint8_t>(end.back()) == 0xff) end.pop_back();
  if (end.empty()) return std::string(1, '\0');
  end.back() = static_cast<char>(static_cast<uint8_t>(end.back()) + 1);
  return end;
}

std::string EncodeRange(const RangeQuery& query) {
  json range = json::object();
  if (query.prefix) {
    std::string first = query.after.empty() ? query.key : query.after + '\0';
    if (first.empty()) first = std::string(1, '\0');
    range["key"] = Base64Encode(first);
    range["range_end"] = Base64Encode(PrefixEnd(query.key));
  } else {
    range["key"] = Base64Encode(query.key);
  }
  if (query.limit != 0) range["limit"] = std::to_string(query.limit);
  if (query.revision != 0) range["revision"] = std::to_string(query.revision);
  if (query.keys_only) range["keys_only"] = true;
  if (query.count_only) range["count_only"] = true;
  return range.dump();
}

std::string EncodeSwap(const std::string& key, uint64_t expected, std::string_view value) {
  return Txn(key, expected, {{"request_put", {{"key", Base64Encode(key)}, {"value", Base64Encode(value)}}}});
}

std::string EncodeDelete(const std::string& key, uint64_t expected) {
  return Txn(key, expected, {{"request_delete_range", {{"key", Base64Encode(key)}}}});
}

std::string EncodeWatch(const std::string& prefix, uint64_t start_revision) {
  const json watch = {
      {"create_request",
       {{"key", Base64Encode(prefix.empty() ? std::string(1, '\0') : prefix)},
        {"range_end", Base64Encode(PrefixEnd(prefix))},
        {"start_revision", std::to_string(start_revision)},
        {"progress_notify", true},
        {"fragment", true}}}};  // else many changes at once make a message that the gateway refuses to carry
  return watch.dump();
}

Result<RangeReply> DecodeRange(std::string_view body) {
  const json reply = json::parse(body, nullptr, false);
  RangeReply range;
  const json* kvs = nullptr;
  if (!reply.is_object()) return Bad("no JSON object", body);
  if (!ReadRevision(reply, &range.revision) || range.revision == 0) return Bad("no revision", body);
  if (!ReadBool(reply, "more", &range.more) || !ReadArray(reply, "kvs", &kvs)) return Bad("more, kvs", body);
  if (kvs == nullptr) return range;
  range.entries.reserve(kvs->size());
  for (const json& kv : *kvs) {
    if (!ReadEntry(kv, &range.entries.emplace_back())) return Bad("a key", body);
  }
  return range;
}

Result<TxnReply> DecodeTxn(std::string_view body) {
  const json reply = json::parse(body, nullptr, false);
  TxnReply txn;
  const json* responses = nullptr;
  if (!reply.is_object()) return Bad("no JSON object", body);
  if (!ReadRevision(reply, &txn.revision) || txn.revision == 0) return Bad("no revision", body);
  if (!ReadBool(reply, "succeeded", &txn.succeeded) || !ReadArray(reply, "responses", &responses)) {
    return Bad("succeeded, responses", body);
  }
  if (responses == nullptr || responses->size() != 1 || !responses->front().is_object()) {
    return Bad("not one response", body);
  }
  const json& response = responses->front();
  const char* const expected = !txn.succeeded                      ? "response_range"
                               : response.contains("response_put") ? "response_put"
                                                                   : "response_delete_range";
  const auto at = response.find(expected);
  if (at == response.end() || !at->is_object()) return Bad(expected, body);
  if (txn.succeeded) {
    if (!ReadNumber(*at, "deleted", &txn.deleted)) return Bad("deleted", body);
    return txn;
  }
  const json* kvs = nullptr;
  if (!ReadArray(*at, "kvs", &kvs)) return Bad("kvs", body);
  if (kvs == nullptr || kvs->empty()) return txn;
  MetadataEntry entry;
  if (!ReadEntry(kvs->front(), &entry)) return Bad("a key", body);
  txn.found = entry.version;
  return txn;
}

Result<WatchReply> DecodeWatch(std::string_view line) {
  const json message = json::parse(line, nullptr, false);
  if (!message.is_object()) return Bad("no JSON object", line);
  if (message.contains("error")) return Status(StatusCode::kUnavailable, DecodeRefusal(0, line).message);
  const auto result = message.find("result");
  if (result == message.end() || !result->is_object()) return Bad("no result", line);
  WatchReply watch;
  const json* events = nullptr;
  if (!ReadRevision(*result, &watch.revision)) return Bad("no header", line);
  if (!ReadBool(*result, "created", &watch.created) || !ReadBool(*result, "canceled", &watch.canceled) ||
      !ReadBool(*result, "fragment", &watch.fragment) ||
      !ReadNumber(*result, "compact_revision", &watch.compact_revision) || !ReadArray(*result, "events", &events)) {
    return Bad("a field of the watch", line);
  }
  if (const auto reason = result->find("cancel_reason"); reason != result->end() && reason->is_string()) {
    watch.cancel_reason = reason->get<std::string>();
  }
  if (events == nullptr) return watch;
  for (const json& event : *events) {
    WatchEvent& read = watch.events.emplace_back();
    if (!event.is_object()) return Bad("an event", line);
    if (const auto type = event.find("type"); type != event.end()) {
      read.deleted = *type == "DELETE";
      if (!read.deleted && *type != "PUT") return Bad("the type of an event", line);
    }
    const auto kv = event.find("kv");
    if (kv == event.end() || !ReadEntry(*kv, &read.entry)) return Bad("the key of an event", line);
  }
  return watch;
}

Refusal DecodeRefusal(int http_status, std::string_view body) {
  using Kind = Refusal::Kind;
  Refusal refusal;
  uint64_t code = 0;
  const json reply = json::parse(body, nullptr, false);
  // Unary: {"error": text, "code": n}; in a stream, and with newer gateways: {"error": {"message": text, ...}}.
  const json* error = reply.is_object() ? &reply : nullptr;
  if (error != nullptr && error->contains("error") && (*error)["error"].is_object()) error = &(*error)["error"];
  if (error != nullptr) {
    for (const char* name : {"error", "message"}) {
      if (error->contains(name) && (*error)[name].is_string()) refusal.message = (*error)[name].get<std::string>();
    }
    if (!ReadNumber(*error, "code", &code) || code == 0) (void)ReadNumber(*error, "grpc_code", &code);
  }
  const auto says = [&](const char* words) { return refusal.message.find(words) != std::string::npos; };
  if (refusal.message.empty()) {
    refusal.kind = http_status == 404 ? Kind::kNoGateway : Kind::kOther;
    refusal.message = "HTTP status " + std::to_string(http_status) + ", " + Quote(body);
    return refusal;
  }
  // gRPC codes: 3 invalid argument, 7 permission denied, 8 resource exhausted, 12 unimplemented, 16 unauthenticated.
  if (says("database space exceeded")) {
    refusal.kind = Kind::kNoSpace;
  } else if (says("too many requests")) {
    refusal.kind = Kind::kBusy;
  } else if (says("larger than max") || says("request is too large")) {
    refusal.kind = Kind::kTooLarge;
  } else if (says("etcdserver: no leader")) {
    refusal.kind = Kind::kNoLeader;
  } else if (says("has been compacted")) {
    refusal.kind = Kind::kCompacted;
  } else if (says("future revision")) {
    refusal.kind = Kind::kFuture;
  } else if (code == 7 || code == 16 || says("user name is empty")) {
    refusal.kind = Kind::kDenied;
  } else if (code == 12) {
    refusal.kind = Kind::kNoGateway;
  } else if (code == 3) {
    refusal.kind = Kind::kInvalid;
  }
  return refusal;
}

}  // namespace understudy::etcd
