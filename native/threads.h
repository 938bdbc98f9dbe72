// The threads that oneDNN's parallel regions run on.
#pragma once

namespace flambeau {

// How many threads a large problem uses (at least 1).
int num_threads();
void set_num_threads(int threads);

// While one of these lives, oneDNN sees `threads` as the number it may use from this thread.
class Allowance {
 public:
  explicit Allowance(int threads);
  ~Allowance();
  Allowance(const Allowance&) = delete;
  Allowance& operator=(const Allowance&) = delete;

 private:
  int previous_;
};

// Registers what has to be held while the process forks; `hold` and `release` guard other state of this library.
void at_fork(void (*hold)(), void (*release)());

}  // namespace flambeau
