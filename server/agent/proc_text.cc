#include "server/agent/proc_text.h"

#include <charconv>
#include <vector>

namespace understudy {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n'; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

// Takes the first line off `text`.
std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  *text = end == std::string_view::npos ? std::string_view() : text->substr(end + 1);
  return line;
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  size_t at = 0;
  while (at < line.size()) {
    while (at < line.size() && IsSpace(line[at])) ++at;
    const size_t begin = at;
    while (at < line.size() && !IsSpace(line[at])) ++at;
    if (at > begin) words.push_back(line.substr(begin, at - begin));
  }
  return words;
}

template <class Number>
std::optional<Number> ToNumber(std::string_view word) {
  Number value{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<ProcStat> ParseProcStat(std::string_view text) {
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  const std::vector<std::string_view> words = Words(text.substr(name_end + 1));  // words[0] is field 3
  constexpr size_t kFirstField = 3;
  const auto field = [&](size_t number) -> std::optional<uint64_t> {
    if (number - kFirstField >= words.size()) return std::nullopt;
    return ToNumber<uint64_t>(words[number - kFirstField]);
  };
  const auto minor = field(10), major = field(12), user = field(14), system = field(15), threads = field(20),
             start = field(22);
  if (!minor || !major || !user || !system || !threads || !start) return std::nullopt;
  return ProcStat{*minor, *major, *user + *system, *threads, *start};
}

std::optional<uint64_t> FindAmount(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::vector<std::string_view> words = Words(TakeLine(&text));
    if (words.size() < 2 || words[0] != name) continue;
    const std::optional<uint64_t> amount = ToNumber<uint64_t>(words[1]);
    if (amount && words.size() > 2 && words[2] == "kB") return *amount * 1024;
    return amount;
  }
  return std::nullopt;
}

std::optional<uint64_t> ParseAmount(std::string_view text) { return ToNumber<uint64_t>(Trim(text)); }

std::optional<uint64_t> FindSoftLimit(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::string_view line = TakeLine(&text);
    if (!line.starts_with(name)) continue;
    const std::vector<std::string_view> words = Words(line.substr(name.size()));
    return words.empty() ? std::nullopt : ToNumber<uint64_t>(words[0]);
  }
  return std::nullopt;
}

std::optional<double> FindPressure(std::string_view text, std::string_view kind) {
  constexpr std::string_view kKey = "avg10=";
  while (!text.empty()) {
    const std::vector<std::string_view> words = Words(TakeLine(&text));
    if (words.size() < 2 || words[0] != kind || !words[1].starts_with(kKey)) continue;
    return ToNumber<double>(words[1].substr(kKey.size()));
  }
  return std::nullopt;
}

std::optional<double> ParseLoad1(std::string_view text) {
  const std::vector<std::string_view> words = Words(text);
  return words.empty() ? std::nullopt : ToNumber<double>(words[0]);
}

std::optional<NetworkErrors> ParseNetDev(std::string_view text) {
  std::optional<NetworkErrors> sum;
  while (!text.empty()) {
    const std::string_view line = TakeLine(&text);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || Trim(line.substr(0, colon)) == "lo") continue;
    // Receive: bytes packets errs drop fifo frame compressed multicast; transmit: bytes packets errs drop ...
    const std::vector<std::string_view> words = Words(line.substr(colon + 1));
    if (words.size() < 12) continue;
    const auto receive_errors = ToNumber<uint64_t>(words[2]), receive_drops = ToNumber<uint64_t>(words[3]);
    const auto transmit_errors = ToNumber<uint64_t>(words[10]), transmit_drops = ToNumber<uint64_t>(words[11]);
    if (!receive_errors || !receive_drops || !transmit_errors || !transmit_drops) continue;
    if (!sum) sum.emplace();
    sum->errors += *receive_errors + *transmit_errors;
    sum->drops += *receive_drops + *transmit_drops;
  }
  return sum;
}

std::optional<BlockCounters> ParseBlockStat(std::string_view text) {
  // Reads: requests, merges, sectors, ms; writes: the same.
  const std::vector<std::string_view> words = Words(text);
  if (words.size() < 8) return std::nullopt;
  const auto reads = ToNumber<uint64_t>(words[0]), read_ms = ToNumber<uint64_t>(words[3]);
  const auto writes = ToNumber<uint64_t>(words[4]), write_ms = ToNumber<uint64_t>(words[7]);
  if (!reads || !read_ms || !writes || !write_ms) return std::nullopt;
  return BlockCounters{*reads + *writes, *read_ms + *write_ms};
}

std::optional<std::string> FindCgroup(std::string_view text, std::string_view controller) {
  while (!text.empty()) {
    const std::string_view line = TakeLine(&text);  // "4:memory:/path", "0::/path"
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    std::string_view names = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (controller.empty()) {
      if (names.empty() && line.starts_with("0:")) return std::string(path);
      continue;
    }
    while (!names.empty()) {
      const size_t comma = names.find(',');
      if (names.substr(0, comma) == controller) return std::string(path);
      names = comma == std::string_view::npos ? std::string_view() : names.substr(comma + 1);
    }
  }
  return std::nullopt;
}

}  // namespace understudy
