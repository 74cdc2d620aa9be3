// The fuzz targets without a fuzzer: every input of the corpus, and a slice of mutations of them. UNDERSTUDY_FUZZ_SEED
// and UNDERSTUDY_FUZZ_RUNS choose another slice; the seed is printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "client/examples/resp_kv/record.h"
#include "log/env/random.h"
#include "log/format/batch.h"
#include "log/format/chain.h"
#include "tests/fuzz/targets.h"

namespace understudy::fuzz {
namespace {

constexpr size_t kInputBytesMax = 64u << 10;

std::vector<std::string> Corpus(const std::string& target) {
  std::vector<std::string> inputs;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/corpus/" + target)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return inputs;
}

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

// One small change of the kinds that find bounds: bits, extreme numbers, cuts, repeats, and parts of other inputs.
void Mutate(Random* random, const std::vector<std::string>& corpus, std::string* input) {
  static const std::string kNumbers[] = {std::string("\x7f\xff\xff\xff", 4), std::string("\x80\0\0\0", 4),
                                         std::string("\xff\xff\xff\xff", 4), std::string("\0\0\0\0", 4),
                                         std::string("\xff\x7f", 2),         std::string("\0", 1)};
  const size_t at = random->Below(input->size() + 1);
  const size_t length = std::min(input->size() - at, size_t{1} + random->Below(16));
  switch (random->Below(7)) {
    case 0:
      if (at < input->size()) {
        (*input)[at] = static_cast<char>((*input)[at] ^ (1 << random->Below(8)));
      }
      break;
    case 1:
      if (at < input->size()) {
        (*input)[at] = static_cast<char>(random->Next64());
      }
      break;
    case 2: {
      const std::string& number = kNumbers[random->Below(std::size(kNumbers))];
      input->replace(at, std::min(number.size(), input->size() - at), number);
      break;
    }
    case 3:
      input->erase(at, length);
      break;
    case 4:
      input->insert(at, input->substr(at, length));
      break;
    case 5:
      input->resize(at);
      break;
    default: {
      const std::string& other = corpus[random->Below(corpus.size())];
      const size_t from = random->Below(other.size() + 1);
      input->insert(at, other.substr(from, random->Below(200)));
      break;
    }
  }
}

// Else the mutations would begin at inputs that are turned away at the door.
TEST(Corpus, IsWellFormed) {
  for (const std::string& input : Corpus("batch")) {
    std::string batch = input.substr(1);
    EXPECT_TRUE(VerifyBatch(batch).ok());
  }
  for (const std::string& input : Corpus("chain")) {
    const auto chain = DecodeChain(input);
    EXPECT_TRUE(chain.ok()) << chain.status().ToString();
  }
  for (const std::string& input : Corpus("resprecord")) {
    resp_kv::Store store;
    EXPECT_TRUE(resp_kv::ApplyRecord(input, &store).ok());
  }
  constexpr uint64_t kMethods = 27;  // two of them behind metadata_cas
  const uint64_t before = RpcCallsServed();
  for (const std::string& input : Corpus("rpc")) {
    Rpc(input);
  }
  // Each by itself and among all, in both protocols.
  EXPECT_EQ(RpcCallsServed() - before, 4 * (kMethods - 1));
}

class Replay : public testing::TestWithParam<Target> {};
INSTANTIATE_TEST_SUITE_P(Fuzz, Replay, testing::ValuesIn(kTargets), [](const auto& info) { return info.param.name; });

TEST_P(Replay, TheCorpus) {
  const auto corpus = Corpus(GetParam().name);
  ASSERT_GE(corpus.size(), 3U) << "run from the top of the source tree";
  for (const std::string& input : corpus) {
    GetParam().run(input);
  }
  GetParam().run("");
}

TEST_P(Replay, AndASliceOfItsMutations) {
  const auto corpus = Corpus(GetParam().name);
  ASSERT_FALSE(corpus.empty());
  const uint64_t seed = FromEnvironment("UNDERSTUDY_FUZZ_SEED", 20260712);
  const uint64_t runs = FromEnvironment("UNDERSTUDY_FUZZ_RUNS", 5'000);
  std::printf("UNDERSTUDY_FUZZ_SEED=%llu UNDERSTUDY_FUZZ_RUNS=%llu\n", static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(runs));
  SeededRandom random(seed);
  for (uint64_t run = 0; run < runs; ++run) {
    std::string input = corpus[random.Below(corpus.size())];
    for (uint64_t changes = 1 + random.Below(6); changes > 0; --changes) {
      Mutate(&random, corpus, &input);
    }
    input.resize(std::min(input.size(), kInputBytesMax));
    GetParam().run(input);
  }
}

}  // namespace
}  // namespace understudy::fuzz
