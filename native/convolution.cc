// Convolution, its gradient by the input and its gradient by the weight, as XLA custom calls on oneDNN, or over planes (planes.cc).
//
// The arrays are row-major: x (N, spatial..., C) and y (N, spatial..., O) with the channels last (of 64 bits second), w as PyTorch has it
// (O, C / groups, spatial...). w is put into the order that oneDNN likes best inside of the call.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <list>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <unordered_map>
#include <vector>

#include "attributes.h"
#include "numbers.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "parallel.h"
#include "passes.h"
#include "planes.h"
#include "winograd.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using dnnl::memory;

namespace flambeau {
namespace {

using Sizes = ffi::Span<const int64_t>;
using Key = std::vector<int64_t>;

struct KeyHash {
  size_t operator()(const Key& key) const {
    uint64_t hash = 1469598103934665603ull;
    for (int64_t value : key) hash = (hash ^ static_cast<uint64_t>(value)) * 1099511628211ull;
    return hash ^ (hash >> 29);
  }
};

// What one call computes, with shapes in oneDNN's own (and PyTorch's) order: (N, C, spatial...).
struct Problem {
  Pass pass;
  memory::data_type type;
  memory::dims x, w, y, stride, low, high, dilation;
  int64_t groups;
  int threads;
  memory::data_type weight_type;  // the gradient by the weight may be wanted in float32 beside bfloat16 images

