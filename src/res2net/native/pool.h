// A few threads that do the same function together: they wait a little awake, then asleep.
#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace r2n {

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads) {
    for (int t = 1; t < threads; ++t) workers_.emplace_back([this, t] { work(t); });
  }

  ~Pool() {
    {
      std::lock_guard<std::mutex> hold(mutex_);
      stop_ = true;
      turn_.fetch_add(1);
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
  }

  int threads() const { return threads_; }

  // Before anything that threads of the last run may still look at is changed.
  void settle() {
    for (int i = 0; left_.load(std::memory_order_acquire); ++i) pause(i);
  }

  // Start f(context, thread) on every other thread and run it on this one. It returns when this
  // thread is through: the others may still find that nothing is left. One caller at a time.
  void run(void (*f)(void*, int), void* context) {
    if (threads_ == 1) return f(context, 0);
    settle();
    f_ = f;
    context_ = context;
    left_.store(threads_ - 1);
    {
      std::lock_guard<std::mutex> hold(mutex_);
      turn_.fetch_add(1);
    }
    wake_.notify_all();
    f(context, 0);
  }

  static void pause(int i) {
    if (i < kAwake) relax();
    else std::this_thread::yield();
  }

 private:
  static constexpr int kAwake = 20000;  // pauses, some hundred microseconds

  void work(int thread) {
    int seen = 0;
    for (;;) {
      for (int i = 0; i < kAwake && turn_.load(std::memory_order_acquire) == seen; ++i) relax();
      if (turn_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> hold(mutex_);
        wake_.wait(hold, [&] { return turn_.load() != seen; });
      }
      ++seen;
      if (stop_) return;
      f_(context_, thread);
      left_.fetch_sub(1, std::memory_order_release);
    }
  }

  const int threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<int> turn_{0}, left_{0};
  std::atomic<bool> stop_{false};
  void (*f_)(void*, int) = nullptr;
  void* context_ = nullptr;
};

}  // namespace r2n
