// Convolutions whose vectors run along the images' planes, so that they are full whatever the number of channels.
//
// An image is copied once into planes that have their padding, one for each phase of the stride: what a position of the kernel
// meets is then a stretch of memory from some offset on. An output and the gradient by the input are sums of such stretches, each
// times a number; the gradient by the weight is a product of a stretch with one of the output's gradient.

#include "planes.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "isa.h"
#include "numbers.h"
#include "parallel.h"

namespace flambeau {
namespace {

using Triple = std::array<int64_t, 3>;

// Vectors of the processor's own size: of larger ones, GCC keeps arrays in memory.
template <typename T, int Bytes>
struct Lanes {
  typedef T Vector __attribute__((vector_size(Bytes)));
  static constexpr int count = Bytes / sizeof(T);
};

template <typename T>
constexpr int most_lanes = Lanes<T, 64>::count;
template <int Bytes>
constexpr int registers = Bytes == 64 ? 24 : 12;  // for sums

constexpr int64_t slack = 256;  // elements that a vector may reach beyond what is asked for

int64_t volume(const Triple& t) { return t[0] * t[1] * t[2]; }
int64_t ceiling(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

template <typename T>
std::unique_ptr<T[]> memory_for(int64_t count) {
  return std::unique_ptr<T[]>(new T[count]);
}

// ---------------------------------------------------------------- planes

// Where the elements of one image of one group lie.
struct Lying {
  Triple size, step;
  int64_t channels, channel_step;
};

Lying lying(const Planes& p, bool of_x) {
  const int64_t* size = of_x ? p.x : p.y;
  const int64_t channels = of_x ? p.inside : p.outside;
  Lying made{{size[0], size[1], size[2]}, {size[1] * size[2], size[2], 1}, channels, size[0] * size[1] * size[2]};
  if (p.channels_last) {
    for (auto& step : made.step) step *= channels * p.groups;
    made.channel_step = 1;
  }
  return made;
}

int64_t start_of(const Planes& p, const Lying& l, int64_t image, int64_t group) {
  const int64_t first = group * l.channels;
  return image * l.channels * p.groups * volume(l.size) + first * l.channel_step;
}

// Planes: for each channel and each phase that is used, the elements `stride * m + phase - low` for m below `size`.
struct Laid {
  Triple size, stride, low;
  std::array<std::vector<int64_t>, 3> phases;
  int64_t images = 1;  // whose planes of a phase lie one after the other
  int64_t plane() const { return volume(size); }
  int64_t pitch() const { return plane() * images; }
  int64_t channel() const { return pitch() * phases[0].size() * phases[1].size() * phases[2].size(); }
};

template <typename T>
void lay(const T* from, const Lying& l, const Laid& laid, int64_t first, int64_t last, T* to) {
  const int64_t gap = laid.pitch() - laid.plane();
  for (int64_t channel = first; channel < last; ++channel) {
    const T* source = from + channel * l.channel_step;
    for (int64_t a : laid.phases[0]) for (int64_t b : laid.phases[1]) for (int64_t c : laid.phases[2]) {
      const int64_t begin = std::clamp(ceiling(laid.low[2] - c, laid.stride[2]), int64_t{0}, laid.size[2]);
      const int64_t end = std::clamp(ceiling(l.size[2] + laid.low[2] - c, laid.stride[2]), begin, laid.size[2]);
      for (int64_t i = 0; i < laid.size[0]; ++i) for (int64_t j = 0; j < laid.size[1]; ++j, to += laid.size[2]) {
        const int64_t at = i * laid.stride[0] + a - laid.low[0], across = j * laid.stride[1] + b - laid.low[1];
        if (at < 0 || at >= l.size[0] || across < 0 || across >= l.size[1]) {
          std::fill(to, to + laid.size[2], T{0});
          continue;
        }
        std::fill(to, to + begin, T{0});
        std::fill(to + end, to + laid.size[2], T{0});
        const T* row = source + at * l.step[0] + across * l.step[1] + (c - laid.low[2]) * l.step[2];
        const int64_t step = laid.stride[2] * l.step[2];
        if (step == 1) {
          std::memcpy(to + begin, row + begin, (end - begin) * sizeof(T));
        } else {
          for (int64_t m = begin; m < end; ++m) to[m] = row[m * step];
        }
      }
      to += gap;
    }
  }
}

template <typename T, int Bytes>
INLINED bool finite(const T* values, int64_t count) {
  using Vector = typename Lanes<T, Bytes>::Vector;
  Vector zeros{};
  for (int64_t i = 0; i < count; i += Lanes<T, Bytes>::count) {  // `slack` may be read
    Vector some;
    std::memcpy(&some, values + i, sizeof some);
    zeros += some * 0;
  }
  for (int lane = 0; lane < Lanes<T, Bytes>::count; ++lane) if (zeros[lane] != 0) return false;
  return true;
}

// ---------------------------------------------------------------- sums of stretches

// Rows of results on a grid whose pitch is that of the planes: row r at q is the sum over k of weights[k, r] * planes[offsets[k] + q].
template <typename T>
struct Sum {
  std::vector<int64_t> offsets;
  std::vector<T> weights;  // of each block of rows: (terms, rows of the block)
  Triple grid, pitch;
};

constexpr int most_rows = 8;

int rows_of_block(int64_t left) { return left >= 8 ? 8 : left >= 6 ? 6 : static_cast<int>(std::min<int64_t>(left, 4)); }

template <typename T, int Bytes, int rows, int vectors>
INLINED void tile(const T* planes, const int64_t* offsets, const T* weights, int64_t terms, T* to, int64_t pitch) {
  using Vector = typename Lanes<T, Bytes>::Vector;
  constexpr int lanes = Lanes<T, Bytes>::count;
  Vector sums[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sums[r][v] = Vector{};
  }
  for (int64_t k = 0; k < terms; ++k) {
    const T* from = planes + offsets[k];
    Vector stretch[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) std::memcpy(&stretch[v], from + v * lanes, sizeof(Vector));
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sums[r][v] += weights[k * rows + r] * stretch[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) std::memcpy(to + r * pitch + v * lanes, &sums[r][v], sizeof(Vector));
  }
}

template <typename T, int Bytes, int rows>
INLINED void stretch_of(const T* planes, const int64_t* offsets, const T* weights, int64_t terms, T* to, int64_t pitch, int64_t length) {
  constexpr int lanes = Lanes<T, Bytes>::count, vectors = registers<Bytes> / std::max(rows, 3);
  for (int64_t q = 0; q < length;) {
    const int64_t left = (length - q + lanes - 1) / lanes;
    if (left > vectors / 2) {
      tile<T, Bytes, rows, vectors>(planes + q, offsets, weights, terms, to + q, pitch);
      q += vectors * lanes;
    } else if (left > 1) {
      tile<T, Bytes, rows, (vectors + 1) / 2>(planes + q, offsets, weights, terms, to + q, pitch);
      q += (vectors + 1) / 2 * lanes;
    } else {
      tile<T, Bytes, rows, 1>(planes + q, offsets, weights, terms, to + q, pitch);
      q += lanes;
    }
  }
}

// The runs of positions that are computed without a gap: rows, planes or all of the grid, whatever takes the fewest vectors.
struct Runs {
  int64_t outer, inner, outer_pitch, inner_pitch, length;
};

Runs runs_over(const Triple& grid, const Triple& pitch, int64_t lanes) {
  const int64_t row = grid[2], plane = (grid[1] - 1) * pitch[1] + row, all = (grid[0] - 1) * pitch[0] + plane;
  const Runs choices[] = {{1, 1, 0, 0, all}, {grid[0], 1, pitch[0], 0, plane}, {grid[0], grid[1], pitch[0], pitch[1], row}};
  return *std::min_element(std::begin(choices), std::end(choices), [&](const Runs& a, const Runs& b) {
    return a.outer * a.inner * ceiling(a.length, lanes) < b.outer * b.inner * ceiling(b.length, lanes);
  });
}

template <typename T, int Bytes>
INLINED void sum_up(const T* planes, const Sum<T>& sum, const T* weights, int rows, T* to, int64_t pitch) {
  const Runs runs = runs_over(sum.grid, sum.pitch, Lanes<T, Bytes>::count);
  const int64_t terms = sum.offsets.size(), *offsets = sum.offsets.data();
  for (int64_t i = 0; i < runs.outer; ++i) for (int64_t j = 0; j < runs.inner; ++j) {
    const int64_t at = i * runs.outer_pitch + j * runs.inner_pitch;
    switch (rows) {
      case 1: stretch_of<T, Bytes, 1>(planes + at, offsets, weights, terms, to + at, pitch, runs.length); break;
      case 2: stretch_of<T, Bytes, 2>(planes + at, offsets, weights, terms, to + at, pitch, runs.length); break;
      case 3: stretch_of<T, Bytes, 3>(planes + at, offsets, weights, terms, to + at, pitch, runs.length); break;
      case 4: stretch_of<T, Bytes, 4>(planes + at, offsets, weights, terms, to + at, pitch, runs.length); break;
      case 6: stretch_of<T, Bytes, 6>(planes + at, offsets, weights, terms, to + at, pitch, runs.length); break;
      default: stretch_of<T, Bytes, 8>(planes + at, offsets, weights, terms, to + at, pitch, runs.length);
    }
  }
}

// Puts rows of results to where they belong: every `stride`-th element of an image from `first` on.
template <typename T>
void put(const T* from, int64_t pitch, int rows, const Sum<T>& sum, T* to, const Lying& l, const Triple& first, const Triple& stride) {
  for (int64_t i = 0; i < sum.grid[0]; ++i) for (int64_t j = 0; j < sum.grid[1]; ++j) {
    const T* row = from + i * sum.pitch[0] + j * sum.pitch[1];
    T* into = to + (first[0] + i * stride[0]) * l.step[0] + (first[1] + j * stride[1]) * l.step[1] + first[2] * l.step[2];
    const int64_t step = stride[2] * l.step[2];
    for (int r = 0; r < rows; ++r) {
      T* made = into + r * l.channel_step;
      if (step == 1) {
        std::memcpy(made, row + r * pitch, sum.grid[2] * sizeof(T));
      } else {
        for (int64_t m = 0; m < sum.grid[2]; ++m) made[m * step] = row[r * pitch + m];
      }
    }
  }
}

// A sum for each part of the results, and where that part lies.
template <typename T>
struct Part {
  Sum<T> sum;
  Triple first, stride;
};

// ---------------------------------------------------------------- the planes of a convolution's input

// The planes of x for which an output's position is its place on the grid, and for each position of the kernel its offset there.
Laid laid_input(const Planes& p, std::vector<int64_t>* offsets, int64_t images = 1) {
  Laid laid;
  laid.images = images;
  std::array<std::vector<int64_t>, 3> phase_of, shift_of;
  for (int d = 0; d < 3; ++d) {
    laid.size[d] = p.y[d] + (p.kernel[d] - 1) * p.dilation[d] / p.stride[d];
    laid.stride[d] = p.stride[d];
    laid.low[d] = p.low[d];
    for (int64_t t = 0; t < p.kernel[d]; ++t) {
      const int64_t phase = t * p.dilation[d] % p.stride[d];
      auto& phases = laid.phases[d];
      auto found = std::find(phases.begin(), phases.end(), phase);
      phase_of[d].push_back(found - phases.begin());
      shift_of[d].push_back(t * p.dilation[d] / p.stride[d]);
      if (found == phases.end()) phases.push_back(phase);
    }
  }
  for (int64_t channel = 0; channel < p.inside; ++channel)
    for (int64_t a = 0; a < p.kernel[0]; ++a) for (int64_t b = 0; b < p.kernel[1]; ++b) for (int64_t c = 0; c < p.kernel[2]; ++c) {
      const int64_t phase = (phase_of[0][a] * laid.phases[1].size() + phase_of[1][b]) * laid.phases[2].size() + phase_of[2][c];
      const int64_t shift = (shift_of[0][a] * laid.size[1] + shift_of[1][b]) * laid.size[2] + shift_of[2][c];
      offsets->push_back(channel * laid.channel() + phase * laid.pitch() + shift);
    }
  return laid;
}

// Weights by blocks of rows, for all groups: `at(group, row, term)`.
template <typename T, typename At>
std::vector<T> blocks_of(int64_t groups, int64_t rows, int64_t terms, At at) {
  std::vector<T> made;
  made.reserve(groups * rows * terms);
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t first = 0; first < rows;) {
      const int block = rows_of_block(rows - first);
      for (int64_t k = 0; k < terms; ++k) for (int r = 0; r < block; ++r) made.push_back(at(group, first + r, k));
      first += block;
    }
  }
  return made;
}

template <typename T>
Laid output_as_sum(const Planes& p, const T* w, std::vector<Part<T>>* parts) {
  parts->emplace_back();
  Part<T>& part = parts->back();
  const Laid laid = laid_input(p, &part.sum.offsets);
  const int64_t terms = part.sum.offsets.size();
  part.sum.weights = blocks_of<T>(p.groups, p.outside, terms, [&](int64_t group, int64_t row, int64_t k) {
    return w[(group * p.outside + row) * terms + k];
  });
  part.sum.grid = {p.y[0], p.y[1], p.y[2]};
  part.sum.pitch = {laid.size[1] * laid.size[2], laid.size[2], 1};
  part.first = {0, 0, 0};
  part.stride = {1, 1, 1};
  return laid;
}

// The gradient by the input: of each of its phases a sum over those positions of the kernel that meet it.
template <typename T>
Laid input_as_sums(const Planes& p, const T* w, std::vector<Part<T>>* parts) {
  Laid laid;
  for (int d = 0; d < 3; ++d) {
    laid.stride[d] = 1;
    laid.phases[d] = {0};
    laid.low[d] = (p.kernel[d] - 1) * p.dilation[d] / p.stride[d];
    laid.size[d] = laid.low[d] + std::max(p.y[d], (p.x[d] + p.low[d] - 1) / p.stride[d] + 1);
  }
  const int64_t positions = p.kernel[0] * p.kernel[1] * p.kernel[2];
  for (int64_t a = 0; a < p.stride[0]; ++a) for (int64_t b = 0; b < p.stride[1]; ++b) for (int64_t c = 0; c < p.stride[2]; ++c) {
    const Triple phase{a, b, c};
    Part<T> part;
    Triple start;
    bool empty = false;
    for (int d = 0; d < 3; ++d) {
      start[d] = ceiling(std::max<int64_t>(p.low[d] - phase[d], 0), p.stride[d]);
      const int64_t end = ceiling(p.x[d] + p.low[d] - phase[d], p.stride[d]);
      part.sum.grid[d] = end - start[d];
      part.first[d] = start[d] * p.stride[d] + phase[d] - p.low[d];
      part.stride[d] = p.stride[d];
      empty = empty || end <= start[d];
    }
    if (empty) continue;
    part.sum.pitch = {laid.size[1] * laid.size[2], laid.size[2], 1};
    std::vector<int64_t> taps, shifts;
    for (int64_t t = 0; t < positions; ++t) {
      const Triple tap{t / (p.kernel[1] * p.kernel[2]), t / p.kernel[2] % p.kernel[1], t % p.kernel[2]};
      int64_t shift = 0;
      bool meets = true;
      for (int d = 0; d < 3; ++d) {
        const int64_t reach = tap[d] * p.dilation[d] - phase[d];
        meets = meets && reach % p.stride[d] == 0;
        shift += (start[d] + laid.low[d] - reach / p.stride[d]) * part.sum.pitch[d];
      }
      if (!meets) continue;
      taps.push_back(t);
      shifts.push_back(shift);
    }
    for (int64_t channel = 0; channel < p.outside; ++channel) {
      for (int64_t shift : shifts) part.sum.offsets.push_back(channel * laid.plane() + shift);
    }
    const int64_t count = taps.size();
    part.sum.weights = blocks_of<T>(p.groups, p.inside, part.sum.offsets.size(), [&](int64_t group, int64_t row, int64_t k) {
      return w[((group * p.outside + k / count) * p.inside + row) * positions + taps[k % count]];
    });
    parts->push_back(std::move(part));
  }
  return laid;
}

// ---------------------------------------------------------------- products of stretches

template <typename T, int Bytes, int rows, int terms>
INLINED void products(const T* g, int64_t plane, const T* x, const int64_t* offsets, int64_t length, T* to, int64_t pitch) {
  using Vector = typename Lanes<T, Bytes>::Vector;
  constexpr int lanes = Lanes<T, Bytes>::count;
  Vector sums[rows][terms];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int k = 0; k < terms; ++k) sums[r][k] = Vector{};
  }
  for (int64_t q = 0; q < length; q += lanes) {
    Vector left[rows];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) std::memcpy(&left[r], g + r * plane + q, sizeof(Vector));
