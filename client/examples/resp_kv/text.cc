// Text as Redis reads it: numbers, names in any case, patterns.
#include <charconv>
#include <cmath>

#include "client/examples/resp_kv/command.h"

namespace understudy::resp_kv {

namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

}  // namespace

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (Lower(a[i]) != Lower(b[i])) {
      return false;
    }
  }
  return true;
}

std::string ToLower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    c = Lower(c);
  }
  return lower;
}

bool ParseInteger(std::string_view text, int64_t* value) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return problem == std::errc() && end == text.data() + text.size();
}

bool ParseDouble(std::string_view text, double* value) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) {
      return false;
    }
  }
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return problem == std::errc() && end == text.data() + text.size() && !std::isnan(*value);
}

namespace {

// Whether `c` is in the set at pattern[*at], which is behind its '['; moves *at behind its ']'.
bool ClassMatches(std::string_view pattern, size_t* at, char c) {
  const bool negated = *at < pattern.size() && pattern[*at] == '^';
  *at += negated ? 1 : 0;
  bool matches = false;
  while (*at < pattern.size() && pattern[*at] != ']') {
    if (pattern[*at] == '\\' && *at + 1 < pattern.size()) {
      ++*at;
    } else if (*at + 2 < pattern.size() && pattern[*at + 1] == '-' && pattern[*at + 2] != ']') {
      const auto [low, high] = std::minmax(pattern[*at], pattern[*at + 2]);
      matches = matches || (c >= low && c <= high);
      *at += 3;
      continue;
    }
    matches = matches || pattern[*at] == c;
    ++*at;
  }
  *at += *at < pattern.size() ? 1 : 0;
  return matches != negated;
}

}  // namespace

bool GlobMatches(std::string_view pattern, std::string_view text) {
  // The last star and where the text behind it was tried: going back to that one suffices, so the time is bounded by
  // the product of the lengths.
  size_t star = std::string_view::npos;
  size_t star_text = 0;
  size_t p = 0;
  size_t t = 0;
  while (t < text.size()) {
    bool matches = false;
    size_t next = p;
    if (p < pattern.size()) {
      if (pattern[p] == '*') {
        star = ++p;
        star_text = t;
        continue;
      }
      next = p + 1;
      if (pattern[p] == '?') {
        matches = true;
      } else if (pattern[p] == '[') {
        matches = ClassMatches(pattern, &next, text[t]);
      } else {
        if (pattern[p] == '\\' && p + 1 < pattern.size()) {
          ++next;
        }
        matches = pattern[next - 1] == text[t];
      }
    }
    if (matches) {
      p = next;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') {
    ++p;
  }
  return p == pattern.size();
}

}  // namespace understudy::resp_kv
