// The coordinator's documents (docs/cli.md) as text for people.
#pragma once

#include <string>

namespace understudy::cli {

// A document that is not as docs/cli.md says is shown as far as it is understood.
std::string RenderStatus(const std::string& document, const std::string& coordinator, bool color);

// One line an event.
std::string RenderEvents(const std::string& document, bool color);

}  // namespace understudy::cli