#pragma GCC unroll 8
    for (int k = 0; k < terms; ++k) {
      Vector right;
      std::memcpy(&right, x + offsets[k] + q, sizeof(Vector));
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) sums[r][k] += left[r] * right;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int k = 0; k < terms; ++k) {
      T parts[lanes];
      std::memcpy(parts, &sums[r][k], sizeof parts);
#pragma GCC unroll 4
      for (int half = lanes / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
        for (int lane = 0; lane < half; ++lane) parts[lane] += parts[lane + half];
      }
      to[r * pitch + k] += parts[0];
    }
  }
}

template <typename T, int Bytes, int rows>
INLINED void products_of(const T* g, int64_t plane, const T* x, const int64_t* offsets, int64_t terms, int64_t length, T* to) {
  constexpr int at_once = registers<Bytes> / (rows <= 3 ? 3 : 6);
  int64_t k = 0;
  for (; k + at_once <= terms; k += at_once) products<T, Bytes, rows, at_once>(g, plane, x, offsets + k, length, to + k, terms);
  for (; k < terms; ++k) products<T, Bytes, rows, 1>(g, plane, x, offsets + k, length, to + k, terms);
}

template <typename T, int Bytes>
INLINED void multiply(const T* g, int64_t plane, const T* x, const int64_t* offsets, int64_t terms, int64_t length, int rows, T* to) {
  switch (rows) {
    case 1: products_of<T, Bytes, 1>(g, plane, x, offsets, terms, length, to); break;
    case 2: products_of<T, Bytes, 2>(g, plane, x, offsets, terms, length, to); break;
    case 3: products_of<T, Bytes, 3>(g, plane, x, offsets, terms, length, to); break;
    case 4: products_of<T, Bytes, 4>(g, plane, x, offsets, terms, length, to); break;
    default: products_of<T, Bytes, 6>(g, plane, x, offsets, terms, length, to);
  }
}

