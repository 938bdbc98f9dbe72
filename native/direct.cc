// Handlers called without XLA: the host fills in the frame that XLA would, and gets the results as DLPack's tensors.
//
// A program of XLA has to be compiled for every shape before its first call, which for a kernel's call is all that it does. A `Site`
// holds what stays the same from call to call: the handler, the buffers' dtypes and dimensions, the attributes.

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "attributes.h"
#include "xla/ffi/api/ffi.h"

namespace flambeau {
namespace {

// The part of DLPack's header (https://dmlc.github.io/dlpack/latest/c_api.html) that is needed here.
struct DLTensor {
  void* data;
  int32_t device_type, device_id;
  int32_t ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};

struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};

constexpr int32_t on_cpu = 1;
constexpr uint8_t floating = 2;
constexpr size_t alignment = 64;  // what XLA asks of memory that it did not allocate

struct Made {  // a result, which its deleter frees
  DLManagedTensor managed{};
  std::vector<int64_t> shape, strides;
  ~Made() { std::free(managed.tensor.data); }
};

void let_go(DLManagedTensor* tensor) { delete static_cast<Made*>(tensor->context); }

struct Buffer {
  XLA_FFI_DataType dtype;
  std::vector<int64_t> dims;  // as the handler sees them
  std::vector<int64_t> shape, strides;  // of a result: as everybody else does
  size_t bytes() const {
    size_t n = sizeof(float);
    for (auto d : dims) n *= d;
    return n;
  }
};

struct Attribute {
  std::string name;
  bool is_list;
  std::vector<int64_t> values;
};

struct Site {
  XLA_FFI_Handler* handler;
  std::vector<Buffer> arguments, results;
  std::vector<Attribute> attributes;  // by name, as XLA has them

  std::vector<XLA_FFI_Scalar> scalars;
  std::vector<XLA_FFI_Array> lists;
  std::vector<XLA_FFI_ByteSpan> texts;
  std::vector<XLA_FFI_ByteSpan*> names;
  std::vector<XLA_FFI_AttrType> kinds;
  std::vector<void*> values;

  void settle() {
    for (auto& a : attributes) {
      scalars.push_back({XLA_FFI_DataType_S64, a.values.data()});
      lists.push_back({XLA_FFI_DataType_S64, a.values.size(), a.values.data()});
      texts.push_back({a.name.data(), a.name.size()});
    }
    for (size_t i = 0; i < attributes.size(); ++i) {
      names.push_back(&texts[i]);
      kinds.push_back(attributes[i].is_list ? XLA_FFI_AttrType_ARRAY : XLA_FFI_AttrType_SCALAR);
      values.push_back(attributes[i].is_list ? static_cast<void*>(&lists[i]) : &scalars[i]);
    }
  }
};

// Errors, as XLA would keep them.
thread_local std::string last_error;

XLA_FFI_Error* take_down(XLA_FFI_Error_Create_Args* given) {
  last_error = given->message;
  return reinterpret_cast<XLA_FFI_Error*>(&last_error);
}

const XLA_FFI_Api* api() {
  static const XLA_FFI_Api known = [] {
    XLA_FFI_Api made;
    std::memset(&made, 0, sizeof made);
    made.struct_size = XLA_FFI_Api_STRUCT_SIZE;
    made.api_version = {XLA_FFI_Api_Version_STRUCT_SIZE, nullptr, XLA_FFI_API_MAJOR, XLA_FFI_API_MINOR};
    made.XLA_FFI_Error_Create = take_down;
    return made;
  }();
  return &known;
}

XLA_FFI_Buffer described(Buffer& buffer, void* data) {
  return {XLA_FFI_Buffer_STRUCT_SIZE, nullptr, buffer.dtype, data, static_cast<int64_t>(buffer.dims.size()), buffer.dims.data()};
}

std::unique_ptr<Made> made_for(const Buffer& buffer) {
  auto made = std::make_unique<Made>();
  made->shape = buffer.shape;
  made->strides = buffer.strides;
  void* data = nullptr;
  if (posix_memalign(&data, alignment, std::max(buffer.bytes(), alignment))) throw std::bad_alloc();
  made->managed = {{data, on_cpu, 0, static_cast<int32_t>(made->shape.size()), floating, 32, 1, made->shape.data(),
                    made->strides.data(), 0}, made.get(), let_go};
  return made;
}

// The results are new tensors or, where `memory` is given, written there.
void call(Site& site, void* const* given, DLManagedTensor** results, void* const* memory) {
  std::vector<XLA_FFI_Buffer> buffers;
  std::vector<void*> places;
  std::vector<std::unique_ptr<Made>> made;
  const size_t n = site.arguments.size(), m = site.results.size();
  buffers.reserve(n + m);
  for (size_t i = 0; i < n; ++i) buffers.push_back(described(site.arguments[i], given[i]));
  for (size_t i = 0; i < m; ++i) {
    if (!memory) made.push_back(made_for(site.results[i]));
    buffers.push_back(described(site.results[i], memory ? memory[i] : made.back()->managed.tensor.data));
  }
  for (auto& buffer : buffers) places.push_back(&buffer);
  std::vector<XLA_FFI_ArgType> argument_types(n, XLA_FFI_ArgType_BUFFER);
  std::vector<XLA_FFI_RetType> result_types(m, XLA_FFI_RetType_BUFFER);
  XLA_FFI_CallFrame frame{};
  frame.struct_size = XLA_FFI_CallFrame_STRUCT_SIZE;
  frame.api = api();
  frame.stage = XLA_FFI_ExecutionStage_EXECUTE;
  frame.args = {XLA_FFI_Args_STRUCT_SIZE, nullptr, static_cast<int64_t>(n), argument_types.data(), places.data()};
  frame.rets = {XLA_FFI_Rets_STRUCT_SIZE, nullptr, static_cast<int64_t>(m), result_types.data(), places.data() + n};
  frame.attrs = {XLA_FFI_Attrs_STRUCT_SIZE, nullptr, static_cast<int64_t>(site.kinds.size()), site.kinds.data(),
                 site.names.data(), site.values.data()};
  if (site.handler(&frame)) throw std::runtime_error(last_error);
  for (size_t i = 0; i < made.size(); ++i) results[i] = &made[i].release()->managed;
}

const char* told(Site& site, void* const* given, DLManagedTensor** results, void* const* memory) {
  try {
    call(site, given, results, memory);
  } catch (const std::exception& error) {
    if (error.what() != last_error) last_error = error.what();
    return last_error.c_str();
  }
  return nullptr;
}

}  // namespace
}  // namespace flambeau

