// A parallel region on the threads of threads.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "threads.h"

extern "C" {
void GOMP_parallel_start(void (*body)(void*), void* data, unsigned wanted);
void GOMP_parallel_end();
int omp_get_thread_num();
int omp_get_num_threads();
}

namespace flambeau {

// Runs `work(member, members)` on up to `threads` threads, this one among them.
template <class Work>
void parallel(int threads, Work work) {
  if (threads <= 1) return work(0, 1);
  auto body = [](void* data) { (*static_cast<Work*>(data))(omp_get_thread_num(), omp_get_num_threads()); };
  GOMP_parallel_start(body, &work, static_cast<unsigned>(threads));
  body(&work);
  GOMP_parallel_end();
}

// The part [first, last) of `total` items that falls to a member.
inline std::pair<int64_t, int64_t> share(int64_t total, int member, int members) {
  return {total * member / members, total * (member + 1) / members};
}

}  // namespace flambeau
