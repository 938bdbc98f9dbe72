// Sums over the rows of a matrix (rows, channels), as batch normalization needs them: one pass over memory each.
//
// Rows are taken in blocks that stay in the cache: their sums are single precision, the sums of blocks double.

#include <utility>
#include <vector>

#include "attributes.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace ffi = xla::ffi;

namespace flambeau {
namespace {

using Floats = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Floats>;

constexpr int64_t block_rows = 32;
constexpr int64_t small_problem = 1 << 15;  // elements: fewer are summed by the thread that asks

VECTORISED void add_rows(const float* x, int64_t rows, int64_t channels, float* sum) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * channels;
    for (int64_t c = 0; c < channels; ++c) sum[c] += row[c];
  }
}

VECTORISED void add_squares(const float* x, int64_t rows, int64_t channels, const float* mean, float* sum) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float d = row[c] - mean[c];
      sum[c] += d * d;
    }
  }
}

VECTORISED void add_products(const float* a, const float* x, int64_t rows, int64_t channels, const float* mean, float* sum,
                             float* product) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* left = a + r * channels;
    const float* right = x + r * channels;
    for (int64_t c = 0; c < channels; ++c) {
      sum[c] += left[c];
      product[c] += left[c] * (right[c] - mean[c]);
    }
  }
}

// Mean and sum of squared deviations of some rows.
struct Moments {
  explicit Moments(int64_t channels) : mean(channels), squares(channels) {}

  // Chan, Golub and LeVeque (1979): the moments of two sets together.
  void join(int64_t more, const float* other_mean, const float* other_squares) {
    const double part = double(more) / double(count + more);
    for (size_t c = 0; c < mean.size(); ++c) {
      const double d = other_mean[c] - mean[c];
      squares[c] += other_squares[c] + d * d * part * double(count);
      mean[c] += d * part;
    }
    count += more;
  }

  void join(const Moments& other) {
    if (!other.count) return;
    const double part = double(other.count) / double(count + other.count);
    for (size_t c = 0; c < mean.size(); ++c) {
      const double d = other.mean[c] - mean[c];
      squares[c] += other.squares[c] + d * d * part * double(count);
      mean[c] += d * part;
    }
    count += other.count;
  }

  int64_t count = 0;
  std::vector<double> mean, squares;
};

int members_for(int64_t elements) { return elements < small_problem ? 1 : num_threads(); }

ffi::Error moments(Floats x, Result mean, Result variance) {
  const auto sizes = x.dimensions();
  if (sizes.size() != 2) return ffi::Error::InvalidArgument("moments: expected a matrix (rows, channels)");
  const int64_t rows = sizes[0], channels = sizes[1];
  const int threads = members_for(rows * channels);
  std::vector<Moments> found(threads, Moments(channels));
  parallel(threads, [&](int member, int members) {
    Moments own(channels);
    std::vector<float> sums(channels), squares(channels);
    const auto [first, last] = share(rows, member, members);
    for (int64_t r = first; r < last; r += block_rows) {
      const int64_t n = std::min(block_rows, last - r);
      const float* block = x.typed_data() + r * channels;
      std::fill(sums.begin(), sums.end(), 0.0f);
      std::fill(squares.begin(), squares.end(), 0.0f);
      add_rows(block, n, channels, sums.data());
      for (auto& s : sums) s /= float(n);
      add_squares(block, n, channels, sums.data(), squares.data());
      own.join(n, sums.data(), squares.data());
    }
    found[member] = std::move(own);
  });
  for (int i = 1; i < threads; ++i) found[0].join(found[i]);
  for (int64_t c = 0; c < channels; ++c) {
    mean->typed_data()[c] = float(found[0].mean[c]);
    variance->typed_data()[c] = float(found[0].squares[c] / double(found[0].count));
  }
  return ffi::Error::Success();
}

ffi::Error paired_sums(Floats a, Floats x, Floats mean, Floats scale, Result sum, Result product) {
  const auto sizes = a.dimensions();
  if (sizes.size() != 2) return ffi::Error::InvalidArgument("paired_sums: expected matrices (rows, channels)");
  const int64_t rows = sizes[0], channels = sizes[1];
  const int threads = members_for(rows * channels);
  std::vector<std::vector<double>> found(threads, std::vector<double>(2 * channels));
  parallel(threads, [&](int member, int members) {
    std::vector<double> own(2 * channels);
    std::vector<float> partial(2 * channels);
    const auto [first, last] = share(rows, member, members);
    for (int64_t r = first; r < last; r += block_rows) {
      const int64_t n = std::min(block_rows, last - r);
      std::fill(partial.begin(), partial.end(), 0.0f);
      add_products(a.typed_data() + r * channels, x.typed_data() + r * channels, n, channels, mean.typed_data(),
                   partial.data(), partial.data() + channels);
      for (int64_t c = 0; c < 2 * channels; ++c) own[c] += partial[c];
    }
    found[member] = std::move(own);
  });
  for (int64_t c = 0; c < channels; ++c) {
    double s = 0, p = 0;
    for (const auto& part : found) s += part[c], p += part[channels + c];
    sum->typed_data()[c] = float(s);
    product->typed_data()[c] = float(p * scale.typed_data()[c]);
  }
  return ffi::Error::Success();
}

}  // namespace
}  // namespace flambeau

PUBLIC XLA_FFI_Error* flambeau_moments(XLA_FFI_CallFrame* frame) {
  using namespace flambeau;
  static auto* handler = ffi::Ffi::Bind().Arg<Floats>().Ret<Floats>().Ret<Floats>().To(moments).release();
  return handler->Call(frame);
}

PUBLIC XLA_FFI_Error* flambeau_paired_sums(XLA_FFI_CallFrame* frame) {
  using namespace flambeau;
  static auto* handler = ffi::Ffi::Bind().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Ret<Floats>().Ret<Floats>()
      .To(paired_sums).release();
  return handler->Call(frame);
}
