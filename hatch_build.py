"""Build hook: compiles the native kernels into the wheel (of an editable install: into the source tree), or says in one
line why they are left out."""

from __future__ import annotations

import os
import runpy
import shutil
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeKernels(BuildHookInterface):
    """`FLAMBEAU_BUILD_NATIVE=0` leaves the kernels out; everything works without them, on XLA's own operators."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        if os.environ.get("FLAMBEAU_BUILD_NATIVE", "1") == "0":
            self._left_out("FLAMBEAU_BUILD_NATIVE=0 is set")
            return
        build = runpy.run_path(str(root / "native" / "build.py"))
        # Beside the sources, not where the wheel goes (pip's folder for that is another one each time): installations of the
        # same sources compile once.
        library = (root / "build" if os.access(root, os.W_OK) else Path(self.directory)) / "native" / build["LIBRARY"]
        try:
            build["compile_native"](library)
        except build["CannotBuild"] as reason:
            self._left_out(str(reason))
            return
        if version == "editable":
            shutil.copy2(library, build["IN_TREE"])
            return
        build_data["force_include"][str(library)] = f"flambeau/native/{build['LIBRARY']}"
        build_data["pure_python"] = False
        # No Python C API is used, so one wheel serves every version of Python on this platform.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def _left_out(self, reason: str) -> None:
        self.app.display_warning(f"flambeau is built without native kernels: {reason}")
