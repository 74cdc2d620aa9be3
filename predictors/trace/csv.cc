#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "predictors/trace/trace.h"

namespace understudy::trace {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

// A position in the text, for messages: line and column count from 1, columns in fields.
class Place {
 public:
  Place(std::string_view where) : where_(where) {}  // NOLINT: one argument, one meaning
  Status Bad(size_t line, size_t field, const std::string& what) const {
    return {StatusCode::kInvalidArgument,
            std::string(where_) + ":" + std::to_string(line) + ":" + std::to_string(field) + ": " + what};
  }

 private:
  std::string_view where_;
};

std::string Quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, 40)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  return out + (text.size() > 40 ? "...'" : "'");
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes one line off the front, without its end.
std::string_view TakeLine(std::string_view* rest) {
  const size_t end = rest->find('\n');
  std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// Takes one field off the front; *last: it was the line's last.
std::string_view TakeField(std::string_view* line, bool* last) {
  const size_t comma = line->find(',');
  std::string_view field = line->substr(0, comma);
  *last = comma == std::string_view::npos;
  line->remove_prefix(*last ? line->size() : comma + 1);
  return field;
}

std::string CheckName(std::string_view name) {
  if (name.empty()) return "a metric without a name";
  if (name.size() > kMetricNameBytesMax) return "a metric's name has at most 128 bytes";
  for (const char c : name) {
    if (c == '"' || c == ',' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      return "metric " + Quoted(name) + ": a name has no quotes, commas or control characters";
    }
  }
  return "";
}

bool IsNan(std::string_view text) {
  return text.size() == 3 && (text[0] | 32) == 'n' && (text[1] | 32) == 'a' && (text[2] | 32) == 'n';
}

// Empty and NaN are missing; anything else must be a finite number. False: it is not.
bool ParseNumber(std::string_view field, double* out) {
  const char* end = field.data() + field.size();
  const std::from_chars_result result = std::from_chars(field.data(), end, *out);
  if (result.ec == std::errc() && result.ptr == end && !field.empty() && std::isfinite(*out)) return true;
  field = Trim(field);
  if (field.empty() || IsNan(field)) {
    *out = kMissing;
    return true;
  }
  if (field.front() == '+') field.remove_prefix(1);
  end = field.data() + field.size();
  const std::from_chars_result again = std::from_chars(field.data(), end, *out);
  if (again.ptr != end) return false;
  // Too near to zero for a double is zero; too large is not a number a metric can have.
  if (again.ec == std::errc::result_out_of_range) {
    const std::string copy(field);
    *out = std::strtod(copy.c_str(), nullptr);
  } else if (again.ec != std::errc()) {
    return false;
  }
  return std::isfinite(*out);
}

Status ParseHeader(std::string_view line, const Place& place, Trace* trace) {
  bool last = false;
  const std::string_view time = Trim(TakeField(&line, &last));
  if (time != "time_s") return place.Bad(1, 1, "the first column must be time_s, not " + Quoted(time));
  for (size_t field = 2; !last; ++field) {
    const std::string_view name = Trim(TakeField(&line, &last));
    if (trace->metrics.size() == kMetricsMax) {
      return {StatusCode::kResourceExhausted, place.Bad(1, field, "more than 1024 metrics").message()};
    }
    if (const std::string bad = CheckName(name); !bad.empty()) return place.Bad(1, field, bad);
    if (std::find(trace->metrics.begin(), trace->metrics.end(), name) != trace->metrics.end()) {
      return place.Bad(1, field, "metric " + Quoted(name) + " stands here twice");
    }
    trace->metrics.emplace_back(name);
  }
  if (trace->metrics.empty()) return place.Bad(1, 2, "no metric: a trace has at least one column beside time_s");
  return {};
}

void AppendNumber(double value, std::string* out) {
  if (!std::isfinite(value)) return;
  char text[32];
  const std::to_chars_result result = std::to_chars(text, text + sizeof text, value);
  out->append(text, result.ptr);
}

}  // namespace

