// One trained XGBoost ensemble, through XGBoost's C API. Only asked here; predictors/train makes them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace understudy::gbt {

class BoosterError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One thread at a time; starts none itself.
class Booster {
 public:
  // From the bytes of XGBoost's JSON or UBJSON model format. Throws BoosterError. Bytes from elsewhere are to be
  // checked first (the checksum of the model file): XGBoost's reader is not made for hostile ones.
  static std::shared_ptr<const Booster> Load(std::string_view bytes);
  ~Booster();
  Booster(const Booster&) = delete;
  Booster& operator=(const Booster&) = delete;

  size_t features() const { return features_; }
  const std::string& objective() const { return objective_; }  // "binary:logistic"
  // Raw margins of `rows` rows of features() values each, row after row; NaN is missing. out.size() is rows. Throws
  // BoosterError.
  void Margins(std::span<const float> values, size_t rows, std::span<float> out) const;

 private:
  Booster() = default;
  void* handle_ = nullptr;
  void* row_ = nullptr;  // XGBoost's view of what is asked about
  size_t features_ = 0;
  std::string objective_;
};

}  // namespace understudy::gbt