// ---------------------------------------------------------------- for one processor and the other

template <typename T>
struct Kernels {
  bool (*all_finite)(const T* values, int64_t count);
  void (*sum_up)(const T* planes, const Sum<T>& sum, const T* weights, int rows, T* to, int64_t pitch);
  void (*multiply)(const T* g, int64_t plane, const T* x, const int64_t* offsets, int64_t terms, int64_t length, int rows, T* to);
};

#define WITH(bytes, target, T)                                                                                                   \
  target bool all_finite_##bytes(const T* values, int64_t count) { return finite<T, bytes>(values, count); }                     \
  target void sum_up_##bytes(const T* planes, const Sum<T>& sum, const T* weights, int rows, T* to, int64_t pitch) {             \
    sum_up<T, bytes>(planes, sum, weights, rows, to, pitch);                                                                     \
  }                                                                                                                              \
  target void multiply_##bytes(const T* g, int64_t plane, const T* x, const int64_t* offsets, int64_t terms, int64_t length,     \
                               int rows, T* to) {                                                                                \
    multiply<T, bytes>(g, plane, x, offsets, terms, length, rows, to);                                                           \
  }

WITH(64, __attribute__((target("avx512f"))), float)
WITH(64, __attribute__((target("avx512f"))), double)
WITH(32, __attribute__((target("avx2,fma"))), float)
WITH(32, __attribute__((target("avx2,fma"))), double)
WITH(16, , float)
WITH(16, , double)

