#include "predictors/train/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace understudy::train {
namespace {

constexpr size_t kPieceBytes = 1u << 20;

void AppendNumber(std::string* out, double value, const char* format) {
  if (std::isnan(value)) return;
  char text[40];
  out->append(text, static_cast<size_t>(std::snprintf(text, sizeof text, format, value)));
}

std::string Quoted(const std::string& name) {
  if (name.find_first_of(",\"\n") == std::string::npos) return name;
  std::string out = "\"";
  for (const char c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace

Status WriteTable(const Dataset& data, const std::string& path, FileSystem* files) {
  auto file = files->OpenForWrite(path, FileSystem::OpenMode::kTruncate);
  if (!file.ok()) return file.status();
  std::string text = "part,trace,time_s,weight,time_lower_s,time_upper_s,horizon_s,label";
  for (const std::string& name : data.spec.Names()) text += "," + Quoted(name);
  text += '\n';
  uint64_t offset = 0;
  for (size_t i = 0; i < data.rows.size(); ++i) {
    const Row& row = data.rows[i];
    if (row.part == Part::kNone) continue;
    const bool known = row.failed && row.remaining_s < data.cap_s;
    const double time_s = std::max(data.interval_s / 2, std::min(row.remaining_s, data.cap_s));
    std::string features;
    for (size_t f = 0; f < data.width(); ++f) {
      features += ',';
      AppendNumber(&features, data.RowFeatures(i)[f], "%.9g");
    }
    for (const double horizon_s : data.horizons_s) {
      const Label label = LabelOf(row, horizon_s);
      text += PartName(row.part);
      text += "," + Quoted(data.trace_names[data.lives[row.life].trace]) + ",";
      AppendNumber(&text, row.time_s, "%.17g");
      text += ',';
      AppendNumber(&text, row.weight, "%.9g");
      text += ',';
      AppendNumber(&text, time_s, "%.17g");
      text += ',';
      if (known) AppendNumber(&text, time_s, "%.17g");
      text += ',';
      AppendNumber(&text, horizon_s, "%.17g");
      text += label == Label::kYes ? ",1" : label == Label::kNo ? ",0" : ",";
      text += features + "\n";
    }
    if (text.size() < kPieceBytes && i + 1 < data.rows.size()) continue;
    UNDERSTUDY_RETURN_IF_ERROR((*file)->WriteAt(offset, text));
    offset += text.size();
    text.clear();
  }
  if (!text.empty()) UNDERSTUDY_RETURN_IF_ERROR((*file)->WriteAt(offset, text));
  return (*file)->Sync();
}

}  // namespace understudy::train
