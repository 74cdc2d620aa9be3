#include "client/examples/resp_kv/snapshot.h"

#include <string>
#include <utility>

#include "client/examples/resp_kv/bytes.h"

namespace understudy::resp_kv {

namespace {

constexpr std::string_view kMagic = "RESPKV1\n";
constexpr char kEnd = 0;  // other marks: the type of the value, 1 + its index in Value
constexpr size_t kChunkBytes = 256u << 10;
constexpr uint64_t kTextBytesMax = 1u << 30;  // a longer one is no text but damage

void PutValue(const Value& value, std::string* out) {
  if (const auto* text = ValueAs<std::string>(value)) {
    PutText(*text, out);
  } else if (const auto* list = ValueAs<ListValue>(value)) {
    PutNumber(list->items.size(), out);
    for (const std::string& item : list->items) {
      PutText(item, out);
    }
  } else if (const auto* hash = ValueAs<HashValue>(value)) {
    PutNumber(hash->fields.size(), out);
    for (const auto& [field, content] : hash->fields) {
      PutText(field, out);
      PutText(content, out);
    }
  } else if (const auto* set = ValueAs<SetValue>(value)) {
    PutNumber(set->members.size(), out);
    for (const std::string& member : set->members) {
      PutText(member, out);
    }
  } else {
    const auto* sorted = ValueAs<SortedSetValue>(value);
    PutNumber(sorted->order.size(), out);
    for (const auto& [score, member] : sorted->order) {
      PutDouble(score, out);
      PutText(member, out);
    }
  }
}

class ShardsSnapshot : public Snapshot {
 public:
  explicit ShardsSnapshot(std::unique_ptr<StoreSnapshot> store) : store_(std::move(store)) {}

  Status Write(CheckpointWriter& out) override {
    std::string chunk(kMagic);
    uint64_t keys = 0;
    for (const auto& shard : store_->shards()) {
      for (const auto& [key, entry] : shard->entries) {
        chunk.push_back(static_cast<char>(1 + entry.value.index()));
        PutText(key, &chunk);
        PutNumber(static_cast<uint64_t>(entry.expire_at_ms), &chunk);
        PutValue(entry.value, &chunk);
        ++keys;
        if (chunk.size() >= kChunkBytes) {
          UNDERSTUDY_RETURN_IF_ERROR(out.Write(chunk));
          chunk.clear();
        }
      }
    }
    chunk.push_back(kEnd);
    PutNumber(keys, &chunk);
    return out.Write(chunk);
  }

 private:
  std::unique_ptr<StoreSnapshot> store_;
};

// Reads the bytes of a checkpoint in order. The first error is kept; after it everything reads as zero.
class Input {
 public:
  explicit Input(CheckpointReader* reader) : reader_(reader), buffer_(kChunkBytes, '\0') {}

  char Byte() {
    char byte = 0;
    Bytes(&byte, 1);
    return byte;
  }
  uint64_t Number() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(Byte());
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        return value;
      }
    }
    Fail({StatusCode::kCorruption, "a number has no end"});
    return 0;
  }
  std::string Text() {
    const uint64_t size = Number();
    if (size > kTextBytesMax) {
      Fail({StatusCode::kCorruption, "a text of " + std::to_string(size) + " bytes"});
      return {};
    }
    std::string text;
    // Grown as the bytes arrive: a damaged length does not allocate what was never sent.
    for (uint64_t left = size; left > 0 && status_.ok();) {
      const size_t part = static_cast<size_t>(std::min<uint64_t>(left, kChunkBytes));
      const size_t at = text.size();
      text.resize(at + part);
      Bytes(text.data() + at, part);
      left -= part;
    }
    return text;
  }
  double Score() {
    char bytes[8] = {};
    Bytes(bytes, sizeof(bytes));
    std::string_view view(bytes, sizeof(bytes));
    double score = 0;
    TakeDouble(&view, &score);
    return score;
  }
  // True when nothing is left.
  bool AtEnd() {
    Fill();
    return status_.ok() && at_ == size_;
  }
  const Status& status() const { return status_; }
  void Fail(Status status) {
    if (status_.ok()) {
      status_ = std::move(status);
    }
  }

 private:
  void Fill() {
    if (at_ < size_ || !status_.ok()) {
      return;
    }
    Result<size_t> got = reader_->Read(buffer_.data(), buffer_.size());
    if (!got.ok()) {
      Fail(got.status());
      return;
    }
    at_ = 0;
    size_ = *got;
  }
  void Bytes(char* to, size_t count) {
    while (count > 0) {
      Fill();
      if (status_.ok() && at_ == size_) {
        Fail({StatusCode::kCorruption, "it ends too early"});
      }
      if (!status_.ok()) {
        return;
      }
      const size_t part = std::min(count, size_ - at_);
      buffer_.copy(to, part, at_);
      at_ += part;
      to += part;
      count -= part;
    }
  }

  CheckpointReader* reader_;
  std::string buffer_;
  size_t at_ = 0;
  size_t size_ = 0;
  Status status_;
};

