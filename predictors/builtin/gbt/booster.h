// One trained XGBoost ensemble (predictors/train makes them), read from XGBoost's model format and walked here: for one
// row XGBoost's own interface costs several times what its trees do, and its reader trusts what it reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace understudy::gbt {

class BoosterError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Immutable; any thread.
class Booster {
 public:
  // From XGBoost's UBJSON, as of 1.7: regression trees (gbtree) with numerical splits and one output. Any bytes are
  // safe; throws BoosterError, also when there are more than kFeaturesMax + 1 features.
  static std::shared_ptr<const Booster> Load(std::string_view bytes);

  size_t features() const { return features_; }
  const std::string& objective() const { return objective_; }  // "binary:logistic"
  // Raw margins of `rows` rows of features() values each, row after row; NaN is missing. out.size() is rows. Bit by bit
  // XGBoost's answer. Throws BoosterError when the sizes are wrong.
  void Margins(std::span<const float> values, size_t rows, std::span<float> out) const;

 private:
  struct Node {
    float value = 0;  // what smaller values go left of; of a leaf: what it adds
    uint32_t feature = 0;
    int32_t left = -1;  // -1: a leaf. Children are places in nodes_
    int32_t right = -1;
    bool missing_left = false;
  };
  Booster() = default;

  size_t features_ = 0;
  std::string objective_;
  float base_ = 0;
  std::vector<Node> nodes_;
  std::vector<int32_t> roots_;
};

}  // namespace understudy::gbt
