#include "client/cli/text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <sstream>

namespace understudy::cli {

std::string Paint(const std::string& text, Color color, bool enabled) {
  if (!enabled || color == Color::kNone || text.empty()) return text;
  const char* code = "";
  switch (color) {
    case Color::kNone:
      break;
    case Color::kRed:
      code = "1;31";
      break;
    case Color::kYellow:
      code = "33";
      break;
    case Color::kGreen:
      code = "32";
      break;
    case Color::kBold:
      code = "1";
      break;
    case Color::kDim:
      code = "2";
      break;
  }
  return std::string("\033[") + code + "m" + text + "\033[0m";
}

size_t DisplayWidth(const std::string& s) {
  return static_cast<size_t>(
      std::count_if(s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

Table::Table(std::vector<std::string> header) : header_(std::move(header)) {
  for (std::string& name : header_) {
    right_.push_back(name.back() == '>');
    if (right_.back()) name.pop_back();
  }
}

void Table::Add(std::vector<Cell> row) {
  row.resize(header_.size(), Cell(""));
  rows_.push_back(std::move(row));
}

std::string Table::Render(bool color) const {
  std::vector<size_t> width;
  for (size_t i = 0; i < header_.size(); ++i) {
    size_t w = DisplayWidth(header_[i]);
    for (const auto& row : rows_) w = std::max(w, DisplayWidth(row[i].text));
    width.push_back(w);
  }
  std::string out;
  const auto line = [&](const auto& cell_of) {
    std::string text;
    for (size_t i = 0; i < header_.size(); ++i) {
      const Cell cell = cell_of(i);
      const std::string pad(width[i] - DisplayWidth(cell.text), ' ');
      const std::string painted = Paint(cell.text, cell.color, color);
      if (right_[i]) {
        text += pad + painted;
      } else {
        text += painted;
        if (i + 1 < header_.size()) text += pad;
      }
      if (i + 1 < header_.size()) text += "  ";
    }
    while (!text.empty() && text.back() == ' ') text.pop_back();
    out += text + "\n";
  };
  line([&](size_t i) { return Cell(header_[i], Color::kBold); });
  for (const auto& row : rows_) {
    line([&](size_t i) { return row[i]; });
  }
  return out;
}

std::string WithCommas(uint64_t n) {
  std::string text = std::to_string(n);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

std::string HumanBytes(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(units)) {
    bytes /= 1024;
    ++unit;
  }
  char text[48];
  std::snprintf(text, sizeof text, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return text;
}

std::vector<std::string> SplitAddresses(const std::string& text) {
  std::vector<std::string> addresses;
  std::stringstream stream(text);
  for (std::string address; std::getline(stream, address, ',');) {
    if (!address.empty()) addresses.push_back(address);
  }
  if (addresses.empty()) addresses.push_back(text);
  return addresses;
}

std::string HumanMs(double ms) {
  char text[48];
  if (ms < 10) {
    std::snprintf(text, sizeof text, "%.1f ms", ms);
  } else if (ms < 1000) {
    std::snprintf(text, sizeof text, "%.0f ms", ms);
  } else if (ms < 120e3) {
    std::snprintf(text, sizeof text, "%.1f s", ms / 1e3);
  } else if (ms < 7200e3) {
    std::snprintf(text, sizeof text, "%.0f min", ms / 60e3);
  } else if (ms < 48 * 3600e3) {
    std::snprintf(text, sizeof text, "%.0f h", ms / 3600e3);
  } else {
    std::snprintf(text, sizeof text, "%.0f d", ms / 86400e3);
  }
  return text;
}

std::string LocalTime(int64_t unix_ms) {
  const std::time_t seconds = static_cast<std::time_t>(unix_ms / 1000);
  std::tm parts = {};
  localtime_r(&seconds, &parts);
  char text[64];
  const size_t n = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  std::snprintf(text + n, sizeof text - n, ".%03d", static_cast<int>(unix_ms % 1000));
  return text;
}

}  // namespace understudy::cli
