"""The three convolutions, native and in XLA's own form, against torch."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from flambeau import native
from flambeau.native import convolution as nc
from flambeau.native import xla_convolution

needs_native = pytest.mark.skipif(not native.available(), reason=f"no native kernels: {native.why_not()}")
both_forms = pytest.mark.parametrize("form", [pytest.param("native", marks=needs_native), "xla"])


@contextlib.contextmanager
def using(form):
    with native.portable() if form == "xla" else contextlib.nullcontext():
        yield


@dataclass
class Case:
    x: tuple
    w: tuple
    stride: tuple = ()
    low: tuple = ()
    high: tuple = ()
    dilation: tuple = ()
    groups: int = 1
    settings: tuple = field(init=False)

    def __post_init__(self):
        n = len(self.x) - 2
        self.stride, self.dilation = self.stride or (1,) * n, self.dilation or (1,) * n
        self.low = self.low or (0,) * n
        self.high = self.high or self.low
        self.settings = (self.stride, self.low, self.high, self.dilation, self.groups)

    def __str__(self):
        names = ("x", "w", "stride", "low", "high", "dilation", "groups")
        return " ".join(f"{n}={getattr(self, n)}".replace(" ", "") for n in names)

    @property
    def y(self):
        return (self.x[0], self.w[0], *nc.output_spatial_shape(self.x[2:], self.w[2:], *self.settings[:4]))

    def torch(self, x, w):
        pads = [p for pair in zip(self.low[::-1], self.high[::-1], strict=True) for p in pair]
        conv = (F.conv1d, F.conv2d, F.conv3d)[len(self.stride) - 1]
        return conv(F.pad(x, pads), w, None, self.stride, 0, self.dilation, self.groups)

    def functions(self):
        """The three of them by the arguments that they take."""
        return {
            "xw": lambda x, w: nc.convolution(x, w, *self.settings),
            "gw": lambda g, w: nc.convolution_input(g, w, self.x[2:], *self.settings),
            "xg": lambda x, g: nc.convolution_weight(x, g, self.w[2:], *self.settings),
        }


CASES = [
    Case((2, 3, 11), (4, 3, 3), stride=(2,), low=(1,)),
    Case((2, 6, 17), (6, 1, 4), low=(3,), high=(1,), groups=6),
    Case((2, 3, 9, 11), (5, 3, 3, 2)),
    Case((3, 8, 13, 7), (16, 4, 3, 3), stride=(2, 1), low=(1, 1), groups=2),
    Case((2, 4, 15, 16), (6, 4, 2, 2), stride=(3, 4)),
    Case((2, 4, 15, 16), (6, 4, 3, 2), stride=(5, 3), low=(1, 0), dilation=(1, 2)),
    Case((1, 16, 14, 14), (16, 1, 3, 3), low=(1, 1), groups=16),
    Case((2, 4, 10, 10), (12, 1, 5, 5), stride=(2, 2), low=(2, 2), groups=4),
    Case((2, 4, 12, 13), (8, 4, 3, 3), low=(2, 2), dilation=(2, 2)),
    Case((2, 3, 8, 9), (4, 3, 4, 4), low=(1, 1), high=(2, 2)),
    Case((2, 8, 7, 7), (16, 8, 1, 1)),
    Case((2, 8, 7, 8), (16, 8, 1, 1), stride=(2, 2)),
    Case((1, 1, 1, 1), (1, 1, 1, 1)),
    Case((2, 5, 3, 3), (7, 5, 3, 3)),
    Case((2, 2, 3, 3), (2, 2, 1, 1), low=(2, 2)),
    Case((1, 3, 30, 30), (64, 3, 7, 7), stride=(2, 2), low=(3, 3)),
    Case((2, 2, 5, 6, 7), (4, 2, 3, 2, 3), stride=(2, 1, 2), low=(1, 0, 1)),
    Case((1, 4, 5, 5, 5), (4, 1, 3, 3, 3), low=(1, 1, 1), groups=4),
    Case((2, 64, 1, 21), (16, 16, 3, 5), (1, 2), (1, 3), (3, 2), (2, 2), groups=4),  # outputs that meet only padding
    Case((2, 4, 5, 5), (6, 4, 2, 2), low=(3, 3)),
    Case((2, 8, 8, 13), (19, 8, 2, 4), (2, 3), (1, 4), (3, 0), (1, 3)),
    Case((2, 32, 11), (128, 4, 4), low=(4,), high=(2,), groups=8),
    Case((2, 128, 6, 7), (130, 128, 3, 2), stride=(2, 1), low=(1, 0), dilation=(1, 2)),
    Case((2, 130, 9), (128, 130, 1), stride=(2,)),
    Case((8, 64, 20, 20), (64, 64, 3, 3), low=(1, 1)),  # large enough for several threads
]


def random_arrays(case, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return {n: rng.standard_normal(getattr(case, a)).astype(dtype) for n, a in (("x", "x"), ("w", "w"), ("g", "y"))}


def expected(case, arrays, dtype=torch.float64):
    x, w = (torch.tensor(arrays[n].astype(np.float64), dtype=dtype, requires_grad=True) for n in "xw")
    y = case.torch(x, w)
    dx, dw = torch.autograd.grad(y, (x, w), torch.tensor(arrays["g"].astype(np.float64), dtype=dtype))
    return {"xw": y.detach(), "gw": dx, "xg": dw}


def close(ours, theirs, terms, eps=1.2e-7):
    theirs = theirs.double().numpy()
    assert ours.shape == theirs.shape
    error = np.abs(np.asarray(ours, np.float64) - theirs).max(initial=0)
    limit = 8 * eps * max(1.0, terms) ** 0.5 * max(1.0, np.abs(theirs).max(initial=0))
    assert error <= limit, f"largest difference {error:.3g}, allowed {limit:.3g}"


def agrees_with_torch(case, seed=0, dtype=np.float32, eps=1.2e-7, **options):
    arrays = random_arrays(case, seed, dtype)
    wanted = expected(case, arrays)
    functions = case.functions()
    program = jax.jit(lambda arrays: {n: f(arrays[n[0]], arrays[n[1]]) for n, f in functions.items()}).lower(arrays)
    results = program.compile(compiler_options=options)(arrays)
    for names, result in results.items():
        terms = arrays[names[0]].size * arrays[names[1]].size / max(1, result.size)
        close(result, wanted[names], terms**0.5, eps)


@both_forms
@pytest.mark.parametrize("case", CASES, ids=str)
def test_three_passes(case, form):
    with using(form):
        agrees_with_torch(case)


@needs_native
@pytest.mark.parametrize("case", CASES[::3], ids=str)
def test_bfloat16(case):
    if not native.serves(jnp.bfloat16):
        pytest.skip("this processor has no bfloat16 kernels")
    agrees_with_torch(case, dtype=jnp.bfloat16, eps=2**-8)


PLANES = [  # what is computed over planes in 32 bits, too: few channels, and what oneDNN has no kernel for
    Case((64, 3, 32, 32), (6, 3, 5, 5)),
    Case((3, 6, 14, 15), (16, 6, 5, 5), low=(2, 1)),
    Case((2, 3, 23, 9), (1, 3, 3, 2), stride=(3, 2), low=(1, 1), dilation=(2, 1)),
    Case((2, 8, 11, 9, 10), (8, 1, 3, 3, 3), low=(2, 2, 2), dilation=(2, 2, 2), groups=8),
    Case((2, 16, 21, 20), (32, 4, 5, 5), stride=(2, 2), low=(1, 3), dilation=(2, 2), groups=4),
    Case((1, 12, 40), (33, 4, 3), stride=(4,), low=(2,), groups=3),
]


@needs_native
@pytest.mark.parametrize("case", [*CASES[::2], *PLANES], ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_over_planes(case, threads):
    before = native.get_num_threads()
    native.set_num_threads(threads)
    try:
        agrees_with_torch(case, dtype=np.float64, eps=2.3e-16, xla_backend_optimization_level=0)
        if case in PLANES:
            agrees_with_torch(case, xla_backend_optimization_level=0)
    finally:
        native.set_num_threads(before)


@needs_native
@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_stays_where_it_belongs(value, dtype):
    """Planes have places beside the grid of the outputs: what stands there is no part of any sum."""
    case = Case((2, 3, 6, 7), (4, 3, 3, 3))
    arrays = random_arrays(case, dtype=dtype)
    arrays["x"][1, 1, 5, 6] = value
    wanted = expected(case, arrays)
    for names in ("xw", "xg"):
        result = jax.jit(case.functions()[names])(*(arrays[n] for n in names))
        np.testing.assert_array_equal(np.isfinite(result), np.isfinite(wanted[names].numpy()))


@needs_native
@pytest.mark.parametrize(
    "case",
    [
        Case((1, 4, 1), (19, 4, 7), stride=(5,), low=(2,), high=(5,)),
        Case((3, 8, 1, 4), (32, 1, 2, 5), stride=(2, 5), low=(0, 1), high=(2, 1), groups=8),
        Case((2, 64, 1, 21), (16, 16, 3, 5), (1, 2), (1, 3), (3, 2), (2, 2), groups=4),
    ],
    ids=str,
)
def test_kernel_elements_that_meet_only_padding(case):
    """Their gradient is zero, also in memory that held something else before."""
    if not native.serves(jnp.bfloat16):
        pytest.skip("this processor has no bfloat16 kernels")
    agrees_with_torch(Case((4, 32, 24, 24), (32, 32, 3, 3)), dtype=jnp.bfloat16, eps=2**-8)
    agrees_with_torch(case, dtype=jnp.bfloat16, eps=2**-8)


@both_forms
def test_gradients_of_gradients(form):
    case = Case((2, 4, 7, 6), (6, 2, 3, 2), stride=(2, 1), low=(1, 0), high=(0, 1), dilation=(1, 2), groups=2)
    arrays = random_arrays(case)
    rng = np.random.default_rng(1)

    def ours(x, w):
        y, back = jax.vjp(case.functions()["xw"], x, w)
        return back(jnp.sin(y))

    tx, tw = (torch.tensor(arrays[n], requires_grad=True) for n in "xw")
    ty = case.torch(tx, tw)
    first = torch.autograd.grad(ty, (tx, tw), torch.sin(ty), create_graph=True)
    seeds = [rng.standard_normal(a.shape).astype(np.float32) for a in first]
    second = torch.autograd.grad(first, (tx, tw), [torch.tensor(s) for s in seeds])
    with using(form):
        mine, back = jax.vjp(ours, arrays["x"], arrays["w"])
        for a, b in zip((*mine, *back(tuple(map(jnp.asarray, seeds)))), (*first, *second), strict=True):
            np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-4, atol=1e-4)


@both_forms
@pytest.mark.parametrize("names", ["xw", "gw", "xg"])
def test_jvp_is_the_derivative(names, form):
    case = Case((2, 4, 7), (6, 2, 3), stride=(2,), low=(1,), groups=2)
    arrays, moves = random_arrays(case), random_arrays(case, 1)
    a, b, da, db = arrays[names[0]], arrays[names[1]], moves[names[0]], moves[names[1]]
    with using(form):
        f = case.functions()[names]
        _, tangent = jax.jvp(f, (a, b), (da, db))
        np.testing.assert_allclose(tangent, f(da, b) + f(a, db), rtol=1e-5, atol=1e-5)


@both_forms
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("names", ["xw", "gw", "xg"])
def test_vmap(names, groups, form):
    case = Case((2, 4, 7, 5), (6, 4 // groups, 3, 2), stride=(2, 1), low=(1, 1), groups=groups)
    f, axes = case.functions()[names], {"x": 1, "w": 2, "g": 0}
    plain = random_arrays(case)
    many = {n: np.stack([random_arrays(case, s)[n] for s in range(3)], axes[n]) for n in plain}
    with using(form):
        single = jax.jit(f)
        for mapped in ((True, False), (False, True), (True, True)):
            args = [many[n] if m else plain[n] for n, m in zip(names, mapped, strict=True)]
            dims = tuple(axes[n] if m else None for n, m in zip(names, mapped, strict=True))
            result = jax.vmap(f, dims)(*args)
            for i in range(3):
                one = [np.take(a, i, d) if d is not None else a for a, d in zip(args, dims, strict=True)]
                np.testing.assert_allclose(result[i], single(*one), rtol=1e-4, atol=1e-4)
        nothing = jax.vmap(f)(*(np.zeros((0, *plain[n].shape), np.float32) for n in names))
        assert nothing.shape == (0, *single(*(plain[n] for n in names)).shape)


@both_forms
@pytest.mark.parametrize(
    "case",
    [
        Case((0, 3, 8, 8), (4, 3, 3, 3)),
        Case((2, 0, 8, 8), (4, 0, 3, 3)),
        Case((2, 3, 8, 8), (0, 3, 3, 3)),
        Case((2, 3, 0, 4), (4, 3, 2, 2), low=(1, 1)),
    ],
    ids=str,
)
def test_nothing_to_add_up(case, form):
    arrays = random_arrays(case)
    with using(form):
        for names, f in case.functions().items():
            result = jax.jit(f)(*(arrays[n] for n in names))
            assert result.shape == arrays[({*"xwg"} - {*names}).pop()].shape
            assert not np.any(result)


@needs_native
def test_arrays_in_another_order():
    case = CASES[3]
    arrays = random_arrays(case)
    turned = {n: jnp.asarray(np.ascontiguousarray(a.T)) for n, a in arrays.items()}
    wanted = expected(case, arrays)
    for names, f in case.functions().items():
        result = jax.jit(lambda a, b, f=f: f(a.T, b.T))(*(turned[n] for n in names))
        np.testing.assert_allclose(result, wanted[names].numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.complex64])
def test_other_dtypes_use_xla(dtype):
    case = Case((2, 4, 6), (4, 2, 3), groups=2)
    arrays = random_arrays(case, dtype=dtype)
    f = case.functions()["xw"]
    assert not native.serves(dtype)
    assert "flambeau_convolution" not in jax.jit(f).lower(arrays["x"], arrays["w"]).as_text()
    assert f(arrays["x"], arrays["w"]).dtype == dtype


def test_shapes_are_checked():
    x, w = np.zeros((1, 4, 5, 5), np.float32), np.zeros((4, 4, 3, 3), np.float32)
    settings = ((1, 1), (0, 0), (0, 0), (1, 1))
    with pytest.raises(TypeError, match="channels do not agree"):
        nc.convolution(x, w[:, :3], *settings)
    with pytest.raises(TypeError, match="does not fit into an input"):
        nc.convolution(x[:, :, :2], w, *settings)
    with pytest.raises(TypeError, match="divisible by groups"):
        nc.convolution(x, w[:3, :2], *settings, groups=2)
    with pytest.raises(TypeError, match="one dtype"):
        nc.convolution(x, w.astype(np.float16), *settings)
    with pytest.raises(TypeError, match="gives an output of"):
        nc.convolution_input(x, w, (9, 9), *settings)
    with pytest.raises(TypeError, match="gives an output of"):
        nc.convolution_weight(x, x, (3, 3), *settings)


@needs_native
def test_the_choice_is_in_the_program():
    case = CASES[3]
    arrays = random_arrays(case)
    program = jax.jit(case.functions()["xw"])
    assert "custom_call @flambeau_convolution" in program.lower(arrays["x"], arrays["w"]).as_text()
    with native.portable():
        assert "custom_call @flambeau_convolution" not in program.lower(arrays["x"], arrays["w"]).as_text()
    exported = jax.export.export(program)(*(jax.ShapeDtypeStruct(arrays[n].shape, np.float32) for n in "xw"))
    assert "custom_call @flambeau_convolution" not in exported.mlir_module()
    wanted = expected(case, arrays)["xw"].numpy()
    np.testing.assert_allclose(exported.call(arrays["x"], arrays["w"]), wanted, rtol=1e-4, atol=1e-4)


@needs_native
def test_threads_setting():
    before = native.get_num_threads()
    case = CASES[-1]
    try:
        for threads in (1, 3, 2):
            native.set_num_threads(threads)
            assert native.get_num_threads() == threads
            agrees_with_torch(case)
    finally:
        native.set_num_threads(before)
    with pytest.raises(ValueError, match="positive"):
        native.set_num_threads(0)


@needs_native
def test_threads_of_python_at_once():
    cases = [CASES[-1], CASES[3], CASES[15]]
    jobs = []
    for case in cases:
        arrays = random_arrays(case)
        for names, f in case.functions().items():
            f = jax.jit(f)
            args = [arrays[n] for n in names]
            jobs.append((f, args, np.asarray(f(*args))))
    problems = []

    def work(offset):
        try:
            for i in range(60):
                f, args, wanted = jobs[(i + offset) % len(jobs)]
                np.testing.assert_allclose(f(*args), wanted, rtol=1e-5, atol=1e-4)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


SCRIPT = """
import os, sys, warnings
import numpy as np, jax
warnings.simplefilter("ignore")
from flambeau import native
from flambeau.native import convolution as nc
from flambeau.native import xla_convolution
x, w = np.ones((4, 32, 28, 28), np.float32), np.ones((64, 32, 3, 3), np.float32)
def run():
    f = jax.jit(lambda x, w: nc.convolution(x, w, (1, 1), (0, 0), (0, 0), (1, 1)))
    return bool((np.asarray(f(x, w)) == 288).all()), "flambeau_convolution" in f.lower(x, w).as_text()