#undef WITH

template <typename T>
const Kernels<T>& kernels() {
  static const Kernels<T> best = [] {
    if (isa() == kAvx512) return Kernels<T>{all_finite_64, sum_up_64, multiply_64};
    if (isa() == kAvx2) return Kernels<T>{all_finite_32, sum_up_32, multiply_32};
    return Kernels<T>{all_finite_16, sum_up_16, multiply_16};
  }();
  return best;
}

// ---------------------------------------------------------------- the passes

template <typename T>
void images_from(const Planes& p, bool to_x, const T* from, const T* w, T* to) {
  std::vector<Part<T>> parts;
  const Laid laid = to_x ? input_as_sums(p, w, &parts) : output_as_sum(p, w, &parts);
  const Lying source = lying(p, !to_x), target = lying(p, to_x);
  const int64_t rows = target.channels, blocks = ceiling(rows, most_rows);
  // Images and groups are shared among the threads, or where there are few of them, each one's rows.
  const int64_t units = p.images * p.groups, cuts = units >= p.threads ? 1 : std::min<int64_t>(blocks, p.threads);
  int64_t reach = 0;
  for (const auto& part : parts) {
    reach = std::max(reach, (part.sum.grid[0] - 1) * part.sum.pitch[0] + (part.sum.grid[1] - 1) * part.sum.pitch[1] + part.sum.grid[2]);
  }
  const int64_t pitch = (reach + slack + 31) / 16 * 16 + 16, planes_size = laid.channel() * source.channels;
  parallel(static_cast<int>(std::min<int64_t>(p.threads, units * cuts)), [&](int member, int members) {
    const auto planes = memory_for<T>(planes_size + slack), made = memory_for<T>(most_rows * pitch);
    std::fill(planes.get() + planes_size, planes.get() + planes_size + slack, T{0});
    const auto [begin, end] = share(units * cuts, member, members);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t image = item / cuts / p.groups, group = item / cuts % p.groups;
      const auto [first_block, last_block] = share(blocks, static_cast<int>(item % cuts), static_cast<int>(cuts));
      if (item == begin || item % cuts == 0) {
        lay(from + start_of(p, source, image, group), source, laid, 0, source.channels, planes.get());
      }
      T* into = to + start_of(p, target, image, group);
      for (const auto& part : parts) {
        const int64_t terms = part.sum.offsets.size();
        const int64_t last = std::min(rows, last_block * most_rows);
        for (int64_t row = first_block * most_rows; row < last;) {
          const int block = rows_of_block(rows - row);
          kernels<T>().sum_up(planes.get(), part.sum, part.sum.weights.data() + (group * rows + row) * terms, block, made.get(), pitch);
          put(made.get(), pitch, block, part.sum, into + row * target.channel_step, target, part.first, part.stride);
          row += block;
        }
      }
    }
  });
}

