// Products of two matrices by oneDNN, either of them stored transposed.

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "attributes.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace ffi = xla::ffi;
using dnnl::memory;

namespace flambeau {
namespace {

struct Plan {
  memory::desc a, b, c, scratch;
  dnnl::matmul primitive;
};

using Key = std::array<int64_t, 7>;  // rows, inner size, columns, which of them are transposed, dtype, threads

std::mutex* plans_mutex = new std::mutex;
auto* plans = new std::map<Key, std::shared_ptr<const Plan>>;
constexpr size_t most_plans = 1024;

__attribute__((constructor)) void guard_forks() {
  at_fork([] { plans_mutex->lock(); }, [] { plans_mutex->unlock(); });
}

dnnl::engine& engine() {
  static auto* instance = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *instance;
}

memory::desc matrix(int64_t rows, int64_t columns, bool transposed, memory::data_type type) {
  return memory::desc({rows, columns}, type, transposed ? memory::dims{1, rows} : memory::dims{columns, 1});
}

std::shared_ptr<const Plan> plan_for(const Key& key) {
  const auto [m, k, n, turned_a, turned_b, type_number, threads] = key;
  std::lock_guard<std::mutex> lock(*plans_mutex);
  auto found = plans->find(key);
  if (found != plans->end()) return found->second;
  Allowance allowance(static_cast<int>(threads));
  const auto type = static_cast<memory::data_type>(type_number);
  auto plan = std::make_shared<Plan>();
  plan->a = matrix(m, k, turned_a, type);
  plan->b = matrix(k, n, turned_b, type);
  plan->c = matrix(m, n, false, type);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::matmul::primitive_desc description(engine(), plan->a, plan->b, plan->c, attributes);
  plan->scratch = description.scratchpad_desc();
  plan->primitive = dnnl::matmul(description);
  if (plans->size() >= most_plans) plans->clear();
  return (*plans)[key] = plan;
}

// ---------------------------------------------------------------- a few rows times a large matrix

// c = a b for few rows of a, with b larger than the caches, as the gradient by a linear layer's input is. All that counts is
// to read b once, in long runs. oneDNN reads it in narrow panels, at half the speed from 8192 columns on.

typedef float Vector __attribute__((vector_size(64)));
constexpr int64_t lanes = 16, most_rows = 32, rows_at_once = 16, large_matrix = 2 << 20;

VECTORISED(void, stream_columns, (const float* a, const float* b, float* c, int64_t m, int64_t k, int64_t n, int64_t
           first, int64_t last), (a, b, c, m, k, n, first, last)) {
  for (int64_t row = 0; row < m; ++row) std::fill(c + row * n + first, c + row * n + last, 0.0f);
  int64_t step = 0;
  for (; step + rows_at_once <= k; step += rows_at_once) {
    const float* rows = b + step * n;
    int64_t column = first;
    for (; column + lanes <= last; column += lanes) {
      Vector right[rows_at_once];
#pragma GCC unroll 16
      for (int j = 0; j < rows_at_once; ++j) std::memcpy(&right[j], rows + j * n + column, sizeof(Vector));
      for (int64_t row = 0; row < m; ++row) {
        const float* left = a + row * k + step;
        float* to = c + row * n + column;
        Vector sum;
        std::memcpy(&sum, to, sizeof sum);
#pragma GCC unroll 16
        for (int j = 0; j < rows_at_once; ++j) sum += left[j] * right[j];
        std::memcpy(to, &sum, sizeof sum);
      }
    }
    for (; column < last; ++column) {
      for (int64_t row = 0; row < m; ++row) {
        for (int j = 0; j < rows_at_once; ++j) c[row * n + column] += a[row * k + step + j] * rows[j * n + column];
      }
    }
  }
  for (; step < k; ++step) {
    for (int64_t row = 0; row < m; ++row) {
      for (int64_t column = first; column < last; ++column) c[row * n + column] += a[row * k + step] * b[step * n + column];
    }
  }
}

void stream(const float* a, const float* b, float* c, int64_t m, int64_t k, int64_t n, int threads) {
  parallel(threads, [&](int member, int members) {
    const auto [first, last] = share(n / lanes, member, members);
    stream_columns(a, b, c, m, k, n, first * lanes, member + 1 == members ? n : last * lanes);
  });
}

// ---------------------------------------------------------------- the call

ffi::Error product(ffi::AnyBuffer a, ffi::AnyBuffer b, ffi::Result<ffi::AnyBuffer> c, bool transpose_a, bool transpose_b) {
  const auto left = a.dimensions(), right = b.dimensions();
  if (left.size() != 2 || right.size() != 2) return ffi::Error::InvalidArgument("product: expected two matrices");
  const int64_t m = left[transpose_a], k = left[!transpose_a], n = right[!transpose_b];
  if (right[transpose_b] != k) return ffi::Error::InvalidArgument("product: the inner sizes differ");
  memory::data_type type = memory::data_type::f32;
  if (a.element_type() == ffi::DataType::BF16) {
    type = memory::data_type::bf16;
  } else if (a.element_type() != ffi::DataType::F32) {
    return ffi::Error::InvalidArgument("product: the native kernel takes float32 and bfloat16");
  }
  const int threads = double(m) * double(k) * double(n) < 2e6 ? 1 : num_threads();
  if (type == memory::data_type::f32 && !transpose_a && !transpose_b && m <= most_rows && k * n >= large_matrix) {
    stream(static_cast<const float*>(a.untyped_data()), static_cast<const float*>(b.untyped_data()),
           static_cast<float*>(c->untyped_data()), m, k, n, threads);
    return ffi::Error::Success();
  }
  try {
    const auto plan = plan_for({m, k, n, transpose_a, transpose_b, static_cast<int64_t>(type), threads});
    Allowance allowance(threads);
    thread_local std::vector<char> space;
    if (space.size() < plan->scratch.get_size() + 64) space.resize(plan->scratch.get_size() + 64);
    char* aligned = space.data() + (64 - reinterpret_cast<uintptr_t>(space.data()) % 64) % 64;
    dnnl::stream stream(engine());
    plan->primitive.execute(stream, {{DNNL_ARG_SRC, memory(plan->a, engine(), a.untyped_data())},
                                     {DNNL_ARG_WEIGHTS, memory(plan->b, engine(), b.untyped_data())},
                                     {DNNL_ARG_DST, memory(plan->c, engine(), c->untyped_data())},
                                     {DNNL_ARG_SCRATCHPAD, memory(plan->scratch, engine(), aligned)}});
  } catch (const std::exception& error) {
    return ffi::Error::Internal("oneDNN cannot multiply (" + std::to_string(m) + ", " + std::to_string(k) + ") by (" +
                                std::to_string(k) + ", " + std::to_string(n) + "): " + error.what() +
                                ". FLAMBEAU_NATIVE=0 in the environment turns the native kernels off.");
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace flambeau

PUBLIC XLA_FFI_Error* flambeau_product(XLA_FFI_CallFrame* frame) {
  using namespace flambeau;
  static auto* handler = ffi::Ffi::Bind().Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
      .Attr<bool>("transpose_a").Attr<bool>("transpose_b").To(product).release();
  return handler->Call(frame);
}
