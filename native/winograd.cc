// Winograd's F(2 x 2, 3 x 3): an image is cut into tiles of 4 x 4 that overlap by two; tiles and weights are turned so that a convolution
// becomes 16 products of matrices (tiles x channels) (channels x filters), with 16 multiplications where the sums by elements take 36.
// What turns them has factors of 1 and 1/2 alone, so that small integers stay exact.
//
// All is done with vectors of channels. Turned weights lie as the panels of panels.h.

#include "winograd.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "isa.h"
#include "numbers.h"
#include "panels.h"
#include "parallel.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace flambeau::winograd {
namespace {

constexpr int64_t lanes = 16, points = 16;  // of a panel; of a turned tile

template <int Bytes>
struct VectorOf {
  typedef float type __attribute__((vector_size(Bytes)));
};

template <class Vector>
INLINED Vector load(const float* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <class Vector>
INLINED void store(Vector v, float* to) {
  std::memcpy(to, &v, sizeof v);
}

struct Image {
  float* data;
  int64_t height, width, channels;
};

// Where tiles of 2 x 2 results lie in images.
struct Grid {
  int64_t down, across, top, left;

  int64_t in_image() const { return down * across; }
};

// The results of a tile: where the first one lies, and whether there is one below and one beside it.
struct Corner {
  Corner(const Image& image, const Grid& grid, int64_t tile) {
    const int64_t n = tile / grid.in_image(), place = tile % grid.in_image();
    const int64_t y = place / grid.across * 2, x = place % grid.across * 2;
    first = image.data + ((n * image.height + y) * image.width + x) * image.channels;
    below = y + 1 < image.height;
    beside = x + 1 < image.width;
  }

  float* first;
  bool below, beside;
};

// ---------------------------------------------------------------- from the images and back

// Four numbers of a line of an image, turned: (a - c, b + c, c - b, b - d).
template <class Vector>
INLINED void turn(Vector a, Vector b, Vector c, Vector d, Vector* to) {
  to[0] = a - c;
  to[1] = b + c;
  to[2] = c - b;
  to[3] = b - d;
}

// The tiles from `first` to `last`, turned: of each point the tiles after another, `row` numbers apart, and its channels in vectors
// that are `block` numbers apart.
template <int Bytes>
INLINED void turn_in(const Image& image, const Grid& grid, int64_t first, int64_t last, float* to, int64_t point,
                        int64_t row, int64_t block) {
  using Vector = typename VectorOf<Bytes>::type;
  constexpr int64_t own = Bytes / sizeof(float);
  const Vector zero{};
  for (int64_t tile = first; tile < last; ++tile, to += row) {
    const int64_t n = tile / grid.in_image(), place = tile % grid.in_image();
    const int64_t y = place / grid.across * 2 - grid.top, x = place % grid.across * 2 - grid.left;
    const float* from = image.data + ((n * image.height + y) * image.width + x) * image.channels;
    const bool inside = y >= 0 && x >= 0 && y + 4 <= image.height && x + 4 <= image.width;
    for (int64_t c = 0; c < image.channels; c += own) {
      Vector lines[4][4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        Vector v[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          const bool there = inside || (y + i >= 0 && y + i < image.height && x + j >= 0 && x + j < image.width);
          v[j] = there ? load<Vector>(from + (i * image.width + j) * image.channels + c) : zero;
        }
        turn(v[0], v[1], v[2], v[3], lines[i]);
      }
      float* at = to + c / lanes * block + c % lanes;
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        Vector v[4];
        turn(lines[0][j], lines[1][j], lines[2][j], lines[3][j], v);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) store(v[i], at + (i * 4 + j) * point);
      }
    }
  }
}

// Results from products. False if one of them is not finite.
template <int Bytes>
INLINED bool turn_out(const float* from, int64_t point, const Grid& grid, int64_t first, int64_t last, const Image& image) {
  using Vector = typename VectorOf<Bytes>::type;
  constexpr int64_t own = Bytes / sizeof(float);
  Vector sick{};  // stays 0 while all is finite
  for (int64_t tile = first; tile < last; ++tile, from += image.channels) {
    const Corner corner(image, grid, tile);
    for (int64_t c = 0; c < image.channels; c += own) {
      Vector lines[2][4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const Vector a = load<Vector>(from + j * point + c), b = load<Vector>(from + (4 + j) * point + c);
        const Vector d = load<Vector>(from + (8 + j) * point + c), e = load<Vector>(from + (12 + j) * point + c);
        lines[0][j] = a + b + d;
        lines[1][j] = b - d - e;
      }
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const Vector left = lines[i][0] + lines[i][1] + lines[i][2], right = lines[i][1] - lines[i][2] - lines[i][3];
        sick += left * 0.0f + right * 0.0f;
        if (i && !corner.below) continue;
        float* line = corner.first + i * image.width * image.channels + c;
        store(left, line);
        if (corner.beside) store(right, line + image.channels);
      }
    }
  }
  float sum = 0;
  for (int64_t i = 0; i < own; ++i) sum += sick[i];
  return sum == 0;
}