// The same over the grid's own positions only: what lies beside them in the planes may be infinite, and infinity times 0 is no 0.
template <typename T>
void multiply_plainly(const T* g, const T* x, const int64_t* offsets, int64_t terms, const Planes& p, const Laid& laid, T* to) {
  for (int64_t k = 0; k < terms; ++k) {
    T sum = 0;
    for (int64_t image = 0; image < laid.images; ++image)
      for (int64_t i = 0; i < p.y[0]; ++i) for (int64_t j = 0; j < p.y[1]; ++j) for (int64_t l = 0; l < p.y[2]; ++l) {
        const int64_t q = ((image * laid.size[0] + i) * laid.size[1] + j) * laid.size[2] + l;
        sum += g[q] * x[offsets[k] + q];
      }
    to[k] += sum;
  }
}

constexpr int64_t most_memory = 1 << 20;  // bytes of the planes of as many images as are multiplied at once

template <typename T>
void weight_from(const Planes& p, const T* x, const T* y, T* w) {
  const int parts = static_cast<int>(std::min<int64_t>(p.threads, p.images));  // each with sums of its own
  std::vector<int64_t> offsets;
  Laid of_x = laid_input(p, &offsets);
  const int64_t of_image = (of_x.channel() * p.inside + of_x.plane() * p.outside) * sizeof(T);
  const int64_t at_once = std::clamp<int64_t>(most_memory / of_image, 1, p.images / parts);
  offsets.clear();
  of_x = laid_input(p, &offsets, at_once);
  const Laid of_y{of_x.size, {1, 1, 1}, {0, 0, 0}, {{{0}, {0}, {0}}}, at_once};
  const Lying source = lying(p, true), gradient = lying(p, false);
  const Triple beside{of_x.size[0] - p.y[0], of_x.size[1] - p.y[1], of_x.size[2] - p.y[2]};  // of an image's last output
  const int64_t terms = offsets.size();
  const int64_t length = of_y.pitch() - (beside[0] * of_x.size[1] + beside[1]) * of_x.size[2] - beside[2];
  const int64_t row_size = ceiling(of_y.pitch(), most_lanes<T>) * most_lanes<T>;  // vectors end in zeros
  const int64_t per_group = p.outside * terms, all = p.groups * per_group, planes_size = of_x.channel() * p.inside;
  const auto sums = memory_for<T>(parts > 1 ? parts * all : 0);
  auto add_products = [&](int64_t first, int64_t count, int64_t group, T* planes, T* gradients, T* to) {
    if (count < at_once) {  // what other images have left
      std::fill(gradients, gradients + row_size * p.outside, T{0});
      std::fill(planes, planes + planes_size, T{0});
    }
    for (int64_t i = 0; i < count; ++i) {
      lay(x + start_of(p, source, first + i, group), source, of_x, 0, p.inside, planes + i * of_x.plane());
      const T* from = y + start_of(p, gradient, first + i, group);
      for (int64_t row = 0; row < p.outside; ++row) {
        lay(from, gradient, of_y, row, row + 1, gradients + row * row_size + i * of_y.plane());
      }
    }
    const bool finite = kernels<T>().all_finite(planes, planes_size);
    for (int64_t row = 0; row < p.outside;) {
      const int block = finite ? std::min(rows_of_block(p.outside - row), 6) : 1;
      const T* g = gradients + row * row_size;
      if (finite) {
        kernels<T>().multiply(g, row_size, planes, offsets.data(), terms, length, block, to + row * terms);
      } else {
        multiply_plainly(g, planes, offsets.data(), terms, p, of_x, to + row * terms);
      }
      row += block;
    }
  };
  parallel(parts, [&](int member, int members) {
    const auto planes = memory_for<T>(planes_size + slack), gradients = memory_for<T>(row_size * p.outside);
    std::fill(planes.get() + planes_size, planes.get() + planes_size + slack, T{0});
    std::fill(gradients.get(), gradients.get() + row_size * p.outside, T{0});
    for (int part = member; part < parts; part += members) {
      T* total = parts > 1 ? sums.get() + part * all : w;
      std::fill(total, total + all, T{0});
      const auto [first, last] = share(p.images, part, parts);
      for (int64_t image = first; image < last; image += at_once) for (int64_t group = 0; group < p.groups; ++group) {
        add_products(image, std::min(at_once, last - image), group, planes.get(), gradients.get(), total + group * per_group);
      }
    }
  });
  for (int64_t i = 0; parts > 1 && i < all; ++i) {
    T sum = sums[i];
    for (int part = 1; part < parts; ++part) sum += sums[part * all + i];
    w[i] = sum;
  }
}

template <typename T>
void compute(Pass pass, const Planes& p, T* x, T* w, T* y) {
  if (pass == BY_WEIGHT) return weight_from(p, x, y, w);
  const bool to_x = pass == BY_INPUT;
  images_from(p, to_x, to_x ? y : x, w, to_x ? x : y);
}

}  // namespace

void over_planes(Pass pass, const Planes& p, float* x, float* w, float* y) { compute(pass, p, x, w, y); }
void over_planes(Pass pass, const Planes& p, double* x, double* w, double* y) { compute(pass, p, x, w, y); }

}  // namespace flambeau
