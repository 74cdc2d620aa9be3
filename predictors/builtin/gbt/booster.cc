#include "predictors/builtin/gbt/booster.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "predictors/builtin/gbt/features.h"

namespace understudy::gbt {
namespace {

using Json = nlohmann::json;

constexpr int kDepthMax = 16;  // XGBoost nests 7 deep

// Stops at what would become larger than it is: in UBJSON a few bytes can claim any number of values.
class Bounded : public Json::json_sax_t {
 public:
  explicit Bounded(size_t values_max) : left_(values_max) {}
  bool null() override { return One(); }
  bool boolean(bool) override { return One(); }
  bool number_integer(int64_t) override { return One(); }
  bool number_unsigned(uint64_t) override { return One(); }
  bool number_float(double, const std::string&) override { return One(); }
  bool string(std::string&) override { return One(); }
  bool binary(Json::binary_t&) override { return One(); }
  bool key(std::string&) override { return One(); }
  bool start_object(size_t) override { return One() && ++depth_ <= kDepthMax; }
  bool start_array(size_t) override { return One() && ++depth_ <= kDepthMax; }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  bool One() { return left_ > 0 && left_-- > 0; }
  size_t left_;
  int depth_ = 0;
};

const Json& At(const Json& json, const char* path) {
  const Json::json_pointer pointer(path);
  if (!json.contains(pointer)) throw BoosterError(std::string("the booster has no ") + path);
  return json[pointer];
}

// XGBoost writes its parameters as texts.
template <class T>
T Parameter(const Json& json, const char* path) {
  const Json& text = At(json, path);
  T value = {};
  if (text.is_string()) {
    const std::string& digits = text.get_ref<const std::string&>();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc() && end == digits.data() + digits.size()) return value;
  }
  throw BoosterError(std::string("the booster's ") + path + " is no number");
}

template <class T>
std::vector<T> Numbers(const Json& tree, const char* path, size_t count) {
  const Json& json = At(tree, path);
  if (!json.is_array() || json.size() != count) throw BoosterError(std::string("a tree's ") + path + ": wrong size");
  std::vector<T> out;
  out.reserve(count);
  for (const Json& item : json) {
    if constexpr (std::is_floating_point_v<T>) {
      if (!item.is_number()) throw BoosterError(std::string("a tree's ") + path + ": no number");
      out.push_back(item.get<T>());
    } else {
      if (!item.is_number_integer() || item.get<int64_t>() < INT32_MIN || item.get<int64_t>() > INT32_MAX) {
        throw BoosterError(std::string("a tree's ") + path + ": no whole number of 32 bits");
      }
      out.push_back(item.get<T>());
    }
  }
  return out;
}

// The margin that all rows begin with.
float Base(const std::string& objective, float score) {
  if (objective == "binary:logistic") return -std::log(1.0F / score - 1.0F);
  if (objective == "survival:aft") return std::log(score);
  return score;
}

}  // namespace

std::shared_ptr<const Booster> Booster::Load(std::string_view bytes) {
  Bounded bounded(bytes.size());
  if (!Json::sax_parse(bytes.begin(), bytes.end(), &bounded, Json::input_format_t::ubjson)) {
    throw BoosterError("not XGBoost's UBJSON");
  }
  const Json json = Json::from_ubjson(bytes.begin(), bytes.end(), /*strict=*/true, /*allow_exceptions=*/false);
  if (!json.is_object()) throw BoosterError("not XGBoost's UBJSON");
  if (At(json, "/learner/gradient_booster/name") != "gbtree") throw BoosterError("only gbtree is known");
  if (Parameter<int64_t>(json, "/learner/learner_model_param/num_class") > 1) throw BoosterError("has several classes");

  std::shared_ptr<Booster> booster(new Booster());
  booster->features_ = Parameter<size_t>(json, "/learner/learner_model_param/num_feature");
  if (booster->features_ > kFeaturesMax + 1) throw BoosterError("more features than are possible");
  const Json& objective = At(json, "/learner/objective/name");
  if (!objective.is_string()) throw BoosterError("the booster does not say its objective");
  booster->objective_ = objective.get<std::string>();
  booster->base_ = Base(booster->objective_, Parameter<float>(json, "/learner/learner_model_param/base_score"));
  if (!std::isfinite(booster->base_)) throw BoosterError("the booster's base_score is impossible");

  const Json& trees = At(json, "/learner/gradient_booster/model/trees");
  if (!trees.is_array()) throw BoosterError("the booster has no trees");
  for (const Json& tree : trees) {
    const size_t count = At(tree, "/left_children").size();
    const auto left = Numbers<int32_t>(tree, "/left_children", count);
    const auto right = Numbers<int32_t>(tree, "/right_children", count);
    const auto feature = Numbers<int32_t>(tree, "/split_indices", count);
    const auto value = Numbers<float>(tree, "/split_conditions", count);
    const auto missing_left = Numbers<int32_t>(tree, "/default_left", count);
    const auto kind = Numbers<int32_t>(tree, "/split_type", count);
    if (count == 0) throw BoosterError("a tree without nodes");
    const auto first = static_cast<int32_t>(booster->nodes_.size());
    std::vector<bool> has_parent(count);
    has_parent[0] = true;  // the root is nobody's child: with one parent each, what it reaches is a tree
    const auto take = [&](int32_t child) {
      if (child < 0 || static_cast<size_t>(child) >= count || has_parent[static_cast<size_t>(child)]) {
        throw BoosterError("a tree's nodes are no tree");
      }
      has_parent[static_cast<size_t>(child)] = true;
      return first + child;
    };
    for (size_t i = 0; i < count; ++i) {
      Node& node = booster->nodes_.emplace_back();
      node.value = value[i];
      if (!std::isfinite(node.value)) throw BoosterError("a tree's value is not finite");
      if (left[i] == -1) continue;
      if (kind[i] != 0) throw BoosterError("categorical splits are not known");
      if (feature[i] < 0 || static_cast<size_t>(feature[i]) >= booster->features_) {
        throw BoosterError("a tree asks for a feature that there is not");
      }
      node.feature = static_cast<uint32_t>(feature[i]);
      node.left = take(left[i]);
      node.right = take(right[i]);
      node.missing_left = missing_left[i] != 0;
    }
    booster->roots_.push_back(first);
  }
  return booster;
}

void Booster::Margins(std::span<const float> values, size_t rows, std::span<float> out) const {
  if (values.size() != rows * features_ || out.size() != rows) throw BoosterError("wrong number of features");
  for (size_t row = 0; row < rows; ++row) {
    const float* const of_row = values.data() + row * features_;
    float margin = base_;
    for (const int32_t root : roots_) {
      const Node* node = &nodes_[static_cast<size_t>(root)];
      while (node->left >= 0) {
        const float value = of_row[node->feature];
        const bool left = std::isnan(value) ? node->missing_left : value < node->value;
        node = &nodes_[static_cast<size_t>(left ? node->left : node->right)];
      }
      margin += node->value;
    }
    out[row] = margin;
  }
}

}  // namespace understudy::gbt
