"""Compile the native kernels: `python native/build.py` puts them into the source tree, where flambeau finds them.

Needs a C++17 compiler (CXX, else c++), jaxlib (the headers of XLA's FFI) and oneDNN with its headers
(`pip install onednn-devel-cpu-gomp==2023.2.0`). The wheel's build hook calls `compile_native` too.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

LIBRARY = "libflambeau_native.so"
HERE = Path(__file__).resolve().parent
SOURCES = tuple(sorted(file.name for file in HERE.glob("*.cc")))
IN_TREE = HERE.parent / "src" / "flambeau" / "native" / LIBRARY  # where flambeau looks for it


class CannotBuild(Exception):
    """Something that the native kernels need is not there; the text says what."""


def _file_of(distribution: str, ending: str) -> Path:
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        raise CannotBuild(f"{distribution} is not installed") from None
    for file in files:
        if str(file).endswith(ending):
            return Path(str(file.locate())).resolve()
    raise CannotBuild(f"{distribution} holds no {ending}")


def compile_native(target: Path) -> None:
    """Compile the kernels into the shared library `target`; raises `CannotBuild` with the reason."""
    if sys.platform != "linux" or sysconfig.get_platform().rpartition("-")[2] != "x86_64":
        raise CannotBuild(f"they are written for Linux on x86-64, and this is {sysconfig.get_platform()}")
    named = os.environ.get("CXX")
    compiler = next((c for c in ([named] if named else ("c++", "g++", "clang++")) if shutil.which(c.split()[0])), None)
    if compiler is None:
        raise CannotBuild(f"no C++ compiler was found ({f'CXX={named}' if named else 'c++, g++, clang++; or set CXX'})")
    jaxlib = importlib.util.find_spec("jaxlib")
    if jaxlib is None or not jaxlib.submodule_search_locations:
        raise CannotBuild("jaxlib, whose headers they include, is not installed")
    headers = [Path(jaxlib.submodule_search_locations[0]) / "include"]
    headers.append(_file_of("onednn-devel-cpu-gomp", "include/oneapi/dnnl/dnnl.hpp").parents[2])
    onednn = _file_of("onednn-cpu-gomp", "libdnnl.so.3")
    options = [
        *("-std=c++17", "-O2", "-fPIC", "-pthread", "-fvisibility=hidden", "-Wall", "-Wextra"),
        "-fno-math-errno",  # nobody reads it, and setting it keeps square roots out of vectors (in clones a pragma is not enough)
        *(
            "-Wno-unused-parameter",
            "-Wno-missing-field-initializers",
            "-Wno-psabi",
        ),  # vectors stay within inlined functions
    ]
    included = [argument for path in headers for argument in ("-isystem", str(path))]
    target.parent.mkdir(parents=True, exist_ok=True)
    note, made_of = target.with_suffix(".made_of"), _made_of(compiler, options)
    if target.exists() and note.exists() and note.read_text() == made_of:
        return
    note.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = [str(Path(folder) / f"{source}.o") for source in SOURCES]
        calls = [
            ["-c", *options, *included, str(HERE / source), "-o", made]
            for source, made in zip(SOURCES, objects, strict=True)
        ]
        list(pool.map(lambda arguments: _call(compiler, arguments), calls))
        link = ["-shared", "-pthread", *objects, str(onednn), "-Wl,-rpath,$ORIGIN", "-Wl,--no-undefined"]
        _call(compiler, [*link, "-o", str(target)])
    note.write_text(made_of)


def _made_of(compiler: str, options: list[str]) -> str:
    """What a library is made of: while that is the same, it need not be compiled again (it takes a minute of the processor)."""
    version = subprocess.run([*compiler.split(), "--version"], capture_output=True, text=True).stdout
    headers = [importlib.metadata.version(name) for name in ("jaxlib", "onednn-devel-cpu-gomp")]
    files = [file.name.encode() + file.read_bytes() for file in sorted(HERE.iterdir()) if file.is_file()]
    return blake2b(repr((compiler, version, options, headers, files)).encode()).hexdigest()


def _call(compiler: str, arguments: list[str]) -> None:
    done = subprocess.run([*compiler.split(), *arguments], capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()[-1:]
        raise CannotBuild(f"{compiler} failed: {' '.join(lines[:1])}")
    if done.stderr.strip():
        print(done.stderr, file=sys.stderr)


if __name__ == "__main__":
    try:
        compile_native(IN_TREE)
    except CannotBuild as reason:
        sys.exit(f"the native kernels cannot be compiled here: {reason}")
    print(f"made {IN_TREE.relative_to(HERE.parent)}")