// A site from numbers: how many arguments, results and attributes; of each buffer its dtype, rank and dimensions, and of a result
// its rank, shape and strides besides; of each attribute whether it is a list, its length and values. `names`: one to a line.
PUBLIC void* flambeau_direct_new(void* handler, const int64_t* numbers, const char* names) {
  using namespace flambeau;
  auto* site = new Site{reinterpret_cast<XLA_FFI_Handler*>(handler)};
  auto list = [&](int64_t size) {
    std::vector<int64_t> found(numbers, numbers + size);
    numbers += size;
    return found;
  };
  auto counted = [&] {
    const int64_t size = *numbers++;
    return list(size);
  };
  const auto counts = list(3);
  for (int64_t i = 0; i < counts[0] + counts[1]; ++i) {
    Buffer buffer{static_cast<XLA_FFI_DataType>(*numbers++), counted()};
    if (i >= counts[0]) {
      buffer.shape = counted();
      buffer.strides = list(static_cast<int64_t>(buffer.shape.size()));
    }
    (i < counts[0] ? site->arguments : site->results).push_back(std::move(buffer));
  }
  for (int64_t i = 0; i < counts[2]; ++i) {
    const char* end = std::strchr(names, '\n');
    const bool is_list = *numbers++;
    site->attributes.push_back({std::string(names, end), is_list, counted()});
    names = end + 1;
  }
  site->settle();
  return site;
}

PUBLIC void flambeau_direct_free(void* site) { delete static_cast<flambeau::Site*>(site); }

// Calls the handler; gives the results' tensors, or a text if it has failed.
PUBLIC const char* flambeau_direct_call(void* site, void* const* arguments, void** results) {
  using namespace flambeau;
  return told(*static_cast<Site*>(site), arguments, reinterpret_cast<DLManagedTensor**>(results), nullptr);
}

// The same with results that are written into memory which is there, and which may be the arguments'.
PUBLIC const char* flambeau_direct_over(void* site, void* const* arguments, void* const* memory) {
  using namespace flambeau;
  return told(*static_cast<Site*>(site), arguments, nullptr, memory);
}