void LoadValue(Input& in, int type, Store::Editor* editor) {
  if (type == 0) {
    editor->Replace(in.Text());
    return;
  }
  const uint64_t count = in.Number();
  for (uint64_t i = 0; i < count && in.status().ok(); ++i) {
    if (type == 1) {
      auto* list = editor->Collection<ListValue>();
      list->bytes += list->items.emplace_back(in.Text()).size() + kElementOverheadBytes;
    } else if (type == 2) {
      auto* hash = editor->Collection<HashValue>();
      std::string field = in.Text();
      std::string content = in.Text();
      hash->bytes += field.size() + content.size() + kElementOverheadBytes;
      hash->fields.insert_or_assign(std::move(field), std::move(content));
    } else if (type == 3) {
      auto* set = editor->Collection<SetValue>();
      const auto [member, added] = set->members.insert(in.Text());
      set->bytes += added ? member->size() + kElementOverheadBytes : 0;
    } else {
      auto* sorted = editor->Collection<SortedSetValue>();
      const double score = in.Score();
      std::string member = in.Text();
      sorted->bytes += 2 * (member.size() + kElementOverheadBytes);
      sorted->order.emplace(score, member);
      sorted->scores.insert_or_assign(std::move(member), score);
    }
  }
}

Status Load(Input& in, Store* store) {
  for (const char expected : kMagic) {
    if (in.Byte() != expected && in.status().ok()) {
      return {StatusCode::kCorruption, "it does not begin as one"};
    }
  }
  while (in.status().ok()) {
    const char mark = in.Byte();
    if (mark == kEnd || !in.status().ok()) {
      break;
    }
    const int type = mark - 1;
    if (type < 0 || type >= static_cast<int>(std::variant_size_v<Value>)) {
      return {StatusCode::kCorruption, "a value of unknown type " + std::to_string(type)};
    }
    const std::string key = in.Text();
    const auto expire_at_ms = static_cast<int64_t>(in.Number());
    if (!in.status().ok()) {
      break;
    }
    Store::Editor editor(store, key);
    if (editor.entry() != nullptr) {
      return {StatusCode::kCorruption, "a key comes twice"};
    }
    LoadValue(in, type, &editor);
    if (editor.entry() == nullptr) {
      return in.status().ok() ? Status(StatusCode::kCorruption, "an empty collection") : in.status();
    }
    editor.entry()->expire_at_ms = expire_at_ms;
  }
  const uint64_t keys = in.Number();
  UNDERSTUDY_RETURN_IF_ERROR(in.status());
  if (keys != store->keys()) {
    return {StatusCode::kCorruption,
            "it holds " + std::to_string(store->keys()) + " keys and claims " + std::to_string(keys)};
  }
  if (!in.AtEnd()) {
    return in.status().ok() ? Status(StatusCode::kCorruption, "bytes follow its end") : in.status();
  }
  return Status::Ok();
}

}  // namespace

std::unique_ptr<Snapshot> MakeSnapshot(Store* store) { return std::make_unique<ShardsSnapshot>(store->Snapshot()); }

Status LoadSnapshot(CheckpointReader& reader, Store* store) {
  store->Clear();
  Input in(&reader);
  return Load(in, store).WithContext("resp_kv checkpoint");
}

}  // namespace understudy::resp_kv
