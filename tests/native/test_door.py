"""What flambeau says and does where compiled kernels are missing: in processes with a library that was tampered with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau import native
from support.process import run_code

LIBRARY = "libflambeau_native.so"
needs_native = pytest.mark.skipif(not native.available(), reason=f"no native kernels: {native.why_not()}")

# A product and a pool with its gradient: their kernels and values, and the warnings that there were.
CODE = """
import warnings
import jax, jax.numpy as jnp, numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from flambeau import native
    from flambeau.native.pooling import max_pooled
    from flambeau.native.product import product
    from flambeau.native.xla_pooling import regular
    windows = [regular(8, 2, 2, 0, 1, 4)] * 2
    a, x = jnp.ones((300, 200), np.float32), jnp.ones((2, 64, 8, 8), np.float32)
    multiply = jax.jit(lambda a: product(a, a.T))
    pool = jax.jit(jax.grad(lambda x: max_pooled(x, windows)[0].sum()))
    assert (np.asarray(multiply(a)) == 200).all()
    assert np.asarray(pool(x)).sum() == 2 * 64 * 16
    texts = multiply.lower(a).as_text() + pool.lower(x).as_text()
print([t for t in native.expected() if f"@{t}(" in texts])
print(native.missing(), repr(native.why_not()))
print([f"{w.category.__name__}: {w.message}" for w in caught if "flambeau" in str(w.message)])
"""
USED = ["flambeau_product", "flambeau_max_pool_places", "flambeau_pool_put"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of the package that is tested."""
    shutil.copytree(Path(flambeau.__file__).parent, tmp_path / "flambeau", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def misspell(folder: Path, symbol: str) -> None:
    library = folder / "flambeau" / "native" / LIBRARY
    content = library.read_bytes()
    wanted = b"\0" + symbol.encode() + b"\0"
    assert content.count(wanted) >= 1
    library.write_bytes(content.replace(wanted, wanted[:-2] + b"~\0"))


def run(folder: Path, mode: str = "", code: str = CODE) -> Any:
    return run_code(f"import os\nos.environ['FLAMBEAU_NATIVE'] = {mode!r}\n{code}", source=folder, check=False)


def lines(done: Any) -> list[Any]:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@needs_native
def test_all_kernels_are_there(copy: Path) -> None:
    assert native.missing() == ()
    assert lines(run(copy, "require")) == [str([t for t in native.expected() if t in USED]), "() ''", "[]"]


@needs_native
@pytest.mark.parametrize("symbol", USED)
def test_a_missing_symbol_takes_away_its_kernel_only(copy: Path, symbol: str) -> None:
    misspell(copy, symbol)
    used, missing, warned = lines(run(copy))
    assert used == str([t for t in native.expected() if t in USED and t != symbol])
    assert missing == f"({symbol!r},) ''"
    text = f"flambeau's native kernels: {LIBRARY} has no {symbol}: XLA's own operators are used there"
    assert warned == str([f"RuntimeWarning: {text}"])
    done = run(copy, code="import flambeau; print(flambeau.show_config())")
    assert done.stdout.strip().endswith(f"without {symbol}")


@needs_native
def test_a_missing_symbol_is_an_error_where_kernels_are_required(copy: Path) -> None:
    misspell(copy, "flambeau_moments")
    done = run(copy, "require", "import flambeau")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"ImportError: FLAMBEAU_NATIVE=require is set, and {LIBRARY} has no flambeau_moments"
    )


@needs_native
@pytest.mark.parametrize(
    ("symbol", "reason"),
    [("flambeau_set_num_threads", f"{LIBRARY} has no flambeau_set_num_threads"), (None, "file too short")],
)
def test_a_broken_library_is_not_passed_over_in_silence(copy: Path, symbol: str | None, reason: str) -> None:
    if symbol is None:
        (copy / "flambeau" / "native" / LIBRARY).write_bytes(b"\x7fELF")
    else:
        misspell(copy, symbol)
    used, _, warned = lines(run(copy))
    assert used == "[]"
    assert warned.count("RuntimeWarning") == 1 and "the compiled kernels do not load: " in warned and reason in warned
    done = run(copy, "require", "import flambeau")
    assert "ImportError: FLAMBEAU_NATIVE=require is set, and the compiled kernels do not load: " in done.stderr


def test_an_installation_without_kernels(copy: Path) -> None:
    (copy / "flambeau" / "native" / LIBRARY).unlink(missing_ok=True)
    used, reason, warned = lines(run(copy))
    assert (used, warned) == ("[]", "[]")
    assert "this installation has no compiled kernels" in reason
    done = run(copy, "require", "import flambeau")
    assert "ImportError: FLAMBEAU_NATIVE=require is set, and this installation has no compiled kernels" in done.stderr


def test_turned_off(copy: Path) -> None:
    used, reason, warned = lines(run(copy, "0"))
    assert (used, warned) == ("[]", "[]") and "FLAMBEAU_NATIVE=0 is set" in reason


def test_a_setting_that_there_is_not(copy: Path) -> None:
    done = run(copy, "yes", "import flambeau")
    assert done.stderr.splitlines()[-1] == "ValueError: FLAMBEAU_NATIVE is to be 0, 1 or require, but it is 'yes'"
