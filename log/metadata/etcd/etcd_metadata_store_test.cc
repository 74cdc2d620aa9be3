#include "log/metadata/etcd/etcd_metadata_store.h"

#include "log/metadata/etcd/etcd_cluster_testing.h"
#include "log/metadata/metadata_store_contract.h"

namespace understudy {
namespace {

using etcd::EtcdCluster;

// One etcd for all tests of the contract, emptied between them: versions go on, as they do in life.
class EtcdHarness : public MetadataStoreHarness {
 public:
  EtcdHarness() {
    Cluster()->Etcdctl("del --from-key ''");
    Open();
  }
  MetadataStore* store() override { return store_.get(); }
  void Restart() override {
    store_.reset();
    Cluster()->Kill(0);
    Cluster()->Start(0);
    UNDERSTUDY_CHECK(Cluster()->WaitUntilServing());
    Open();
  }
  static void End() {
    delete cluster_;
    cluster_ = nullptr;
  }

 private:
  static EtcdCluster* Cluster() {
    if (cluster_ == nullptr) cluster_ = new EtcdCluster;
    return cluster_;
  }
  void Open() {
    EtcdMetadataOptions options;
    options.endpoints = Cluster()->endpoints();
    options.call_timeout_ms = 15'000;  // of a machine that has other things to do; nothing here is about time
    options.attempt_timeout_ms = 15'000;
    auto opened = OpenEtcdMetadataStore(SystemClock(), options);
    UNDERSTUDY_CHECK(opened.ok());
    store_ = std::move(opened).value();
  }
  static EtcdCluster* cluster_;
  std::unique_ptr<MetadataStore> store_;
};
EtcdCluster* EtcdHarness::cluster_ = nullptr;

class EndsEtcd : public testing::Environment {
 public:
  void TearDown() override { EtcdHarness::End(); }
};
const testing::Environment* const kEndsEtcd = testing::AddGlobalTestEnvironment(new EndsEtcd);

std::unique_ptr<MetadataStoreHarness> MakeEtcd() { return std::make_unique<EtcdHarness>(); }
INSTANTIATE_TEST_SUITE_P(Etcd, MetadataStoreContract, testing::Values(&MakeEtcd));

}  // namespace
}  // namespace understudy
