// The few entry points of GNU OpenMP that libdnnl calls, on threads of our own.
//
// This library is loaded so that libdnnl finds these definitions before libgomp's (see flambeau/native/__init__.py).
// libgomp keeps one team for each thread that ever opened a parallel region, and its threads spin while they wait. XLA
// calls from any of its threads, so that would be several spinning teams. Here there is one team; whoever waits spins
// for some microseconds and then sleeps in the kernel, and a forked child starts a team of its own.
// Other users of libgomp in the process (PyTorch, NumPy's friends) never see any of this.

#include "threads.h"

#include "attributes.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

namespace flambeau {
namespace {

using Word = std::atomic<uint32_t>;

void sleep_while(Word& word, uint32_t value) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void wake_all(Word& word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

int from_environment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  int value = text ? std::atoi(text) : 0;
  return value > 0 ? value : otherwise;
}

// One pause takes some 20 to 50 ns, so this is around 20 microseconds: about what putting a thread to sleep costs.
const int spins = from_environment("FLAMBEAU_NATIVE_SPINS", 500);

// A word that others wait on until it changes. Nobody makes a system call unless somebody sleeps.
struct alignas(64) Signal {
  Word value{0};
  Word sleepers{0};

  void wait_while(uint32_t seen) {
    for (int i = 0; i < spins; ++i) {
      if (value.load(std::memory_order_acquire) != seen) return;
      _mm_pause();
    }
    sleepers.fetch_add(1);
    while (value.load() == seen) sleep_while(value, seen);
    sleepers.fetch_sub(1);
  }

  void raise() {
    value.fetch_add(1);
    if (sleepers.load()) wake_all(value);
  }
};

int available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
}

// Which member of a team the current thread is.
struct Place {
  int id = 0;
  int size = 1;
  bool owner = false;       // this thread opened a region that the team works on
  int depth = 0;            // regions open; only the outermost is given to the team
  long start = 0, end = 0;  // of a statically divided loop
  long step = 0, chunk = 0, next = 0;
};
thread_local Place place;
thread_local int allowed = 1;

class Team {
 public:
  void begin(void (*body)(void*), void* data, int size) {
    region_.lock();
    while (static_cast<int>(workers_.size()) < size - 1 && hire()) {
    }
    size_ = std::min(size, static_cast<int>(workers_.size()) + 1);
    body_ = body;
    data_ = data;
    arrived_.store(0, std::memory_order_relaxed);
    pending_.store(size_ - 1, std::memory_order_relaxed);
    place.id = 0;
    place.size = size_;
    place.owner = true;
    keep_apart();
    for (int i = 0; i < size_ - 1; ++i) workers_[i]->go.raise();
  }

  void end() {
    for (;;) {
      uint32_t seen = done_.value.load(std::memory_order_acquire);
      if (pending_.load(std::memory_order_acquire) == 0) break;
      done_.wait_while(seen);
    }
    place = Place();
    region_.unlock();
  }

  void barrier() {
    uint32_t round = passed_.value.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1) == size_ - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      passed_.raise();
    } else {
      passed_.wait_while(round);
    }
  }

  void hold() { region_.lock(); }
  void release() { region_.unlock(); }

 private:
  struct Worker {
    Team* team;
    int id;
    pthread_t thread;
    Signal go;
  };

  bool hire() {
    auto* worker = new Worker{this, static_cast<int>(workers_.size()) + 1, {}, {}};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 8 << 20);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&worker->thread, &attributes, &Team::work, worker);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    if (failed) {
      delete worker;
      return false;
    }
    pthread_setname_np(worker->thread, "flambeau");
    workers_.push_back(worker);
    return true;
  }

  // Workers stay off the core of the thread that asks. The kernel wakes them there when XLA's threads, which spin for a
  // while, hold the others, and may leave them waiting for the end of a time slice.
  void keep_apart() {
    const int core = sched_getcpu();
    if (core < 0 || (core == avoided_ && size_ - 1 <= settled_)) return;
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0 || CPU_COUNT(&cores) < size_) return;
    CPU_CLR(core, &cores);
    for (auto* worker : workers_) pthread_setaffinity_np(worker->thread, sizeof cores, &cores);
    avoided_ = core;
    settled_ = static_cast<int>(workers_.size());
  }

  static void* work(void* argument) {
    auto* self = static_cast<Worker*>(argument);
    Team& team = *self->team;
    for (uint32_t seen = 0;; ++seen) {
      self->go.wait_while(seen);
      place = Place();
      place.id = self->id;
      place.size = team.size_;
      place.depth = 1;
      allowed = team.size_;
      team.body_(team.data_);
      if (team.pending_.fetch_sub(1) == 1) team.done_.raise();
    }
    return nullptr;
  }

  std::mutex region_;
  std::vector<Worker*> workers_;
  void (*body_)(void*) = nullptr;
  void* data_ = nullptr;
  int size_ = 1;
  int avoided_ = -1;  // the core that workers are kept off
  int settled_ = 0;   // of how many workers that was told
  std::atomic<int> pending_{0};
  Signal done_;
  std::atomic<int> arrived_{0};
  Signal passed_;
};

