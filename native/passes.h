// Which of a convolution's three arrays a call computes of the two others.
#pragma once

#include <cstdint>

namespace flambeau {

enum Pass : int64_t { FORWARD, BY_INPUT, BY_WEIGHT };

}  // namespace flambeau