  Key key() const {
    Key key{pass, static_cast<int64_t>(type), static_cast<int64_t>(weight_type), groups, threads,
            static_cast<int64_t>(x.size())};
    key.reserve(48);
    for (auto* part : {&x, &w, &y, &stride, &low, &high, &dilation}) key.insert(key.end(), part->begin(), part->end());
    return key;
  }
};

dnnl::engine& engine() {
  static auto* instance = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *instance;
}

dnnl::stream& stream() {
  static auto* instance = new dnnl::stream(engine());
  return *instance;
}

size_t padded(size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

// Whether some element of the kernel meets nothing but padding.
bool has_idle_taps(const Problem& p) {
  for (size_t i = 0; i < p.stride.size(); ++i) {
    for (int64_t tap = 0; tap < p.w[i + 2]; ++tap) {
      int64_t first = tap * p.dilation[i] - p.low[i];  // in the input, for the first output
      if (first < 0) first += (-first + p.stride[i] - 1) / p.stride[i] * p.stride[i];
      const int64_t last = tap * p.dilation[i] - p.low[i] + (p.y[i + 2] - 1) * p.stride[i];
      if (first >= p.x[i + 2] || first > last) return true;
    }
  }
  return false;
}

// A problem made ready to run. Immutable, so any number of threads may run it at once.
class Plan {
 public:
  explicit Plan(const Problem& p)
      : pass_(p.pass), threads_(p.threads), clears_(p.pass == BY_WEIGHT && has_idle_taps(p)) {
    const bool flat = p.x.size() == 3;
    const bool deep = p.x.size() == 5;
    const auto channels_last = flat ? memory::format_tag::nwc : deep ? memory::format_tag::ndhwc : memory::format_tag::nhwc;
    memory::dims w = p.w;
    auto row_major = flat ? memory::format_tag::oiw : deep ? memory::format_tag::oidhw : memory::format_tag::oihw;
    if (p.groups > 1) {
      w[0] /= p.groups;
      w.insert(w.begin(), p.groups);
      row_major = flat ? memory::format_tag::goiw : deep ? memory::format_tag::goidhw : memory::format_tag::goihw;
    }
    x_ = memory::desc(p.x, p.type, channels_last);
    y_ = memory::desc(p.y, p.type, channels_last);
    given_ = memory::desc(w, p.weight_type, row_major);
    const memory::desc any(w, p.type, memory::format_tag::any), any_gradient(w, p.weight_type, memory::format_tag::any);
    memory::dims dilation = p.dilation;
    for (auto& d : dilation) d -= 1;  // oneDNN counts the holes

    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto direct = dnnl::algorithm::convolution_direct;
    const dnnl::convolution_forward::primitive_desc forward(
        engine(),
        p.pass == FORWARD ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training, direct, x_, any, y_,
        p.stride, dilation, p.low, p.high, attributes);
    if (p.pass == FORWARD) {
      adopt<dnnl::convolution_forward>(forward, forward.weights_desc());
    } else if (p.pass == BY_INPUT) {
      const dnnl::convolution_backward_data::primitive_desc backward(
          engine(), direct, x_, any, y_, p.stride, dilation, p.low, p.high, forward, attributes);
      adopt<dnnl::convolution_backward_data>(backward, backward.weights_desc());
    } else {
      const dnnl::convolution_backward_weights::primitive_desc backward(
          engine(), direct, x_, any_gradient, y_, p.stride, dilation, p.low, p.high, forward, attributes);
      adopt<dnnl::convolution_backward_weights>(backward, backward.diff_weights_desc());
    }
  }

  // Bytes of memory that a run needs beside its arguments.
  size_t workspace() const { return padded(weight_bytes_) + padded(scratch_bytes_) + padded(reorder_scratch_bytes_); }
  const std::string& implementation() const { return implementation_; }

  void run(void* x, void* w, void* y, char* space) const {
    Allowance allowance(threads_);
    const bool reorders = static_cast<bool>(reorder_);
    if (clears_) {  // some of oneDNN's kernels leave what meets only padding as it was
      if (workspace()) std::memset(space, 0, workspace());
      std::memset(w, 0, given_.get_size());
    }
    memory given(given_, engine(), w);
    memory chosen = reorders ? memory(chosen_, engine(), space) : given;
    memory scratch(scratch_, engine(), space + padded(weight_bytes_));
    memory reorder_scratch(reorder_scratch_, engine(), space + padded(weight_bytes_) + padded(scratch_bytes_));
    memory input(x_, engine(), x), output(y_, engine(), y);
    if (reorders && pass_ != BY_WEIGHT) {
      reorder_.execute(stream(), {{DNNL_ARG_FROM, given}, {DNNL_ARG_TO, chosen}, {DNNL_ARG_SCRATCHPAD, reorder_scratch}});
    }
    const bool by_input = pass_ == BY_INPUT, forward = pass_ == FORWARD;
    primitive_.execute(stream(), {{by_input ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, input},
                                  {pass_ == BY_WEIGHT ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, chosen},
                                  {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, output},
                                  {DNNL_ARG_SCRATCHPAD, scratch}});
    if (reorders && pass_ == BY_WEIGHT) {
      reorder_.execute(stream(), {{DNNL_ARG_FROM, chosen}, {DNNL_ARG_TO, given}, {DNNL_ARG_SCRATCHPAD, reorder_scratch}});
    }
  }

 private:
  template <typename Primitive, typename Description>
  void adopt(const Description& description, const memory::desc& chosen) {
    primitive_ = Primitive(description);
    implementation_ = description.impl_info_str();
    scratch_ = description.scratchpad_desc();
    scratch_bytes_ = scratch_.get_size();
    if (chosen == given_) return;
    chosen_ = chosen;
    weight_bytes_ = chosen.get_size();
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const bool out = pass_ == BY_WEIGHT;
    const dnnl::reorder::primitive_desc reorder(engine(), out ? chosen : given_, engine(), out ? given_ : chosen, attributes);
    reorder_ = dnnl::reorder(reorder);
    reorder_scratch_ = reorder.scratchpad_desc();
    reorder_scratch_bytes_ = reorder_scratch_.get_size();
  }

  Pass pass_;
  int threads_;
  bool clears_;
  dnnl::primitive primitive_, reorder_;
  memory::desc x_, y_, given_, chosen_, scratch_, reorder_scratch_;
  size_t weight_bytes_ = 0, scratch_bytes_ = 0, reorder_scratch_bytes_ = 0;
  std::string implementation_;
};

// The plans used last. Plans are made under the lock too: oneDNN's own global state is then at rest when a process forks.
class Cache {
 public:
  std::shared_ptr<const Plan> find(const Problem& problem) {
    Key key = problem.key();
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = entries_.find(key);
    if (found != entries_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return found->second->second;
    }
    static const bool alone = (dnnl::set_primitive_cache_capacity(0), true);  // this is the cache
    (void)alone;
    Allowance allowance(problem.threads);
    auto plan = std::make_shared<const Plan>(problem);
    order_.emplace_front(key, plan);
    entries_.emplace(std::move(key), order_.begin());
    if (entries_.size() > capacity) {
      entries_.erase(order_.back().first);
      order_.pop_back();
    }
    return plan;
  }

  std::mutex mutex_;

 private:
  static constexpr size_t capacity = 1024;
  std::list<std::pair<Key, std::shared_ptr<const Plan>>> order_;
  std::unordered_map<Key, decltype(order_)::iterator, KeyHash> entries_;
};

// Blocks of memory that are kept between calls: fresh pages would cost more than many a convolution.
class Workspaces {
 public:
  struct Block {
    char* data = nullptr;
    size_t size = 0;
  };

  Block take(size_t size) {
    if (!size) return {};
    {
      std::lock_guard<std::mutex> lock(mutex_);
      size_t best = free_.size();
      for (size_t i = 0; i < free_.size(); ++i) {
        if (free_[i].size >= size && (best == free_.size() || free_[i].size < free_[best].size)) best = i;
      }
      if (best < free_.size()) {
        Block block = free_[best];
        free_.erase(free_.begin() + best);
        return block;
      }
    }
    Block block{static_cast<char*>(std::aligned_alloc(4096, padded(size))), padded(size)};
    if (!block.data) throw std::bad_alloc();
    return block;
  }

  void give_back(Block block) {
    if (!block.data) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      free_.push_back(block);
      if (free_.size() <= kept) return;
      auto smallest = std::min_element(free_.begin(), free_.end(), [](auto& a, auto& b) { return a.size < b.size; });
      block = *smallest;
      free_.erase(smallest);
    }
    std::free(block.data);
  }

  std::mutex mutex_;

 private:
  static constexpr size_t kept = 4;
  std::vector<Block> free_;
};

Cache* cache = new Cache;
Workspaces* workspaces = new Workspaces;

__attribute__((constructor)) void guard_forks() {
  at_fork([] { cache->mutex_.lock(); workspaces->mutex_.lock(); },
          [] { workspaces->mutex_.unlock(); cache->mutex_.unlock(); });
}

memory::dims dims(Sizes sizes) { return memory::dims(sizes.begin(), sizes.end()); }

memory::dims channels_second(Sizes sizes) {
  memory::dims result = dims(sizes);
  if (result.size() > 2) std::rotate(result.begin() + 1, result.end() - 1, result.end());
  return result;
}

int64_t count(const memory::dims& sizes) { return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>()); }

std::string listed(const memory::dims& sizes) {
  std::string text = "(";
  for (size_t i = 0; i < sizes.size(); ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + ")";
}

// A block of the workspaces, given back when this goes.
struct Lease {
  explicit Lease(size_t size) : block(workspaces->take(size)) {}
  ~Lease() { workspaces->give_back(block); }
  Workspaces::Block block;
};

// ---------------------------------------------------------------- the gradient by the weight, on several threads

// oneDNN adds this gradient up over its threads, and they spin for each other: beside a busy process every meeting costs a
// time slice. So each thread gets a problem of its own. Where the weight is larger than the images, it takes some of the
// output channels; otherwise it takes some of the images, and what they come to is added up at the end.

template <typename T>
void add_up(const float* parts, int64_t count, int64_t parts_count, int64_t stride, T* to, int threads) {
  parallel(threads, [&](int member, int members) {
    const auto [first, last] = share(count, member, members);
    for (int64_t i = first; i < last; ++i) {
      float sum = parts[i];
      for (int64_t part = 1; part < parts_count; ++part) sum += parts[part * stride + i];
      narrow(sum, to + i);
    }
  });
}

void by_images(const Problem& whole, char* x, void* w, char* y) {
  const int parts = static_cast<int>(std::min<int64_t>(whole.threads, whole.x[0]));
  const size_t item = memory::data_type_size(whole.type);
  const int64_t x_image = count(whole.x) / whole.x[0], y_image = count(whole.y) / whole.y[0], weights = count(whole.w);
  std::vector<std::shared_ptr<const Plan>> plans;
  size_t space = 0;
  for (int part = 0; part < parts; ++part) {
    const auto [first, last] = share(whole.x[0], part, parts);
    Problem p = whole;
    p.x[0] = p.y[0] = last - first;
    p.threads = 1;
    p.weight_type = memory::data_type::f32;
    plans.push_back(cache->find(p));
    space = std::max(space, plans.back()->workspace());
  }
  const size_t stride = padded(weights * sizeof(float));
  const Lease lease(parts * (stride + space));
  parallel(parts, [&](int member, int members) {
    for (int part = member; part < parts; part += members) {
      const int64_t first = share(whole.x[0], part, parts).first;
      plans[part]->run(x + first * x_image * item, lease.block.data + part * stride, y + first * y_image * item,
                       lease.block.data + parts * stride + part * space);
    }
  });
  const auto* sums = reinterpret_cast<const float*>(lease.block.data);
  const int threads = weights < 1 << 15 ? 1 : parts;
  if (whole.weight_type == memory::data_type::f32) {
    add_up(sums, weights, parts, stride / sizeof(float), static_cast<float*>(w), threads);
  } else {
    add_up(sums, weights, parts, stride / sizeof(float), static_cast<BFloat16*>(w), threads);
  }
}

void by_channels(const Problem& whole, char* x, char* w, const char* y) {
  constexpr int64_t block = 16;  // oneDNN's kernels take so many channels at once
  const int64_t blocks = whole.w[0] / block, channels = whole.w[0], rows = count(whole.y) / channels;
  const int parts = static_cast<int>(std::min<int64_t>(whole.threads, blocks));
  const size_t item = memory::data_type_size(whole.type);
  const int64_t kernel = count(whole.w) / channels;
  std::vector<std::shared_ptr<const Plan>> plans;
  size_t space = 0, copied = 0;
  for (int part = 0; part < parts; ++part) {
    const auto [first, last] = share(blocks, part, parts);
    Problem p = whole;
    p.w[0] = p.y[1] = (last - first) * block;
    p.threads = 1;
    plans.push_back(cache->find(p));
    space = std::max(space, plans.back()->workspace());
    copied = std::max(copied, padded(rows * p.w[0] * item));
  }
  const Lease lease(parts * (copied + space));
  parallel(parts, [&](int member, int members) {
    for (int part = member; part < parts; part += members) {
      const auto [first, last] = share(blocks, part, parts);
      char* copy = lease.block.data + part * (copied + space);
      const size_t bytes = (last - first) * block * item;
      for (int64_t row = 0; row < rows; ++row) {
        std::memcpy(copy + row * bytes, y + (row * channels + first * block) * item, bytes);
      }
      plans[part]->run(x, w + first * block * kernel * memory::data_type_size(whole.weight_type), copy, copy + copied);
    }
  });
}

// Whether the gradient by the weight was computed in parts.
bool in_parts(const Problem& p, void* x, void* w, void* y) {
  if (p.groups == 1 && p.w[0] % 16 == 0 && p.w[0] >= 32 && count(p.w) > count(p.y)) {
    by_channels(p, static_cast<char*>(x), static_cast<char*>(w), static_cast<const char*>(y));
    return true;
  }
  if (p.x[0] < 2) return false;
  by_images(p, static_cast<char*>(x), w, static_cast<char*>(y));
  return true;
}

// ---------------------------------------------------------------- kernels of 3 x 3 elements

// Whether it was computed with fewer multiplications.
bool by_tiles(const Problem& p, void* x, void* w, void* y) {
  const memory::dims ones{1, 1};
  if (p.type != memory::data_type::f32 || p.groups != 1 || p.x.size() != 4 || p.w[2] != 3 || p.w[3] != 3 || p.stride != ones ||
      p.dilation != ones) {
    return false;
  }
  const winograd::Problem problem{p.x[0], p.x[2], p.x[3], p.x[1], p.y[2], p.y[3], p.y[1], p.low[0], p.low[1], p.threads};
  if (!winograd::pays(p.pass, problem)) return false;
  const Lease lease(winograd::workspace(p.pass, problem));
  return winograd::run(p.pass, problem, static_cast<float*>(x), static_cast<float*>(w), static_cast<float*>(y), lease.block.data);
}

// ---------------------------------------------------------------- the calls

// Below this many multiplications waking other threads costs more than they save.
constexpr double small_problem = 4e6;

Planes planes_of(const Problem& p, bool channels_last) {
  Planes made{p.x[0], p.groups, p.x[1] / p.groups, p.y[1] / p.groups};
  const size_t spatial = p.stride.size();
  for (size_t d = 0; d < 3; ++d) {
    const bool real = d + spatial >= 3;
    const size_t from = d + spatial - 3;
    made.x[d] = real ? p.x[from + 2] : 1;
    made.kernel[d] = real ? p.w[from + 2] : 1;
    made.y[d] = real ? p.y[from + 2] : 1;
    made.stride[d] = real ? p.stride[from] : 1;
    made.low[d] = real ? p.low[from] : 0;
    made.dilation[d] = real ? p.dilation[from] : 1;
  }
  made.channels_last = channels_last;
  made.threads = p.threads;
  return made;
}

template <typename T>
void run_over_planes(const Problem& p, bool channels_last, ffi::AnyBuffer x, ffi::AnyBuffer w, ffi::AnyBuffer y) {
  over_planes(p.pass, planes_of(p, channels_last), static_cast<T*>(x.untyped_data()), static_cast<T*>(w.untyped_data()),
              static_cast<T*>(y.untyped_data()));
}

// Whether planes are quicker than oneDNN, whose vectors are of channels (benchmarks/convolutions.py).
bool is_narrow(const Problem& p) {
  const int64_t inside = p.x[1] / p.groups, outside = p.y[1] / p.groups;
  if (p.groups == 1) {
    const int64_t channels = p.pass == BY_INPUT ? inside : outside, positions = count(p.w) / (p.w[0] * p.w[1]);
    return positions > 1 && channels <= (p.pass == BY_WEIGHT ? 1 : 6);
  }
  const std::string& implementation = cache->find(p)->implementation();
  if (implementation.find("gemm") != std::string::npos) return true;  // there is no kernel for it
  const bool depthwise = inside == 1 && outside == 1;
  return depthwise && p.stride.size() > 1 && implementation.rfind("jit:", 0) == 0;  // nor for its dilation or dimensions
}

ffi::Error run(Pass pass, ffi::AnyBuffer x, ffi::AnyBuffer w, ffi::AnyBuffer y, void* result, size_t result_bytes,
               Sizes stride, Sizes low, Sizes high, Sizes dilation, int64_t groups) {
  const bool wide = x.element_type() == ffi::DataType::F64;  // whose images lie as they are
  Problem p{pass, memory::data_type::f32, wide ? dims(x.dimensions()) : channels_second(x.dimensions()), dims(w.dimensions()),
            wide ? dims(y.dimensions()) : channels_second(y.dimensions()), dims(stride), dims(low), dims(high), dims(dilation), groups,
            1, memory::data_type::f32};
  const size_t spatial = stride.size();
  if (x.element_type() == ffi::DataType::BF16) {
    p.type = p.weight_type = memory::data_type::bf16;
  } else if (x.element_type() != ffi::DataType::F32 && !wide) {
    return ffi::Error::InvalidArgument("convolution: the native kernel takes float32, float64 and bfloat16");
  }
  if (w.element_type() != x.element_type() || y.element_type() != x.element_type()) {
    return ffi::Error::InvalidArgument("convolution: input, weight and output differ in dtype");
  }
  if (spatial < 1 || spatial > 3 || p.x.size() != spatial + 2 || p.w.size() != spatial + 2 || p.y.size() != spatial + 2 ||
      low.size() != spatial || high.size() != spatial || dilation.size() != spatial || groups < 1) {
    return ffi::Error::InvalidArgument("convolution: the shapes and settings do not agree in their number of dimensions");
  }
  if (result_bytes == 0) return ffi::Error::Success();
  if (!count(p.x) || !count(p.w) || !count(p.y)) {
    std::memset(result, 0, result_bytes);  // a sum over nothing
    return ffi::Error::Success();
  }
  const double work = double(count(p.y)) * double(count(p.w)) / double(p.w[0]);
  p.threads = work < small_problem ? 1 : num_threads();
  try {
    if (wide) {
      run_over_planes<double>(p, false, x, w, y);
      return ffi::Error::Success();
    }
    if (by_tiles(p, x.untyped_data(), w.untyped_data(), y.untyped_data())) return ffi::Error::Success();
    if (p.type == memory::data_type::f32 && is_narrow(p)) {
      run_over_planes<float>(p, true, x, w, y);
      return ffi::Error::Success();
    }
    if (pass == BY_WEIGHT && p.threads > 1 && in_parts(p, x.untyped_data(), w.untyped_data(), y.untyped_data())) {
      return ffi::Error::Success();
    }
    const auto plan = cache->find(p);
    const Lease lease(plan->workspace());
    plan->run(x.untyped_data(), w.untyped_data(), y.untyped_data(), lease.block.data);
  } catch (const std::exception& error) {
    const char* names[] = {"", "_input", "_weight"};
    return ffi::Error::Internal("oneDNN cannot run convolution" + std::string(names[pass]) + " with input " + listed(p.x) +
                                ", weight " + listed(p.w) + ", output " + listed(p.y) + ", stride " + listed(p.stride) +
                                ", padding " + listed(p.low) + " and " + listed(p.high) + ", dilation " + listed(p.dilation) +
                                ", groups " + std::to_string(groups) + ": " + error.what() +
                                ". FLAMBEAU_NATIVE=0 in the environment turns the native kernels off.");
  }
  return ffi::Error::Success();
}

ffi::Error forward(ffi::AnyBuffer x, ffi::AnyBuffer w, ffi::Result<ffi::AnyBuffer> y, Sizes stride, Sizes low, Sizes high,
                   Sizes dilation, int64_t groups) {
  return run(FORWARD, x, w, *y, y->untyped_data(), y->size_bytes(), stride, low, high, dilation, groups);
}

ffi::Error by_input(ffi::AnyBuffer g, ffi::AnyBuffer w, ffi::Result<ffi::AnyBuffer> x, Sizes stride, Sizes low, Sizes high,
                    Sizes dilation, int64_t groups) {
  return run(BY_INPUT, *x, w, g, x->untyped_data(), x->size_bytes(), stride, low, high, dilation, groups);
}

ffi::Error by_weight(ffi::AnyBuffer x, ffi::AnyBuffer g, ffi::Result<ffi::AnyBuffer> w, Sizes stride, Sizes low, Sizes high,
                     Sizes dilation, int64_t groups) {
  return run(BY_WEIGHT, x, *w, g, w->untyped_data(), w->size_bytes(), stride, low, high, dilation, groups);
}

auto binding() {
  return ffi::Ffi::Bind().Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
      .Attr<Sizes>("stride").Attr<Sizes>("padding_low").Attr<Sizes>("padding_high").Attr<Sizes>("dilation")
      .Attr<int64_t>("groups");
}

}  // namespace
}  // namespace flambeau

#define TARGET(name, function)                                                      \
  PUBLIC XLA_FFI_Error* name(XLA_FFI_CallFrame* frame) {                            \
    static auto* handler = flambeau::binding().To(flambeau::function).release();    \
    return handler->Call(frame);                                                    \
  }

TARGET(flambeau_convolution, forward)
TARGET(flambeau_convolution_input, by_input)
TARGET(flambeau_convolution_weight, by_weight)

PUBLIC const char* flambeau_onednn_version() {
  static const std::string version = [] {
    const dnnl_version_t* v = dnnl_version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  }();
  return version.c_str();
}

// Whether this processor has what oneDNN's bfloat16 kernels need.
PUBLIC int flambeau_has_bfloat16() {
  return dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core;
}

PUBLIC int flambeau_isa() { return flambeau::isa(); }