// Never destroyed: threads may still be at work while the process ends.
Team* team = new Team;
std::atomic<int> setting{0};
std::vector<std::pair<void (*)(), void (*)()>>& guards() {
  static auto* list = new std::vector<std::pair<void (*)(), void (*)()>>;
  return *list;
}

void before_fork() {
  for (auto& guard : guards()) guard.first();
  team->hold();
}

void after_fork_in_parent() {
  team->release();
  for (auto it = guards().rbegin(); it != guards().rend(); ++it) it->second();
}

void after_fork_in_child() {
  team = new Team;  // the old one's threads do not exist here
  place = Place();
  for (auto it = guards().rbegin(); it != guards().rend(); ++it) it->second();
}

__attribute__((constructor)) void register_fork_handlers() {
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

}  // namespace

int num_threads() {
  int threads = setting.load(std::memory_order_relaxed);
  if (threads) return threads;
  static const int initial = from_environment("OMP_NUM_THREADS", available_cores());
  return initial;
}

void set_num_threads(int threads) { setting.store(std::max(1, threads)); }

Allowance::Allowance(int threads) : previous_(allowed) { allowed = threads; }
Allowance::~Allowance() { allowed = previous_; }

void at_fork(void (*hold)(), void (*release)()) { guards().emplace_back(hold, release); }

}  // namespace flambeau

using flambeau::place;

PUBLIC void flambeau_set_num_threads(int threads) { flambeau::set_num_threads(threads); }
PUBLIC int flambeau_get_num_threads() { return flambeau::num_threads(); }

// How many regions libdnnl has opened here: 0 after a parallel problem means that it is bound to another OpenMP.
static std::atomic<long> regions{0};
PUBLIC long flambeau_regions() { return regions.load(); }

PUBLIC int omp_get_max_threads() { return flambeau::allowed; }
PUBLIC int omp_get_num_threads() { return place.size; }
PUBLIC int omp_get_thread_num() { return place.id; }
PUBLIC int omp_in_parallel() { return place.size > 1; }

PUBLIC void GOMP_parallel_start(void (*body)(void*), void* data, unsigned wanted) {
  regions.fetch_add(1, std::memory_order_relaxed);
  int size = wanted ? static_cast<int>(wanted) : flambeau::allowed;
  if (place.depth++ == 0 && size > 1) flambeau::team->begin(body, data, size);
}

PUBLIC void GOMP_parallel_end() {
  if (--place.depth == 0 && place.owner) flambeau::team->end();
}

PUBLIC void GOMP_barrier() {
  if (place.size > 1) flambeau::team->barrier();
}

PUBLIC bool GOMP_loop_static_next(long* first, long* last) {
  if (place.next >= place.end) return false;
  *first = place.next;
  *last = std::min(place.end, place.next + place.chunk * place.step);
  // after a single block each (chunk size not given), or the next of the round-robin blocks
  place.next += place.chunk * place.step * place.size;
  return true;
}

PUBLIC bool GOMP_loop_static_start(long start, long end, long step, long chunk, long* first, long* last) {
  if (step <= 0) std::abort();  // oneDNN counts upwards
  long count = start < end ? (end - start + step - 1) / step : 0;
  if (chunk <= 0) chunk = std::max(1L, (count + place.size - 1) / place.size);
  place.start = start;
  place.end = end;
  place.step = step;
  place.chunk = chunk;
  place.next = start + place.id * chunk * step;
  return GOMP_loop_static_next(first, last);
}

PUBLIC void GOMP_loop_end_nowait() {}
