#include "tests/linearizability/history.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace understudy::linearizability {

namespace {

using Json = nlohmann::json;

// Numbers and texts are the same to a store that answers texts.
std::string Text(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

int64_t Number(const Json& value) {
  return value.is_boolean() ? static_cast<int64_t>(value.get<bool>()) : value.get<int64_t>();
}

std::vector<std::string> Elements(const Json& value) {
  std::vector<std::string> elements;
  for (const Json& element : value) {
    elements.push_back(Text(element));
  }
  return elements;
}

RegisterOperation ReadRegister(const Span& span, const std::string& name, const Json& line) {
  RegisterOperation operation;
  operation.span = span;
  operation.key = Text(line.at("key"));
  const bool answered = !span.open();
  if (name == "get") {
    operation.kind = RegisterKind::kGet;
    if (answered && !line.at("result").is_null()) {
      operation.value = Text(line.at("result"));
    }
  } else if (name == "set") {
    operation.kind = RegisterKind::kSet;
    operation.argument = Text(line.at("arg"));
  } else if (name == "del") {
    operation.kind = RegisterKind::kDel;
    operation.number = answered ? Number(line.at("result")) : 0;
  } else if (name == "cas") {
    operation.kind = RegisterKind::kCas;
    operation.expected = Text(line.at("arg").at(0));
    operation.argument = Text(line.at("arg").at(1));
    operation.number = answered ? Number(line.at("result")) : 0;
  } else {
    operation.kind = RegisterKind::kIncr;
    operation.amount = Number(line.at("arg"));
    operation.number = answered ? Number(line.at("result")) : 0;
  }
  return operation;
}

Transaction ReadTransaction(const Span& span, const std::string& name, const Json& line, bool failed) {
  Transaction transaction;
  transaction.span = span;
  transaction.failed = failed;
  const bool answered = !span.open() && !failed;
  if (name == "append") {
    transaction.steps.push_back({true, Text(line.at("key")), Text(line.at("arg")), {}});
  } else if (name == "read") {
    transaction.steps.push_back(
        {false, Text(line.at("key")), {}, answered ? Elements(line.at("result")) : std::vector<std::string>()});
  } else {
    size_t at = 0;
    for (const Json& step : line.at("arg")) {
      const bool append = step.at(0).get<std::string>() == "append";
      transaction.steps.push_back(
          {append, Text(step.at(1)), append ? Text(step.at(2)) : std::string(),
           !append && answered ? Elements(line.at("result").at(at)) : std::vector<std::string>()});
      ++at;
    }
  }
  return transaction;
}

}  // namespace

Result<History> ReadHistory(std::istream& in) {
  static const std::set<std::string> kRegister = {"get", "set", "del", "cas", "incr"};
  static const std::set<std::string> kList = {"append", "read", "txn"};
  History history;
  std::set<std::string> list_keys;
  std::string text;
  for (size_t number = 1; std::getline(in, text); ++number) {
    if (text.empty()) {
      continue;
    }
    const auto refuse = [number](const std::string& why) {
      return Status(StatusCode::kInvalidArgument, "line " + std::to_string(number) + " of the history: " + why);
    };
    try {
      const Json line = Json::parse(text);
      Span span;
      span.process = line.at("process").get<int64_t>();
      span.invoked_ns = line.at("invoked_ns").get<int64_t>();
      if (line.contains("completed_ns") && !line.at("completed_ns").is_null()) {
        span.completed_ns = line.at("completed_ns").get<int64_t>();
      }
      span.line = number;
      if (span.completed_ns < span.invoked_ns) {
        return refuse("completed before it was invoked");
      }
      const std::string name = line.at("op").get<std::string>();
      const bool failed = line.value("failed", false);
      ++history.operations;
      history.open += span.open() ? 1 : 0;
      if (kRegister.count(name) != 0) {
        if (!failed) {
          RegisterOperation operation = ReadRegister(span, name, line);
          std::vector<RegisterOperation>& of_key = history.registers[operation.key];
          of_key.push_back(std::move(operation));
        }
      } else if (kList.count(name) != 0) {
        history.transactions.push_back(ReadTransaction(span, name, line, failed));
        for (const ListStep& step : history.transactions.back().steps) {
          list_keys.insert(step.key);
        }
      } else {
        return refuse("unknown operation '" + name + "'");
      }
    } catch (const Json::exception& error) {
      return refuse(error.what());
    }
  }
  for (const std::string& key : list_keys) {
    if (history.registers.count(key) != 0) {
      return Status(StatusCode::kInvalidArgument, "key '" + key + "' is used as a register and as a list");
    }
  }
  return history;
}

}  // namespace understudy::linearizability
