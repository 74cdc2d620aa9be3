// Text for people: aligned tables, colours on terminals, numbers with units.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace understudy::cli {

enum class Color { kNone, kRed, kYellow, kGreen, kBold, kDim };

// `text` in `color`, when `enabled`.
std::string Paint(const std::string& text, Color color, bool enabled);

class Table {
 public:
  struct Cell {
    Cell(std::string t, Color c = Color::kNone)
        : text(std::move(t)), color(c) {}                               // NOLINT: so that {"a", "b"} is a row
    Cell(const char* t, Color c = Color::kNone) : text(t), color(c) {}  // NOLINT
    std::string text;
    Color color;
  };
  // `header`: "LAG>" is aligned to the right.
  explicit Table(std::vector<std::string> header);
  void Add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  // Columns are two spaces apart; the last is not padded.
  std::string Render(bool color) const;

 private:
  std::vector<std::string> header_;
  std::vector<bool> right_;
  std::vector<std::vector<Cell>> rows_;
};

std::string WithCommas(uint64_t n);                                // 1,234,567
std::string HumanBytes(double bytes);                              // 1.2 GiB
std::vector<std::string> SplitAddresses(const std::string& text);  // "a:1,b:2"; never empty
std::string HumanMs(double ms);                                    // 38 ms, 2.4 s, 3 min, 5 h, 2 d
std::string LocalTime(int64_t unix_ms);                            // 2024-06-10 08:13:20.123
size_t DisplayWidth(const std::string& s);                         // characters of UTF-8

}  // namespace understudy::cli
