"""Weights from the web: files are fetched once, into a cache folder, and loaded from there."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from .checkpoint import load as _load_file
from .core.dispatch.help import explain_namespace as _explain_namespace
from .runtime.settings import asks_setting as _asks_setting
from .runtime.settings import changes_setting as _changes_setting

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

_folder: str | None = None
HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")  # resnet18-5c106cde.pth


def _get_torch_home() -> str:
    """`$TORCH_HOME`, or `torch` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch")))


@_asks_setting
def get_dir() -> str:
    """The cache folder: what `set_dir` was given, else `$TORCH_HOME/hub`, else `torch/hub` in the user's cache."""
    if _folder is not None:
        return _folder
    return os.path.join(_get_torch_home(), "hub")


@_changes_setting
def set_dir(d: str | os.PathLike[str]) -> None:
    """Keep what is fetched from now on in the folder `d`."""
    global _folder
    _folder = os.path.expanduser(d)


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Fetch `url` into the file `dst`, which appears only when it is whole; `progress` shows a bar.

    Raises RuntimeError if the SHA256 of the content does not begin with `hash_prefix`.
    """
    from rich.console import Console
    from rich.progress import wrap_file

    target = Path(os.path.expanduser(dst))
    digest = hashlib.sha256()
    with (
        urlopen(Request(url, headers={"User-Agent": "flambeau"})) as answer,
        tempfile.TemporaryDirectory(dir=target.parent) as folder,
    ):
        part = Path(folder) / target.name
        size = int(answer.headers.get("Content-Length") or 0)
        bar: Any = {"description": target.name, "disable": not progress, "console": Console(stderr=True)}
        with wrap_file(answer, size, **bar) as source, part.open("wb") as file:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                file.write(chunk)
        if hash_prefix and not digest.hexdigest().startswith(hash_prefix):
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
        part.replace(target)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """What the file at `url` holds, fetched into `model_dir` (`checkpoints` in `get_dir()`) unless it is there already.

    With `check_hash` the file's name has to tell the beginning of its SHA256, as in `name-5c106cde.pth`. Unlike
    PyTorch's, it executes nothing that the file says unless `weights_only=False`.
    """
    folder = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        print(f'Downloading: "{url}" to {path}')
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, found.group(1) if found else None, progress)
    return _load_file(path, map_location=map_location, weights_only=weights_only)


# --- models of a folder ------------------------------------------------------------------------------------------------

_REFUSED = "code is not fetched from GitHub and run here: clone the repository, and load it with source='local' and the path of the folder"


@contextlib.contextmanager
def _hubconf(folder: Any) -> Iterator[Any]:
    """The module `hubconf.py` of a folder, which is on the path meanwhile. RuntimeError if it needs what is not there."""
    path = os.path.join(os.fspath(folder), "hubconf.py")
    sys.path.insert(0, os.fspath(folder))
    try:
        spec = importlib.util.spec_from_file_location("hubconf", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        needed = getattr(module, "dependencies", None) or []
        missing = [name for name in needed if name not in sys.modules and importlib.util.find_spec(name) is None]
        if missing:
            raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
        yield module
    finally:
        sys.path.remove(os.fspath(folder))


def _entry(module: Any, model: str) -> Any:
    if not isinstance(model, str):
        raise ValueError("Invalid input: model should be a string of function name")
    found = getattr(module, model, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {model} in hubconf")
    return found


def _folder_of(github: Any) -> Any:
    if os.path.isdir(github):
        return github
    raise NotImplementedError(f"torch.hub: {github}: {_REFUSED}")


def list(
    github: Any,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = "check",
    verbose: bool = True,
) -> Any:
    """The names of the functions that a folder's `hubconf.py` offers. NotImplementedError for a repository on GitHub."""
    with _hubconf(_folder_of(github)) as module:
        return [name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")]


def help(
    github: Any, model: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = "check"
) -> Any:
    """The docstring of one of them."""
    with _hubconf(_folder_of(github)) as module:
        return _entry(module, model).__doc__


def load(
    repo_or_dir: Any, model: str, *args: Any, source: str = "github", trust_repo: Any = "check", force_reload: bool = False,
    verbose: bool = True, skip_validation: bool = False, **kwargs: Any,
) -> Any:  # fmt: skip
    """What a function of a folder's `hubconf.py` returns for these arguments; `source` has to be 'local'.

    The folder's code is run: it has to be one that you trust. Raises NotImplementedError for `source='github'`, ValueError for
    any other, RuntimeError if there is no such function or something that it needs is not installed.
    """
    source = source.lower()
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "github":
        raise NotImplementedError(f"torch.hub.load({repo_or_dir!r}): {_REFUSED}")
    with _hubconf(repo_or_dir) as module:
        return _entry(module, model)(*args, **kwargs)


class _Faketqdm:
    """In place of tqdm's bar where that is not installed: the same calls, and a line on stderr now and then."""

    def __init__(self, total: int | None = None, disable: bool = False, **options: Any):
        self.total, self.disable, self.n = total, disable, 0

    def update(self, n: int) -> None:
        """So much more is done."""
        self.n += n
        if not self.disable:
            print(f"\r{100 * self.n / self.total:.1f}%" if self.total else f"\r{self.n} bytes", end="", file=sys.stderr)

    def set_description(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is shown."""

    def close(self) -> None:
        """The bar ends."""
        self.disable = True

    def __enter__(self) -> _Faketqdm:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


if TYPE_CHECKING:
    tqdm = _Faketqdm
else:

    def __getattr__(name: str) -> Any:
        if name == "tqdm":
            try:
                from tqdm import tqdm
            except ImportError:
                return _Faketqdm
            return tqdm
        raise AttributeError(f"module {__name__!r} has no attribute {name!r} (yet)")


_explain_namespace(globals(), "torch.hub")