"""


def in_process(code, **environment):
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + code],
        env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


def test_turned_off():
    assert in_process("print(*run(), native.available(), native.why_not())", FLAMBEAU_NATIVE="0") == [
        *("True", "False", "False"),
        *"FLAMBEAU_NATIVE=0 is set".split(),
    ]


def test_import_is_light():
    assert in_process("print(native._opened.cache_info().currsize)", FLAMBEAU_NATIVE="1") == ["0"]


@needs_native
def test_forked_child_is_refused():
    """XLA's threads are gone in a child, and a program could wait for them."""
    code = """
f = jax.jit(lambda x, w: nc.convolution(x, w, (1, 1), (0, 0), (0, 0), (1, 1)))
x, w = jax.device_put(x), jax.device_put(w)
print((np.asarray(f(x, w)) == 288).all(), flush=True)
pid = os.fork()
if pid == 0:
    import signal
    signal.alarm(20)
    try:
        f(x, w)
    except RuntimeError as error:
        print("fork" in str(error), flush=True)
    os._exit(0)
print(os.waitpid(pid, 0)[1], (np.asarray(f(x, w)) == 288).all())
"""
    assert in_process(code, OMP_NUM_THREADS="2") == ["True", "True", "0", "True"]


@needs_native
def test_programs_kept_on_disk(tmp_path):
    """A second process finds the handlers by name; one without them makes programs of its own."""
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    assert in_process("print(*run())", **settings) == ["True", "True"]
    kept = sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith("-atime"))
    assert kept
    assert in_process("print(*run())", **settings) == ["True", "True"]
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith("-atime")) == kept
    assert in_process("print(*run())", **settings, FLAMBEAU_NATIVE="0") == ["True", "False"]
    assert len([p for p in tmp_path.iterdir() if not p.name.endswith("-atime")]) > len(kept)