// Gradients of results, turned: what `turn_out` does, the other way round.
template <int Bytes>
INLINED void turn_back_in(const Image& image, const Grid& grid, int64_t first, int64_t last, float* to, int64_t point,
                             int64_t row, int64_t block) {
  using Vector = typename VectorOf<Bytes>::type;
  constexpr int64_t own = Bytes / sizeof(float);
  const Vector zero{};
  for (int64_t tile = first; tile < last; ++tile, to += row) {
    const Corner corner(image, grid, tile);
    for (int64_t c = 0; c < image.channels; c += own) {
      const float* here = corner.first + c;
      const bool below = corner.below, beside = corner.beside;
      const int64_t line = image.width * image.channels;
      const Vector a = load<Vector>(here), b = beside ? load<Vector>(here + image.channels) : zero;
      const Vector d = below ? load<Vector>(here + line) : zero, e = below && beside ? load<Vector>(here + line + image.channels) : zero;
      const Vector lines[4][2] = {{a, b}, {a + d, b + e}, {a - d, b - e}, {-d, -e}};
      float* at = to + c / lanes * block + c % lanes;
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const Vector left = lines[i][0], right = lines[i][1];
        store(left, at + (i * 4) * point);
        store(left + right, at + (i * 4 + 1) * point);
        store(left - right, at + (i * 4 + 2) * point);
        store(-right, at + (i * 4 + 3) * point);
      }
    }
  }
}

// ---------------------------------------------------------------- from the weights and back

// Three numbers of a line of a weight, turned: (a, (a + b + c) / 2, (a - b + c) / 2, c).
template <class Vector>
INLINED void turn(Vector a, Vector b, Vector c, Vector* to) {
  const Vector ends = a + c;
  to[0] = a;
  to[1] = (ends + b) * 0.5f;
  to[2] = (ends - b) * 0.5f;
  to[3] = c;
}

// The weights of a panel: the element (k, lane) of them begins at `k * down + lane * across`. With `turned` the other way round.
template <int Bytes>
INLINED void turn_weights(const float* from, int64_t depth, int64_t down, int64_t across, bool turned, float* to, int64_t point) {
  using Vector = typename VectorOf<Bytes>::type;
  constexpr int64_t own = Bytes / sizeof(float);
  for (int64_t k = 0; k < depth; ++k, to += lanes) {
    alignas(64) float taps[9][lanes];
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const float* w = from + k * down + lane * across;
      for (int tap = 0; tap < 9; ++tap) taps[tap][lane] = w[turned ? 8 - tap : tap];
    }
    for (int64_t part = 0; part < lanes; part += own) {
      Vector lines[3][4];
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        const float* line = taps[i * 3] + part;
        turn(load<Vector>(line), load<Vector>(line + lanes), load<Vector>(line + 2 * lanes), lines[i]);
      }
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        Vector v[4];
        turn(lines[0][j], lines[1][j], lines[2][j], v);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) store(v[i], to + (i * 4 + j) * point + part);
      }
    }
  }
}

// The gradients of a panel of filters' weights, of one channel. False if one of them is not finite.
template <int Bytes>
INLINED bool turn_weights_back(const float* from, int64_t point, float* to, int64_t across) {
  using Vector = typename VectorOf<Bytes>::type;
  constexpr int64_t own = Bytes / sizeof(float);
  alignas(64) float taps[9][lanes];
  Vector sick{};
  for (int64_t part = 0; part < lanes; part += own) {
    Vector lines[3][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const float* column = from + j * point + part;
      const Vector a = load<Vector>(column), b = load<Vector>(column + 4 * point);
      const Vector c = load<Vector>(column + 8 * point), d = load<Vector>(column + 12 * point), half = (b + c) * 0.5f;
      lines[0][j] = a + half;
      lines[1][j] = (b - c) * 0.5f;
      lines[2][j] = half + d;
    }
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      const Vector half = (lines[i][1] + lines[i][2]) * 0.5f;
      const Vector v[3] = {lines[i][0] + half, (lines[i][1] - lines[i][2]) * 0.5f, half + lines[i][3]};
#pragma GCC unroll 3
      for (int j = 0; j < 3; ++j) {
        sick += v[j] * 0.0f;
        store(v[j], taps[i * 3 + j] + part);
      }
    }
  }
  float sum = 0;
  for (int64_t i = 0; i < own; ++i) sum += sick[i];
  for (int64_t lane = 0; lane < lanes; ++lane) {
    for (int tap = 0; tap < 9; ++tap) to[lane * across + tap] = taps[tap][lane];
  }
  return sum == 0;
}

