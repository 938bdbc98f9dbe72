// Sums over the rows of a matrix (rows, channels), as batch normalization needs them: one pass over memory each. And batch
// normalization with its gradient from these.
//
// Rows are taken in blocks that stay in the cache: their sums are single precision, the sums of blocks double.

#include <cmath>
#include <cstring>
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

VECTORISED(void, add_rows, (const float* x, int64_t rows, int64_t channels, float* sum), (x, rows, channels, sum)) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * channels;
    for (int64_t c = 0; c < channels; ++c) sum[c] += row[c];
  }
}

VECTORISED(void, add_squares, (const float* x, int64_t rows, int64_t channels, const float* mean, float* sum),
           (x, rows, channels, mean, sum)) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float d = row[c] - mean[c];
      sum[c] += d * d;
    }
  }
}

VECTORISED(void, add_products, (const float* a, const float* x, int64_t rows, int64_t channels, const float* mean,
           float* sum, float* product), (a, x, rows, channels, mean, sum, product)) {
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

void moments_of(const float* x, int64_t rows, int64_t channels, float* mean, float* variance) {
  const int threads = members_for(rows * channels);
  std::vector<Moments> found(threads, Moments(channels));
  parallel(threads, [&](int member, int members) {
    Moments own(channels);
    std::vector<float> sums(channels), squares(channels);
    const auto [first, last] = share(rows, member, members);
    for (int64_t r = first; r < last; r += block_rows) {
      const int64_t n = std::min(block_rows, last - r);
      const float* block = x + r * channels;
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
    mean[c] = float(found[0].mean[c]);
    variance[c] = float(found[0].squares[c] / double(found[0].count));
  }
}

ffi::Error moments(Floats x, Result mean, Result variance) {
  const auto sizes = x.dimensions();
  if (sizes.size() != 2) return ffi::Error::InvalidArgument("moments: expected a matrix (rows, channels)");
  moments_of(x.typed_data(), sizes[0], sizes[1], mean->typed_data(), variance->typed_data());
  return ffi::Error::Success();
}

void paired_sums_of(const float* a, const float* x, const float* mean, const float* scale, int64_t rows, int64_t channels,
                    float* sum, float* product) {
  const int threads = members_for(rows * channels);
  std::vector<std::vector<double>> found(threads, std::vector<double>(2 * channels));
  parallel(threads, [&](int member, int members) {
    std::vector<double> own(2 * channels);
    std::vector<float> partial(2 * channels);
    const auto [first, last] = share(rows, member, members);
    for (int64_t r = first; r < last; r += block_rows) {
      const int64_t n = std::min(block_rows, last - r);
      std::fill(partial.begin(), partial.end(), 0.0f);
      add_products(a + r * channels, x + r * channels, n, channels, mean, partial.data(), partial.data() + channels);
      for (int64_t c = 0; c < 2 * channels; ++c) own[c] += partial[c];
    }
    found[member] = std::move(own);
  });
  for (int64_t c = 0; c < channels; ++c) {
    double s = 0, p = 0;
    for (const auto& part : found) s += part[c], p += part[channels + c];
    sum[c] = float(s);
    product[c] = float(p * scale[c]);
  }
}

ffi::Error paired_sums(Floats a, Floats x, Floats mean, Floats scale, Result sum, Result product) {
  const auto sizes = a.dimensions();
  if (sizes.size() != 2) return ffi::Error::InvalidArgument("paired_sums: expected matrices (rows, channels)");
  paired_sums_of(a.typed_data(), x.typed_data(), mean.typed_data(), scale.typed_data(), sizes[0], sizes[1],
                 sum->typed_data(), product->typed_data());
  return ffi::Error::Success();
}

// ---------------------------------------------------------------- the whole of it, for the host (see direct.cc)

// A number of either precision: a momentum, the term that keeps the variance from 0.
float number(const ffi::AnyBuffer& given) {
  if (given.element_type() == ffi::DataType::F64) return float(*static_cast<const double*>(given.untyped_data()));
  return *static_cast<const float*>(given.untyped_data());
}

VECTORISED(void, spread, (const float* x, int64_t rows, int64_t channels, const float* mean, const float* scale, const
           float* shift, const float* stretch, float* y), (x, rows, channels, mean, scale, shift, stretch, y)) {
  for (int64_t r = 0; r < rows; ++r, x += channels, y += channels) {
    for (int64_t c = 0; c < channels; ++c) y[c] = shift[c] + stretch[c] * ((x[c] - mean[c]) * scale[c]);
  }
}

VECTORISED(void, spread_to, (const float* g, const float* gain, const float* x, int64_t rows, int64_t channels, const
           float* mean, const float* scale, const float* shift, const float* stretch, float* y),
           (g, gain, x, rows, channels, mean, scale, shift, stretch, y)) {
  for (int64_t r = 0; r < rows; ++r, x += channels, y += channels, g += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      y[c] = gain[c] * g[c] + (shift[c] + stretch[c] * ((x[c] - mean[c]) * scale[c]));
    }
  }
}

std::vector<float> scale_of(const float* variance, int64_t channels, float eps) {
  std::vector<float> scale(channels);
  for (int64_t c = 0; c < channels; ++c) scale[c] = 1 / std::sqrt(variance[c] + eps);
  return scale;
}

// In training: the normalized images, and the running mean and variance a step nearer to the batch's.
ffi::Error batch_norm(Floats x, Floats old_mean, Floats old_variance, Floats weight, Floats bias, ffi::AnyBuffer momentum,
                      ffi::AnyBuffer eps, Result y, Result new_mean, Result new_variance) {
  const int64_t rows = x.dimensions()[0], channels = x.dimensions()[1];
  std::vector<float> mean(channels), variance(channels);
  moments_of(x.typed_data(), rows, channels, mean.data(), variance.data());
  const auto scale = scale_of(variance.data(), channels, number(eps));
  parallel(members_for(rows * channels), [&](int member, int members) {
    const auto [first, last] = share(rows, member, members);
    spread(x.typed_data() + first * channels, last - first, channels, mean.data(), scale.data(), bias.typed_data(),
           weight.typed_data(), y->typed_data() + first * channels);
  });
  const float step = number(momentum), kept = 1 - step;
  const float unbiased = float(double(rows) / double(std::max<int64_t>(rows - 1, 1)));
  for (int64_t c = 0; c < channels; ++c) {
    new_mean->typed_data()[c] = old_mean.typed_data()[c] * kept + mean[c] * step;
    new_variance->typed_data()[c] = old_variance.typed_data()[c] * kept + variance[c] * unbiased * step;
  }
  return ffi::Error::Success();
}

// Its gradients by the images, the weight and the bias, where `g` is the one by the result.
ffi::Error batch_norm_gradient(Floats x, Floats weight, ffi::AnyBuffer eps, Floats g, Result dx, Result dweight, Result dbias) {
  const int64_t rows = x.dimensions()[0], channels = x.dimensions()[1];
  std::vector<float> mean(channels), variance(channels), gain(channels), shift(channels), stretch(channels);
  moments_of(x.typed_data(), rows, channels, mean.data(), variance.data());
  const auto scale = scale_of(variance.data(), channels, number(eps));
  const float *sums = dbias->typed_data(), *products = dweight->typed_data();
  paired_sums_of(g.typed_data(), x.typed_data(), mean.data(), scale.data(), rows, channels, dbias->typed_data(),
                 dweight->typed_data());
  for (int64_t c = 0; c < channels; ++c) {
    gain[c] = weight.typed_data()[c] * scale[c];
    shift[c] = -(gain[c] * sums[c]) / float(rows);
    stretch[c] = -(gain[c] * products[c]) / float(rows);
  }
  parallel(members_for(rows * channels), [&](int member, int members) {
    const auto [first, last] = share(rows, member, members);
    const int64_t start = first * channels;
    spread_to(g.typed_data() + start, gain.data(), x.typed_data() + start, last - first, channels, mean.data(), scale.data(),
              shift.data(), stretch.data(), dx->typed_data() + start);
  });
  return ffi::Error::Success();
}

// With the running mean and variance instead of the batch's.
ffi::Error batch_norm_by(Floats x, Floats mean, Floats variance, Floats weight, Floats bias, ffi::AnyBuffer eps, Result y) {
  const int64_t rows = x.dimensions()[0], channels = x.dimensions()[1];
  auto scale = scale_of(variance.typed_data(), channels, number(eps));
  for (int64_t c = 0; c < channels; ++c) scale[c] *= weight.typed_data()[c];
  const std::vector<float> ones(channels, 1.0f);
  parallel(members_for(rows * channels), [&](int member, int members) {
    const auto [first, last] = share(rows, member, members);
    spread(x.typed_data() + first * channels, last - first, channels, mean.typed_data(), scale.data(), bias.typed_data(),
           ones.data(), y->typed_data() + first * channels);
  });
  return ffi::Error::Success();
}

// ---------------------------------------------------------------- images side by side

// Rows of several matrices one after the other, or the parts of each row of one matrix; `copy(wide, narrow, bytes)`.
template <class Copy>
void side_by_side(const std::vector<std::pair<char*, int64_t>>& parts, char* whole, int64_t rows, Copy copy) {
  int64_t width = 0;
  for (const auto& [_, bytes] : parts) width += bytes;
  parallel(members_for(rows * width / static_cast<int64_t>(sizeof(float))), [&](int member, int members) {
    const auto [first, last] = share(rows, member, members);
    for (int64_t r = first; r < last; ++r) {
      char* place = whole + r * width;
      for (const auto& [data, bytes] : parts) {
        copy(place, data + r * bytes, bytes);
        place += bytes;
      }
    }
  });
}

std::pair<char*, int64_t> part_of(ffi::AnyBuffer matrix) {
  return {static_cast<char*>(matrix.untyped_data()), matrix.dimensions()[1] * static_cast<int64_t>(sizeof(float))};
}

ffi::Error join(ffi::RemainingArgs arguments, ffi::Result<ffi::AnyBuffer> whole) {
  std::vector<std::pair<char*, int64_t>> parts;
  for (size_t i = 0; i < arguments.size(); ++i) parts.push_back(part_of(*arguments.get<ffi::AnyBuffer>(i)));
  side_by_side(parts, part_of(*whole).first, whole->dimensions()[0],
               [](char* wide, const char* narrow, size_t bytes) { std::memcpy(wide, narrow, bytes); });
  return ffi::Error::Success();
}

ffi::Error take_apart(ffi::AnyBuffer whole, ffi::RemainingRets results) {
  std::vector<std::pair<char*, int64_t>> parts;
  for (size_t i = 0; i < results.size(); ++i) parts.push_back(part_of(**results.get<ffi::AnyBuffer>(i)));
  side_by_side(parts, part_of(whole).first, whole.dimensions()[0],
               [](const char* wide, char* narrow, size_t bytes) { std::memcpy(narrow, wide, bytes); });
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

#define HANDLER(name, binding, function)                                             \
  PUBLIC XLA_FFI_Error* name(XLA_FFI_CallFrame* frame) {                            \
    using namespace flambeau;                                                       \
    static auto* handler = (binding).To(function).release();                        \
    return handler->Call(frame);                                                    \
  }

HANDLER(flambeau_batch_norm,
        ffi::Ffi::Bind().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<ffi::AnyBuffer>()
            .Arg<ffi::AnyBuffer>().Ret<Floats>().Ret<Floats>().Ret<Floats>(),
        batch_norm)
HANDLER(flambeau_batch_norm_gradient,
        ffi::Ffi::Bind().Arg<Floats>().Arg<Floats>().Arg<ffi::AnyBuffer>().Arg<Floats>().Ret<Floats>().Ret<Floats>()
            .Ret<Floats>(),
        batch_norm_gradient)
HANDLER(flambeau_batch_norm_by,
        ffi::Ffi::Bind().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<Floats>().Arg<ffi::AnyBuffer>()
            .Ret<Floats>(),
        batch_norm_by)
HANDLER(flambeau_join, ffi::Ffi::Bind().RemainingArgs().Ret<ffi::AnyBuffer>(), join)
HANDLER(flambeau_take_apart, ffi::Ffi::Bind().Arg<ffi::AnyBuffer>().RemainingRets(), take_apart)
