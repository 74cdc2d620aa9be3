// The files of a new predictor plugin, as text.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace understudy::cli {

// Files (name, content) of a plugin called `name` (letters, digits and '_'), in "c" or "cpp".
std::vector<std::pair<std::string, std::string>> PluginFiles(const std::string& name, const std::string& language);

}  // namespace understudy::cli