// ---------------------------------------------------------------- for one processor and the other

struct Turns {
  void (*in)(const Image&, const Grid&, int64_t, int64_t, float*, int64_t, int64_t, int64_t);
  bool (*out)(const float*, int64_t, const Grid&, int64_t, int64_t, const Image&);
  void (*back_in)(const Image&, const Grid&, int64_t, int64_t, float*, int64_t, int64_t, int64_t);
  void (*weights)(const float*, int64_t, int64_t, int64_t, bool, float*, int64_t);
  bool (*weights_back)(const float*, int64_t, float*, int64_t);
};

#define WITH(bytes, set)                                                                                                          \
  __attribute__((target(set))) void in_##bytes(const Image& image, const Grid& grid, int64_t first, int64_t last, float* to,      \
                                               int64_t point, int64_t row, int64_t block) {                                       \
    turn_in<bytes>(image, grid, first, last, to, point, row, block);                                                              \
  }                                                                                                                               \
  __attribute__((target(set))) bool out_##bytes(const float* from, int64_t point, const Grid& grid, int64_t first, int64_t last,  \
                                                const Image& image) {                                                             \
    return turn_out<bytes>(from, point, grid, first, last, image);                                                                \
  }                                                                                                                               \
  __attribute__((target(set))) void back_in_##bytes(const Image& image, const Grid& grid, int64_t first, int64_t last, float* to, \
                                                    int64_t point, int64_t row, int64_t block) {                                  \
    turn_back_in<bytes>(image, grid, first, last, to, point, row, block);                                                         \
  }                                                                                                                               \
  __attribute__((target(set))) void weights_##bytes(const float* from, int64_t depth, int64_t down, int64_t across, bool turned,  \
                                                    float* to, int64_t point) {                                                   \
    turn_weights<bytes>(from, depth, down, across, turned, to, point);                                                            \
  }                                                                                                                               \
  __attribute__((target(set))) bool weights_back_##bytes(const float* from, int64_t point, float* to, int64_t across) {           \
    return turn_weights_back<bytes>(from, point, to, across);                                                                     \
  }                                                                                                                               \
  constexpr Turns turns_##bytes{in_##bytes, out_##bytes, back_in_##bytes, weights_##bytes, weights_back_##bytes};

WITH(64, "avx512f")
WITH(32, "avx2,fma")

#undef WITH

const Turns& turns() { return isa() == kAvx512 ? turns_64 : turns_32; }

// ---------------------------------------------------------------- the passes

struct Sizes {
  int64_t tiles, depth, out;  // all tiles; what is summed over; channels of the result
  int64_t strip;              // tiles at once, of one thread
};

// Bytes of turned tiles that are worked on at once, and tiles at least: products by large weights read those again for each strip.
constexpr int64_t in_cache = 512 << 10, least = 24, least_by_weight = 96;

// Numbers from one point to the next: never a power of two, whose lines would all meet in one set of the cache.
int64_t apart(int64_t numbers) { return numbers + lanes; }

Sizes sizes_of(Pass pass, const Problem& p) {
  const int64_t down = ((pass == BY_INPUT ? p.height : p.rows) + 1) / 2, across = ((pass == BY_INPUT ? p.width : p.columns) + 1) / 2;
  const int64_t tiles = p.n * down * across;
  const int64_t wanted = in_cache / (points * (p.channels + p.filters) * int64_t{sizeof(float)});
  const int64_t strip = std::max(pass == BY_WEIGHT ? least_by_weight : least, wanted / 6 * 6);  // whole tiles of rows of a product
  return {tiles, pass == BY_INPUT ? p.filters : p.channels, pass == BY_INPUT ? p.channels : p.filters, std::min(strip, tiles)};
}

bool convolve(const Sizes& s, const Grid& grid, const Image& from, const Image& to, const float* w, bool back, int threads, float* space) {
  const int64_t matrix = apart(s.depth * s.out), in_point = apart(s.strip * s.depth), out_point = apart(s.strip * s.out);
  const int64_t taps = 9, mine = points * (in_point + out_point);
  const int64_t down = back ? s.out * taps : taps, across = back ? taps : s.depth * taps;
  float* weights = space;
  float* strips = space + points * matrix;
  const int64_t panels = s.out / lanes, chunks = (s.tiles + s.strip - 1) / s.strip;
  parallel(threads, [&](int member, int members) {
    const auto [first, last] = share(panels, member, members);
    for (int64_t panel = first; panel < last; ++panel) {
      turns().weights(w + panel * lanes * across, s.depth, down, across, back, weights + panel * s.depth * lanes, matrix);
    }
  });
  bool finite = true;
  parallel(threads, [&](int member, int members) {
    float* in = strips + member * mine;
    float* out = in + points * in_point;
    const auto [begin, end] = share(chunks, member, members);
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const auto [first, last] = share(s.tiles, static_cast<int>(chunk), static_cast<int>(chunks));
      turns().in(from, grid, first, last, in, in_point, s.depth, lanes);
      for (int64_t k = 0; k < points; ++k) {
        multiply<float>({in + k * in_point, s.depth, 1, last - first, s.depth, weights + k * matrix, panels, out + k * out_point, s.out,
                         false});
      }
      if (!turns().out(out, out_point, grid, first, last, to)) __atomic_store_n(&finite, false, __ATOMIC_RELAXED);
    }
  });
  return finite;
}

