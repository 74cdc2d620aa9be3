// What every MetadataStore must do, as tests. A store's own test file says
//   INSTANTIATE_TEST_SUITE_P(Etcd, MetadataStoreContract, testing::Values(&MakeEtcdHarness));
// and links metadata_store_contract.cc.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "log/metadata/metadata_calls_testing.h"
#include "log/metadata/metadata_store.h"

namespace understudy {

// A store with nothing in it at first.
class MetadataStoreHarness {
 public:
  virtual ~MetadataStoreHarness() = default;
  virtual MetadataStore* store() = 0;
  virtual void Restart() = 0;  // closes and opens again; store() may be another object afterwards
};

class MetadataStoreContract : public testing::TestWithParam<std::unique_ptr<MetadataStoreHarness> (*)()> {
 protected:
  void SetUp() override { harness_ = GetParam()(); }
  MetadataStore* store() { return harness_->store(); }

  Result<std::optional<MetadataEntry>> Get(const std::string& key) { return GetNow(store(), key); }
  Result<std::vector<MetadataEntry>> List(const std::string& prefix, size_t limit = 1000) {
    return ListNow(store(), prefix, limit);
  }
  Result<uint64_t> Swap(const std::string& key, uint64_t expected, const std::string& value) {
    return SwapNow(store(), key, expected, value);
  }
  Result<uint64_t> Delete(const std::string& key, uint64_t expected) { return DeleteNow(store(), key, expected); }

  std::unique_ptr<MetadataStoreHarness> harness_;
};

}  // namespace understudy
