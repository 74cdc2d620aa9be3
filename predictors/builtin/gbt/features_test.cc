#include "predictors/builtin/gbt/features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "log/env/random.h"
#include "predictors/builtin/gbt/sha256.h"

namespace understudy::gbt {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000'000;

FeatureSpec Spec(WindowUnit unit = WindowUnit::kSamples) {
  FeatureSpec spec;
  spec.metrics = {"a", "b"};
  spec.unit = unit;
  spec.windows = {4, 10};
  return spec;
}

std::map<std::string, float> Features(const FeatureSpec& spec, const FeatureState& state) {
  std::vector<float> values(spec.Count());
  state.Fill(values);
  const std::vector<std::string> names = spec.Names();
  std::map<std::string, float> out;
  for (size_t i = 0; i < names.size(); ++i) out[names[i]] = values[i];
  return out;
}

TEST(Features, OfAStraightLineAreItsOwn) {
  const FeatureSpec spec = Spec();
  FeatureState state(&spec);
  for (int i = 0; i < 20; ++i) state.Observe(i * kSecond, std::vector<double>{100.0 + 3 * i, 7});
  const auto f = Features(spec, state);
  EXPECT_EQ(f.size(), spec.Count());
  EXPECT_EQ(f.at("age"), 20);
  EXPECT_EQ(f.at("a/last"), 157);
  EXPECT_FLOAT_EQ(f.at("a/mean/4"), 152.5);
  EXPECT_FLOAT_EQ(f.at("a/slope/10"), 3);
  EXPECT_FLOAT_EQ(f.at("a/slope"), 3);
  EXPECT_NEAR(f.at("a/accel/10"), 0, 1e-6);
  EXPECT_FLOAT_EQ(f.at("a/spread/4"), 3 * std::sqrt(1.25));
  EXPECT_FLOAT_EQ(f.at("a/p50/4"), 152.5);
  EXPECT_FLOAT_EQ(f.at("a/p10/10"), 130 + 0.9F * 3);
  EXPECT_FLOAT_EQ(f.at("a/change"), 157 - 104.5);  // the baseline: the first four, 100 to 109
  EXPECT_FLOAT_EQ(f.at("a/shift/4"), 152.5 - 104.5);
  EXPECT_EQ(f.at("b/slope/4"), 0);
  EXPECT_EQ(f.at("b/spread/10"), 0);
}

TEST(Features, AccelerationOfAParabolaIsPositive) {
  FeatureSpec spec = Spec();
  FeatureState state(&spec);
  for (int i = 0; i < 10; ++i) state.Observe(i * kSecond, std::vector<double>{static_cast<double>(i * i), 0});
  // Halves 0..4 and 5..9: slopes 4 and 14.
  EXPECT_FLOAT_EQ(Features(spec, state).at("a/accel/10"), 10);
}

// The windows' quantiles and sums against plain recomputation, with missing values in between.
TEST(Features, AgreeWithPlainRecomputation) {
  const FeatureSpec spec = Spec();
  FeatureState state(&spec);
  SeededRandom random(5);
  std::vector<double> history;
  for (int i = 0; i < 200; ++i) {
    const double value = random.Below(4) == 0 ? NAN : static_cast<double>(random.Below(50));
    history.push_back(value);
    state.Observe(i * kSecond, std::vector<double>{value, NAN});
    std::vector<double> window;
    for (size_t j = history.size() - std::min<size_t>(10, history.size()); j < history.size(); ++j) {
      if (!std::isnan(history[j])) window.push_back(history[j]);
    }
    const auto f = Features(spec, state);
    EXPECT_TRUE(std::isnan(f.at("b/mean/10")));
    if (window.empty()) {
      EXPECT_TRUE(std::isnan(f.at("a/mean/10")));
      continue;
    }
    double mean = 0;
    for (const double v : window) mean += v / static_cast<double>(window.size());
    std::sort(window.begin(), window.end());
    EXPECT_NEAR(f.at("a/mean/10"), mean, 1e-4);
    const double at = 0.5 * static_cast<double>(window.size() - 1);
    const double low = window[static_cast<size_t>(at)], high = window[static_cast<size_t>(std::ceil(at))];
    EXPECT_NEAR(f.at("a/p50/10"), (low + high) / 2, 1e-4);
  }
}

TEST(Features, WindowsInSecondsForgetByTime) {
  const FeatureSpec spec = Spec(WindowUnit::kSeconds);
  FeatureState state(&spec);
  for (int i = 0; i < 10; ++i) state.Observe(i * kSecond, std::vector<double>{1, 1});
  state.Observe(9 * kSecond + kSecond / 10, std::vector<double>{1e6, 1});  // ten times as often as trained: not taken
  EXPECT_EQ(state.samples(), 10u);
  state.Observe(30 * kSecond, std::vector<double>{5, 5});
  const auto f = Features(spec, state);
  EXPECT_EQ(f.at("a/mean/10s"), 5);
  EXPECT_TRUE(std::isnan(f.at("a/slope/10s")));
  EXPECT_EQ(f.at("age"), 30);
}

TEST(Features, GarbageIsMissingAndTimeDoesNotGoBack) {
  const FeatureSpec spec = Spec();
  FeatureState state(&spec);
  for (int i = 0; i < 5; ++i) state.Observe(i * kSecond, std::vector<double>{2, 2});
  state.Observe(3 * kSecond, std::vector<double>{100, 100});  // the past
  EXPECT_EQ(state.last(0), 2);
  state.Observe(6 * kSecond, std::vector<double>{1e300, INFINITY});
  EXPECT_TRUE(std::isnan(state.last(0)) && std::isnan(state.last(1)));
  const auto f = Features(spec, state);
  EXPECT_EQ(f.at("a/mean/4"), 2);
  for (const auto& [name, value] : f) EXPECT_FALSE(std::isinf(value)) << name;
}

TEST(Features, LargeLevelsDoNotSwallowSmallChanges) {
  const FeatureSpec spec = Spec();
  FeatureState state(&spec);
  for (int i = 0; i < 1000; ++i) state.Observe(i * kSecond, std::vector<double>{1e12 + i, 0});
  const auto f = Features(spec, state);
  EXPECT_NEAR(f.at("a/slope/10"), 1, 1e-6);
  EXPECT_NEAR(f.at("a/slope"), 1, 1e-6);
  EXPECT_NEAR(f.at("a/spread/10"), std::sqrt(8.25), 1e-6);
}

TEST(Features, RestoredStateAnswersBitByBitTheSameForEver) {
  for (const WindowUnit unit : {WindowUnit::kSamples, WindowUnit::kSeconds}) {
    const FeatureSpec spec = Spec(unit);
    FeatureState state(&spec);
    SeededRandom random(9);
    const auto feed = [&](FeatureState* to, int i, uint64_t noise) {
      to->Observe(i * kSecond + static_cast<int64_t>(noise % 300'000'000),
                  std::vector<double>{static_cast<double>(noise % 977) / 7, noise % 5 == 0 ? NAN : 1.0 / (1 + i)});
    };
    for (int i = 0; i < 137; ++i) feed(&state, i, random.Next64());
    FeatureState other(&spec);
    ASSERT_TRUE(other.Restore(state.Save()));
    for (int i = 137; i < 200; ++i) {
      const uint64_t noise = random.Next64();
      std::vector<float> a(spec.Count()), b(spec.Count());
      state.Fill(a);
      other.Fill(b);
      ASSERT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << i;
      feed(&state, i, noise);
      feed(&other, i, noise);
    }
    EXPECT_EQ(state.Save(), other.Save());
  }
}

TEST(Features, DamagedStatesAreRefusedAndLeaveItNew) {
  const FeatureSpec spec = Spec();
  FeatureState state(&spec);
  for (int i = 0; i < 30; ++i) state.Observe(i * kSecond, std::vector<double>{1.0 * i, 2});
  const std::string good = state.Save();
  for (size_t size = 0; size < good.size(); ++size) {
    FeatureState other(&spec);
    EXPECT_FALSE(other.Restore(std::string_view(good).substr(0, size))) << size;
    EXPECT_EQ(other.samples(), 0u);
  }
  FeatureSpec wider = spec;
  wider.metrics.push_back("c");
  FeatureState other(&wider);
  EXPECT_FALSE(other.Restore(good));
  // Any flipped bit: refused or taken, but never a crash, and it goes on working.
  for (size_t bit = 0; bit < 8 * std::min<size_t>(good.size(), 200); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    FeatureState flipped(&spec);
    flipped.Restore(bad);
    for (int i = 100; i < 130; ++i) flipped.Observe(i * kSecond, std::vector<double>{1, 2});
    Features(spec, flipped);
  }
}

TEST(Features, ResetForgetsAllAndAGapOnlyTheWindows) {
  const FeatureSpec spec = Spec();
  FeatureState state(&spec), fresh(&spec);
  for (int i = 0; i < 30; ++i) state.Observe(i * kSecond, std::vector<double>{1.0 * i, 2});
  state.ForgetWindows();
  EXPECT_FALSE(state.Ready());
  for (int i = 100; i < 104; ++i) state.Observe(i * kSecond, std::vector<double>{50, 2});
  EXPECT_EQ(Features(spec, state).at("age"), 34);
  EXPECT_FLOAT_EQ(Features(spec, state).at("a/change"), 50 - 1.5);  // against the baseline of before
  state.Reset();
  for (int i = 0; i < 5; ++i) {
    state.Observe((200 + i) * kSecond, std::vector<double>{3.0 * i, 1});
    fresh.Observe((200 + i) * kSecond, std::vector<double>{3.0 * i, 1});
  }
  EXPECT_EQ(state.Save(), fresh.Save());
}

TEST(FeatureSpec, SaysWhatIsWrong) {
  FeatureSpec spec = Spec();
  EXPECT_EQ(spec.Problem(), "");
  spec.windows = {10, 10};
  EXPECT_THAT(spec.Problem(), HasSubstr("windows[1]"));
  spec.windows = {900};
  EXPECT_THAT(spec.Problem(), HasSubstr("more than 512"));
  spec = Spec(WindowUnit::kSeconds);
  spec.interval_s = 5;
  EXPECT_THAT(spec.Problem(), HasSubstr("at least 3 samples"));
  spec = Spec();
  spec.metrics = {"a", "a"};
  EXPECT_THAT(spec.Problem(), HasSubstr("twice"));
  spec.metrics.clear();
  EXPECT_NE(spec.Problem(), "");
  for (int i = 0; i < 256; ++i) spec.metrics.push_back(std::to_string(i));
  spec.windows = {100, 500};
  EXPECT_THAT(spec.Problem(), HasSubstr("100000"));
}

TEST(Sha256, AgreesWithFips180) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  Sha256 pieces;
  for (int i = 0; i < 1000; ++i) pieces.Add(std::string(1000, 'a'));
  EXPECT_EQ(pieces.Finish(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace
}  // namespace understudy::gbt
