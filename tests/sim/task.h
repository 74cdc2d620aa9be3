// A function to be run once, moved and never copied; small ones need no allocation. std::function would cost the
// simulator a third of its speed.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace understudy::sim {

class Task {
 public:
  Task() = default;
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, Task>>>
  Task(F&& function) {  // NOLINT: implicit, so that lambdas can be handed over
    using Function = std::decay_t<F>;
    if constexpr (sizeof(Function) <= kInlineBytes && std::is_nothrow_move_constructible_v<Function>) {
      new (buffer_) Function(std::forward<F>(function));
      table_ = &kInline<Function>;
    } else {
      *reinterpret_cast<Function**>(buffer_) = new Function(std::forward<F>(function));
      table_ = &kHeap<Function>;
    }
  }
  Task(Task&& other) noexcept { Take(other); }
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      Clear();
      Take(other);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { Clear(); }

  explicit operator bool() const { return table_ != nullptr; }
  void operator()() { table_->run(buffer_); }

 private:
  static constexpr size_t kInlineBytes = 48;
  struct Table {
    void (*run)(void*);
    void (*move)(void* from, void* to);
    void (*destroy)(void*);
  };
  template <class F>
  static constexpr Table kInline = {[](void* at) { (*static_cast<F*>(at))(); },
                                    [](void* from, void* to) {
                                      new (to) F(std::move(*static_cast<F*>(from)));
                                      static_cast<F*>(from)->~F();
                                    },
                                    [](void* at) { static_cast<F*>(at)->~F(); }};
  template <class F>
  static constexpr Table kHeap = {[](void* at) { (**static_cast<F**>(at))(); },
                                  [](void* from, void* to) { *static_cast<F**>(to) = *static_cast<F**>(from); },
                                  [](void* at) { delete *static_cast<F**>(at); }};
  void Take(Task& other) {
    table_ = other.table_;
    if (table_ != nullptr) table_->move(other.buffer_, buffer_);
    other.table_ = nullptr;
  }
  void Clear() {
    if (table_ != nullptr) table_->destroy(buffer_);
    table_ = nullptr;
  }

  const Table* table_ = nullptr;
  alignas(std::max_align_t) unsigned char buffer_[kInlineBytes];
};

}  // namespace understudy::sim