bool by_weight(const Sizes& s, const Grid& grid, const Image& x, const Image& y, float* w, int threads, float* space) {
  const int64_t taps = 9, strip = s.strip * threads, panels = s.depth / lanes;
  const int64_t matrix = apart(s.depth * s.out), in_point = apart(strip * s.depth), out_point = apart(strip * s.out);
  float* sums = space;
  float* in = sums + points * matrix;
  float* out = in + points * in_point;
  for (int64_t start = 0; start < s.tiles; start += strip) {
    const int64_t count = std::min(strip, s.tiles - start);
    parallel(threads, [&](int member, int members) {
      const auto [first, last] = share(count, member, members);
      turns().in(x, grid, start + first, start + last, in + first * lanes, in_point, lanes, count * lanes);
      turns().back_in(y, grid, start + first, start + last, out + first * lanes, out_point, lanes, count * lanes);
    });
    parallel(threads, [&](int member, int members) {
      const auto [first, last] = share(points * panels, member, members);
      for (int64_t item = first; item < last; ++item) {
        const int64_t k = item / panels, panel = item % panels;
        multiply<float>({in + k * in_point + panel * count * lanes, 1, lanes, lanes, count, out + k * out_point, s.out / lanes,
                         sums + k * matrix + panel * lanes * s.out, s.out, start > 0});
      }
    });
  }
  bool finite = true;
  parallel(threads, [&](int member, int members) {
    const auto [first, last] = share(s.out / lanes, member, members);
    for (int64_t panel = first; panel < last; ++panel) {
      for (int64_t c = 0; c < s.depth; ++c) {
        float* to = w + (panel * lanes * s.depth + c) * taps;
        if (!turns().weights_back(sums + c * s.out + panel * lanes, matrix, to, s.depth * taps)) {
          __atomic_store_n(&finite, false, __ATOMIC_RELAXED);
        }
      }
    }
  });
  return finite;
}

}  // namespace

bool pays(Pass pass, const Problem& p) {
  static const bool possible = [] {
    const char* wanted = std::getenv("FLAMBEAU_WINOGRAD");
    return (!wanted || std::strcmp(wanted, "0")) && isa() >= kAvx2;
  }();
  if (!possible || p.channels % lanes || p.filters % lanes) return false;
  const Sizes s = sizes_of(pass, p);
  const double tiles = static_cast<double>(s.tiles), weights = static_cast<double>(p.channels * p.filters);
  const double elements = 18.0 * static_cast<double>(p.n * p.rows * p.columns) * weights;
  // To turn a number of a tile costs as much as some 25 operations of a product, one of the weights (far apart in memory) as 100.
  const double products = 2 * points * tiles * weights;
  const double turning = points * (25 * tiles * static_cast<double>(p.channels + p.filters) + 100 * weights);
  return products + turning < 0.85 * elements;
}

int64_t workspace(Pass pass, const Problem& p) {
  const Sizes s = sizes_of(pass, p);
  const int64_t strips = p.threads * (apart(s.strip * p.channels) + apart(s.strip * p.filters));
  return sizeof(float) * points * (apart(p.channels * p.filters) + strips);
}

bool run(Pass pass, const Problem& p, float* x, float* w, float* y, char* space) {
  const Sizes s = sizes_of(pass, p);
  const bool back = pass == BY_INPUT;
  const Image in{x, p.height, p.width, p.channels}, out{y, p.rows, p.columns, p.filters};
  const int64_t height = back ? p.height : p.rows, width = back ? p.width : p.columns;
  const Grid grid{(height + 1) / 2, (width + 1) / 2, back ? 2 - p.top : p.top, back ? 2 - p.left : p.left};
  auto* memory = reinterpret_cast<float*>(space);
  if (pass == BY_WEIGHT) return by_weight(s, grid, in, out, w, p.threads, memory);
  return back ? convolve(s, grid, out, in, w, true, p.threads, memory) : convolve(s, grid, in, out, w, false, p.threads, memory);
}

}  // namespace flambeau::winograd
