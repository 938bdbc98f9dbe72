// What is said of functions: to the linker, and to the compiler.
#pragma once

// A symbol that the library exports.
#define PUBLIC extern "C" __attribute__((visibility("default")))
// Compiled once for each of these instruction sets; the processor's best is chosen when the library is loaded.
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