def random_case(rng):
    n = int(rng.choice([1, 2, 2, 2, 3]))
    groups = int(rng.choice([1, 1, 1, 2, 3, 4, 8]))
    depthwise = rng.random() < 0.15
    c = groups if depthwise else groups * int(rng.choice([1, 2, 3, 4, 5, 8, 16, 17]))
    o = groups * int(rng.choice([1, 2, 3, 4, 7, 8, 16, 19]))
    kernel, stride, dilation, low, high, size = [], [], [], [], [], []
    for _ in range(n):
        k = int(rng.integers(1, (8, 6, 4)[n - 1]))
        s, d = int(rng.choice([1, 1, 1, 2, 3, 5])), int(rng.choice([1, 1, 1, 2, 3]))
        a, b = (int(p) for p in rng.integers(0, k + 2, 2))
        extent = d * (k - 1) + 1
        kernel.append(k), stride.append(s), dilation.append(d), low.append(a), high.append(b)
        size.append(int(rng.integers(max(1, extent - a - b), extent + (40, 16, 7)[n - 1])))
    x, w = (int(rng.integers(1, 4)), c, *size), (o, c // groups, *kernel)
    return Case(x, w, *map(tuple, (stride, low, high, dilation)), groups=groups)


@needs_native
@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_random_geometries(part):
    rng = np.random.default_rng(part)
    for i in range(250):
        case = random_case(rng)
        dtype, eps = ((np.float32, 1.2e-7), (np.float64, 2.3e-16))[i % 4 == 1]
        if i % 4 == 3 and native.serves(jnp.bfloat16):
            dtype, eps = jnp.bfloat16, 2**-8
        try:
            agrees_with_torch(case, i, dtype, eps, xla_backend_optimization_level=0)  # compiled quickly
        except Exception as error:
            raise AssertionError(f"seed {part}, number {i}, {np.dtype(dtype).name}: {case}") from error
        if i % 50 == 49:
            jax.clear_caches()


WAYS = [  # what XLA's CPU backend gets instead of its own convolutions: dtype, input, weight, stride, dilation, groups
    ("float64", (2, 4, 7, 6), (3, 4, 3, 2), (2, 1), (1, 2), 1),
    ("float64", (2, 4, 9), (6, 2, 3), (2,), (2,), 2),
    ("float32", (2, 3, 5, 4, 6), (2, 3, 2, 3, 2), (1, 1, 2), (2, 1, 1), 1),
    ("float64", (2, 2, 4, 5, 4), (4, 1, 2, 2, 1), (1, 2, 1), (1, 1, 1), 2),
    ("bfloat16", (2, 4, 6, 6), (4, 2, 3, 3), (1, 1), (1, 1), 2),
]


@pytest.mark.parametrize("dtype, shape, weight, stride, dilation, groups", WAYS, ids=str)
@pytest.mark.parametrize("limit", [1 << 26, 1], ids=["whole", "by image"])
def test_ways_of_xla(dtype, shape, weight, stride, dilation, groups, limit, monkeypatch):
    monkeypatch.setattr(xla_convolution, "_PATCHES", limit)
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype(dtype) for s in (shape, weight))
    params = {
        "stride": stride,
        "low": (1,) * len(stride),
        "high": (0, *[1] * (len(stride) - 1)),
        "dilation": dilation,
        "groups": groups,
    }
    g = rng.standard_normal(jax.eval_shape(partial(xla_convolution.forward, **params), x, w).shape).astype(dtype)
    tolerance = {"float64": 1e-12, "float32": 1e-4, "bfloat16": 0.1}[dtype]
    for form, arguments in (
        ("forward", {"x": x, "w": w}),
        ("by_input", {"g": g, "w": w, "size": x.shape[2:]}),
        ("by_weight", {"x": x, "g": g, "size": w.shape[2:]}),
    ):
        sizes = {"size": arguments.pop("size")} if "size" in arguments else {}
        ours, plain = (
            jax.jit(partial(getattr(of, form), **params, **sizes))(*arguments.values())
            for of in (xla_convolution.on_cpu, xla_convolution)
        )
        assert ours.dtype == plain.dtype
        np.testing.assert_allclose(*(np.asarray(a, np.float64) for a in (ours, plain)), rtol=tolerance, atol=tolerance)