Status ParseCsv(const std::string& text, const std::string& where, TimeFaults time_faults, Trace* trace) {
  const Place place(where);
  trace->metrics.clear();
  trace->time_s.clear();
  trace->columns.clear();
  trace->time_faults = 0;
  std::string_view rest = text;
  if (rest.substr(0, 3) == "\xEF\xBB\xBF") rest.remove_prefix(3);  // a byte order mark, as spreadsheets write
  UNDERSTUDY_RETURN_IF_ERROR(ParseHeader(TakeLine(&rest), place, trace));

  const size_t metrics = trace->metrics.size();
  const size_t rows_max = 1 + static_cast<size_t>(std::count(rest.begin(), rest.end(), '\n'));
  if (rows_max > kCellsMax / (metrics + 1)) {
    return {StatusCode::kResourceExhausted, where + ": " + std::to_string(rows_max) + " rows of " +
                                                std::to_string(metrics) + " metrics are more than fit (2^27 numbers)"};
  }
  trace->time_s.reserve(rows_max);
  trace->columns.resize(metrics);
  for (std::vector<double>& column : trace->columns) column.reserve(rows_max);

  double latest = 0;
  for (size_t line_number = 2; !rest.empty(); ++line_number) {
    std::string_view line = TakeLine(&rest);
    if (Trim(line).empty()) {
      if (rest.find_first_not_of(" \t\r\n") == std::string_view::npos) break;  // nothing but empty lines is left
      return place.Bad(line_number, 1, "an empty line");
    }
    bool last = false;
    const std::string_view time_field = TakeField(&line, &last);
    double time = 0;
    if (!ParseNumber(time_field, &time) || std::isnan(time)) {
      return place.Bad(line_number, 1, "time_s: " + Quoted(time_field) + " is not a number of seconds");
    }
    if (std::abs(time) > kTimeMaxS) return place.Bad(line_number, 1, "time_s: " + Quoted(time_field) + " is too far");
    const bool fault = !trace->time_s.empty() && !(time > latest);
    if (fault && time_faults == TimeFaults::kRefuse) {
      std::string before;
      AppendNumber(latest, &before);
      return place.Bad(line_number, 1,
                       "time_s: " + Quoted(time_field) + " is not after " + before + " of a row before");
    }
    latest = fault ? latest : time;
    trace->time_faults += fault ? 1 : 0;
    const bool kept = !fault || time_faults == TimeFaults::kKeep;
    if (kept) trace->time_s.push_back(time);
    for (size_t m = 0; m < metrics; ++m) {
      if (last) {
        return place.Bad(line_number, m + 2,
                         "the row ends after " + std::to_string(m + 1) + " of " + std::to_string(metrics + 1) +
                             " columns; a missing value is an empty field");
      }
      const std::string_view field = TakeField(&line, &last);
      double value = 0;
      if (!ParseNumber(field, &value)) {
        return place.Bad(line_number, m + 2, trace->metrics[m] + ": " + Quoted(field) + " is not a finite number");
      }
      if (kept) trace->columns[m].push_back(value);
    }
    if (!last) {
      return place.Bad(line_number, metrics + 2, "more columns than the " + std::to_string(metrics + 1) + " of line 1");
    }
  }
  if (trace->time_s.empty()) return place.Bad(2, 1, "a trace without rows");
  return {};
}

Result<std::string> FormatCsv(const Trace& trace) {
  const auto invalid = [](const std::string& why) { return Status(StatusCode::kInvalidArgument, why); };
  if (trace.metrics.empty() || trace.metrics.size() > kMetricsMax) return invalid("a trace has 1 to 1024 metrics");
  if (trace.columns.size() != trace.metrics.size()) return invalid("a trace has one column a metric");
  std::string out = "time_s";
  for (size_t m = 0; m < trace.metrics.size(); ++m) {
    if (const std::string bad = CheckName(trace.metrics[m]); !bad.empty()) return invalid(bad);
    if (trace.columns[m].size() != trace.rows()) return invalid(trace.metrics[m] + ": not one value a row");
    out += "," + trace.metrics[m];
  }
  out += '\n';
  for (size_t row = 0; row < trace.rows(); ++row) {
    if (!(std::abs(trace.time_s[row]) <= kTimeMaxS)) return invalid("row " + std::to_string(row) + ": no time_s");
    AppendNumber(trace.time_s[row], &out);
    for (const std::vector<double>& column : trace.columns) {
      out += ',';
      AppendNumber(column[row], &out);
    }
    out += '\n';
  }
  return out;
}

}  // namespace understudy::trace
