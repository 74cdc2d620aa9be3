// Every known bug is caught within so many seeds. The medians of longer hunts stand in docs/testing.md.
#include "log/epoch/testing/mutants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "tests/sim/hunt.h"

namespace understudy::sim {
namespace {

// From this first seed; generous beside the medians.
uint64_t SeedsMax(Mutant mutant) {
  switch (mutant) {
    case Mutant::kCorruptIsAbsent:
    case Mutant::kSkipCopies:
    case Mutant::kThawAfterRead:
    case Mutant::kLossDespiteCoverage:
    case Mutant::kLossWithoutGap:
      return 2000;
    case Mutant::kCommitPerLog:
      return 4000;
    case Mutant::kKeepEnd:
      return 6000;
    default:
      return 500;
  }
}

class MutantsTest : public ::testing::TestWithParam<testing::MutantInfo> {
  void TearDown() override { testing::SetMutant(Mutant::kNone); }
};

TEST_P(MutantsTest, IsCaught) {
  testing::SetMutant(GetParam().mutant);
  const uint64_t seeds_max = SeedsMax(GetParam().mutant);
  Finding finding;
  const auto seeds = SeedsUntilFinding(1, seeds_max, &finding);
  ASSERT_TRUE(seeds.has_value()) << GetParam().name << " was not caught by " << seeds_max << " seeds";
  std::printf("%s: caught by seed %llu: %s: %s\n", GetParam().name, static_cast<unsigned long long>(*seeds),
              RuleName(finding.rule), finding.text.c_str());
}

INSTANTIATE_TEST_SUITE_P(All, MutantsTest, ::testing::ValuesIn(testing::Mutants()), [](const auto& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(Mutants, AreAllOfThem) { EXPECT_EQ(testing::Mutants().size(), 21u); }

TEST(Mutants, NoneIsChosenUnasked) {
  EXPECT_TRUE(testing::MutantsBuiltIn());
  Finding finding;
  EXPECT_FALSE(SeedsUntilFinding(1, 20, &finding).has_value()) << finding.text;
}

}  // namespace
}  // namespace understudy::sim
