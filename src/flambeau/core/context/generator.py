"""Random numbers on the host: PyTorch's CPU generator, number for number.

The generator is MT19937 (Matsumoto and Nishimura, 1998). Every distribution here takes the same draws from it, in the
same order, as PyTorch's CPU does: uniforms, normal values and integers agree bit for bit, and what goes through another
function agrees to a few units in the last place. Nothing here touches JAX: a draw costs no compilation.

All draws return flat NumPy arrays; `dtype` arguments are NumPy dtypes.
"""

from __future__ import annotations

import ctypes
import math
import operator
import secrets
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from ...core.array.devices import CPU, device, jax_devices
from ...core.context.grad_mode import state as grad_state
from ...core.context.tracing import Untraceable, recorder
from ...native.random import fill, memory
from ...runtime.ranks import each_its_own
from ...runtime.settings import asks_setting
from . import rejection
from .normals import fused, normals, pairs_of, wide_normals

# PyTorch's state of a CPU generator is 5056 bytes: the seed, the countdown to the next twist and a flag, the position,
# 624 words of 32 bits in slots of 64, then 40 bytes in which a double and a flag hold a normal value left over.
_N = 624
_STATE = np.dtype(
    {
        "names": ["seed", "left", "seeded", "next", "key", "normal", "has_normal"],
        "formats": ["<u8", "<i4", "<i4", "<u8", ("<u8", (_N,)), "<f8", "<i4"],
        "offsets": [0, 8, 12, 16, 24, 5024, 5040],
        "itemsize": 5056,
    }
)
_DEFAULT_SEED = 67280421310721
_CHUNK = 1 << 17  # draws at a time: enough to keep two threads busy, few enough for the cache
_WIDE = 1 << 28  # integer ranges from here on take two draws


class Generator:
    """A stream of random numbers: `torch.Generator` on the CPU.

    On another device the numbers are still drawn on the host, and are then the CPU's.
    """

    def __init__(self, device: Any = "cpu"):
        self._device = _as_device(device)
        self._bits = np.random.MT19937(0)
        self._seeder = np.random.RandomState(self._bits)
        self._words = np.random.Generator(self._bits)
        self._memory = memory(self._bits)
        self.manual_seed(_DEFAULT_SEED)

    @property
    def device(self) -> device:
        """The device it was made for."""
        return self._device

    def __repr__(self) -> str:
        return f"<torch.Generator device={str(self._device)!r} seed={self._seed}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Generator:
        return self.clone_state()

    # --- seed and state ---

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed`, an integer from -2**63 to 2**64 - 1 (negative ones count from 2**64)."""
        refuse_in_a_trace("seeds")
        try:
            seed = operator.index(seed)
        except TypeError:
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}") from None
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"Overflow when unpacking long long: a seed lies in [-2**63, 2**64), got {seed}")
        self._seed = seed % 2**64
        self._seeder.seed(self._seed & 0xFFFFFFFF)
        self._untouched = True  # PyTorch's state tells "no draw yet" from "all 624 drawn"
        self._normal: float | None = None
        return self

    def seed(self) -> int:
        """Seed from the system's entropy; returns the seed."""
        self.manual_seed(secrets.randbits(64))
        return self._seed

    @asks_setting
    def initial_seed(self) -> int:
        """The seed that the stream was last started with."""
        return self._seed

    def get_state_bytes(self) -> np.ndarray:
        """The state as PyTorch lays it out: 5056 bytes (uint8)."""
        inner: dict[str, Any] = self._bits.state["state"]  # type: ignore[assignment]
        state = np.zeros((), _STATE)
        position = int(inner["pos"])
        state["seed"] = self._seed
        state["left"] = _N + 1 - max(position, 1)
        state["seeded"] = 1
        state["next"] = 0 if self._untouched else position
        state["key"] = inner["key"]
        if self._normal is not None:
            state["normal"] = self._normal
            state["has_normal"] = 1
        return np.frombuffer(state.tobytes(), np.uint8).copy()

    def set_state_bytes(self, data: np.ndarray) -> None:
        """Go on from a state that `get_state_bytes` (or PyTorch) gave. TypeError or RuntimeError if it is none."""
        refuse_in_a_trace("sets")
        data = np.asarray(data)
        if data.dtype != np.uint8:
            raise TypeError(f"RNG state must be a torch.ByteTensor, got elements of type {data.dtype}")
        if data.size != _STATE.itemsize:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {_STATE.itemsize} but found the input RNG state size to be {data.size}"
            )
        state = np.frombuffer(data.tobytes(), _STATE)[0]
        left, following = int(state["left"]), int(state["next"])
        untouched = following == 0 and left == 1
        if not (untouched or (1 <= following <= _N and left == _N + 1 - following)) or state["seeded"] != 1:
            raise RuntimeError(f"Invalid mt19937 state: position {following}, {left} left, seeded {state['seeded']}")
        self._seed = int(state["seed"])
        key = state["key"].astype(np.uint32)
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": _N if untouched else following}}
        self._untouched = untouched
        self._normal = float(state["normal"]) if state["has_normal"] else None

    def mark(self) -> tuple[Any, ...]:
        """Where it stands, for `go_back`: a copy of its memory, since a compiled function asks at each call."""
        held = self._bits.state if self._memory is None else self._memory.raw
        return held, self._untouched, self._normal

    def go_back(self, mark: tuple[Any, ...]) -> None:
        """Stand where it stood, under the same seed, when `mark` was called."""
        held, self._untouched, self._normal = mark
        if self._memory is None:
            self._bits.state = held
        else:
            self._memory.raw = held

    def get_offset(self) -> int:
        """Raises RuntimeError: only a GPU's generator counts its draws."""
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset: int) -> None:
        """Raises RuntimeError, as `get_offset` does."""
        raise RuntimeError("CPU Generator does not use offset")

    def clone_state(self) -> Generator:
        """A generator of its own that goes on from here."""
        twin = Generator(self._device)
        twin.set_state_bytes(self.get_state_bytes())
        return twin

    # --- raw draws ---

    def words(self, n: int) -> np.ndarray:
        """The next `n` words of 32 bits (uint32)."""
        if n:
            self._untouched = False
        out = np.empty(n, np.uint32)
        return out if fill("words", self._bits, out) else self._words.integers(0, 2**32, size=n, dtype=np.uint32)

    def words_ahead(self, counts: list[int]) -> Iterator[np.ndarray]:
        """The next words in pieces. While the caller works on one piece, a thread draws the others."""
        if len(counts) < 2:
            yield from map(self.words, counts)
            return
        with ThreadPoolExecutor(1) as pool:
            waiting = deque(pool.submit(self.words, count) for count in counts)
            while waiting:
                yield waiting.popleft().result()

    def double_words(self, n: int) -> np.ndarray:
        """The next `n` words of 64 bits, each of two draws, the high half first."""
        return _joined(self.words(2 * n))

    def _doubles(self, n: int) -> np.ndarray:
        """Uniforms in [0, 1) of 53 bits."""
        out = np.empty(n)
        return out if self._filled("doubles", out, 1.0, 0.0) else _doubles(self.words(2 * n))

    def _filled(self, name: str, out: np.ndarray, *numbers: float) -> bool:
        """Have the compiled library draw into `out`, if it can."""
        done = fill(name, self._bits, out, *numbers)
        self._untouched &= not done
        return done

    # --- distributions ---

    def uniform(self, n: int, dtype: Any, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """`n` values from [low, high): 24 bits each, 53 for float64."""
        out = empty_on_host((n,), dtype)
        double = out.dtype == np.float64
        scale, shift = (high - low, low) if double else _single_range(low, high)
        # rounding can reach the end that is left out, but for a product of the 24 or 53 bits with one factor
        rounds = out.itemsize < 4 or scale < 1e-25 or shift not in (0.0, -scale / 2)
        kind = "doubles" if double else "floats"
        if out.itemsize < 4 or not self._filled(kind, out, scale, shift):
            chunks = list(_chunks(n))
            draws = 2 if double else 1
            for chunk, words in zip(
                chunks, self.words_ahead([draws * (c.stop - c.start) for c in chunks]), strict=True
            ):
                if double:
                    out[chunk] = fused(_doubles(words), scale, shift)
                else:
                    _single(words, out[chunk], scale, shift)
        if rounds and (reached := out == out.dtype.type(high)).any():
            out[reached] = out.dtype.type(low)
        return out

    def normal(self, n: int, dtype: Any, mean: float = 0.0, std: float = 1.0, serial: bool = False) -> np.ndarray:
        """`n` normal values, by Box and Muller (1958).

        Sixteen or more are made in blocks of 16, of which one half are cosines and the other sines; if they do not
        fill the last block, the last 16 values are drawn anew. Fewer (or `serial`, which is how PyTorch fills tensors
        that are not contiguous) come one by one from doubles, and the second of a pair is kept for the next call.
        """
        dtype = np.dtype(dtype)
        if n < 16 or serial:
            values = self.normal_pairs(n)
            return (values if std == 1.0 and mean == 0.0 else fused(values, std, mean)).astype(dtype)
        double = dtype == np.float64
        out = empty_on_host((n,), dtype)
        kind = {4: "normals", 8: "wide_normals"}.get(dtype.itemsize)
        if kind is not None and self._filled(kind, out, mean, std):
            return out
        made_of = {4: normals, 8: wide_normals}.get(dtype.itemsize, _box_muller)
        whole = n - n % 16
        chunks = list(_chunks(whole))
        for chunk, words in zip(
            chunks, self.words_ahead([(1 + double) * (c.stop - c.start) for c in chunks]), strict=True
        ):
            if double:
                uniforms = _doubles(words)
            else:
                uniforms = np.empty(words.size, np.float32)
                _single(words, uniforms, 1.0, 0.0)
            out[chunk] = made_of(uniforms, mean, std)
        if n % 16:
            work = np.float64 if double else np.float32
            if dtype.itemsize >= 4:
                self.words(n % 16 * (2 if double else 1))  # drawn and not used
            out[-16:] = made_of(self.uniform(16, work), mean, std)
        return out

    def normal_pairs(self, n: int) -> np.ndarray:
        """`n` standard normal doubles, one by one."""
        out = np.empty(n)
        start = 0
        if n and self._normal is not None:
            out[0], self._normal, start = self._normal, None, 1
        if start < n:
            pairs = (n - start + 1) // 2
            values = np.empty(2 * pairs)
            if not self._filled("pairs", values):
                values = pairs_of(self._doubles(2 * pairs))
            out[start:] = values[: n - start]
            if (n - start) % 2:
                self._normal = float(values[-1])
        return out

    def integers(self, n: int, dtype: Any, low: int, high: int) -> np.ndarray:
        """`n` integers from [low, high): a draw modulo the range, of 64 bits if that is 2**28 or more."""
        out = empty_on_host((n,), dtype)
        span = high - low
        for chunk in _chunks(n):
            part = out[chunk]
            if span < _WIDE and part.dtype == np.int64 and self._filled("remainders", part, span, low):
                continue
            if span < _WIDE:
                words = self.words(part.size)
                words %= np.uint32(span)
                values = words.astype(np.int64)
            else:
                wide = self.double_words(part.size)
                if span < 2**64:
                    wide %= np.uint64(span)
                values = wide.view(np.int64)
            if low and span < 2**64:
                values += np.uint64(low % 2**64).view(np.int64)  # wraps as 64-bit integers do
            part[...] = values
        return out

    def any_integers(self, n: int, dtype: Any) -> np.ndarray:
        """`n` integers from 0 to the greatest that `dtype` holds, or, for floats, up to which it holds them all."""
        dtype = np.dtype(dtype)
        if dtype.itemsize == 8 and dtype.kind == "i":
            return (self.double_words(n) & np.uint64(2**63 - 1)).view(np.int64)
        if dtype == np.int32:
            return (self.words(n) & np.uint32(2**31 - 1)).view(np.int32)
        return self.integers(n, dtype, 0, largest_exact(dtype) + 1)

    def permutation(self, n: int) -> np.ndarray:
        """The integers below `n`, shuffled: Fisher and Yates, from the front (int64)."""
        order = empty_on_host((n,), np.int64)
        if n > 1 and self._filled("permutation", order):
            return order
        order[...] = np.arange(n)
        if n < 2:
            return order
        targets = self.words(n - 1) % np.arange(n, 1, -1, dtype=np.uint32) + order[: n - 1]
        _swap_in_turn(order, targets)
        return order

    def bernoulli(self, n: int, p: float) -> np.ndarray:
        """`n` bools, true with probability `p`."""
        out = empty_on_host((n,), np.bool_)
        if not self._filled("below", out, math.ceil(p * 2.0**53)):
            for chunk in _chunks(n):
                out[chunk] = self._doubles(chunk.stop - chunk.start) < p
        return out

    def bernoulli_each(self, p: np.ndarray) -> np.ndarray:
        """A bool for every probability in `p` (in its shape)."""
        thresholds = self.thresholds(p.shape, p.dtype)
        return thresholds < p.astype(thresholds.dtype)

    def thresholds(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """What probabilities of a dtype are compared with: an event happens where its threshold is below them."""
        n = math.prod(shape)
        return (self._doubles(n) if dtype == np.float64 else self.uniform(n, np.float32)).reshape(shape)

    def exponential(self, n: int, dtype: Any, rate: float = 1.0) -> np.ndarray:
        """`n` values with density rate * exp(-rate x)."""
        return (np.log1p(-self._doubles(n)) * (-1.0 / rate)).astype(dtype)

    def geometric(self, n: int, dtype: Any, p: float) -> np.ndarray:
        """`n` counts of trials up to the first success, each of probability `p`."""
        uniforms = np.maximum(self._doubles(n), 2.0**-54)
        counts = np.ceil(np.log(uniforms) / math.log1p(-p))
        return counts.astype(np.int64).astype(dtype) if np.dtype(dtype).kind in "iu" else counts.astype(dtype)

    def log_normal(self, n: int, dtype: Any, mean: float, std: float) -> np.ndarray:
        """`n` values whose logarithm is normal."""
        with np.errstate(over="ignore"):
            return np.exp(self.normal_pairs(n) * std + mean).astype(dtype)

    def cauchy(self, n: int, dtype: Any, median: float, sigma: float) -> np.ndarray:
        """`n` values of the Cauchy distribution."""
        with np.errstate(over="ignore"):
            return (median + sigma * np.tan(math.pi * (self._doubles(n) - 0.5))).astype(dtype)

    def poisson(self, rates: np.ndarray) -> np.ndarray:
        """A count for every rate (float64, in its shape)."""
        return rejection.each(self, rejection.poisson, rates)

    def gamma(self, alpha: np.ndarray, dtype: Any) -> np.ndarray:
        """A standard gamma value for every shape parameter (float64, computed in part in `dtype`)."""
        return rejection.each(self, partial(rejection.gamma, kind=np.dtype(dtype).type), alpha)

    def binomial(self, counts: np.ndarray, p: np.ndarray) -> np.ndarray:
        """The successes among each count of trials (float64)."""
        return rejection.each(self, partial(rejection.binomial, kind=p.dtype.type), counts, p)

    def clocks(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Exponential values: the indices of the `n` clocks that ring first are a draw without replacement."""
        return self.exponential(math.prod(shape), dtype).reshape(shape)

    def places(self, rows: int, n: int) -> np.ndarray:
        """Uniform values: where `n` draws for each of `rows` distributions lie in their cumulative sums."""
        return self._doubles(rows * n).reshape(rows, n)


def _joined(words: np.ndarray) -> np.ndarray:
    """Pairs of 32-bit words as words of 64 bits, the high half first."""
    high = words[0::2].astype(np.uint64)
    high <<= np.uint64(32)
    high |= words[1::2]
    return high


def _doubles(words: np.ndarray) -> np.ndarray:
    """Uniforms in [0, 1) of 53 bits, each from two words."""
    wide = _joined(words)
    wide &= np.uint64(2**53 - 1)
    return wide * 2.0**-53


def _single(words: np.ndarray, out: np.ndarray, scale: float, shift: float) -> None:
    """Fill `out` with u * scale + shift, u of 24 bits, rounded once to float32 (as a fused multiply-add does)."""
    words &= np.uint32(0xFFFFFF)
    values = words.view(np.int32)
    if (shift == 0.0 or scale == -2.0 * shift) and scale > 1e-25:
        # around 0 the shift can be done in integers, which leaves one product and its rounding
        if shift:
            values -= np.int32(1 << 23)
        np.multiply(values, np.float32(scale * 2.0**-24), out=out, dtype=np.float32, casting="unsafe")
    else:
        wide = values * (scale * 2.0**-24)
        wide += shift
        out[...] = wide.astype(np.float32)


COPIED = 4096  # bytes up to which a copy costs less than the address


def empty_on_host(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Memory for values that go to a device, aligned so that JAX on the CPU can keep it without a copy."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < COPIED:
        return np.empty(shape, dtype)
    memory = np.empty(size + 64, np.uint8)
    start = (
        -ctypes.addressof(ctypes.c_char.from_buffer(memory.data)) % 64
    )  # a third of the time of `memory.ctypes.data`
    return np.ndarray(shape, dtype, memory, start)


def largest_exact(dtype: np.dtype) -> int:
    """The greatest integer up to which `dtype` holds every integer."""
    if dtype.kind == "b":
        return 1
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).max)
    return {"float64": 2**53, "float32": 2**24, "float16": 2**11}.get(dtype.name, 2**8)


def _chunks(n: int) -> Iterator[slice]:
    for start in range(0, n, _CHUNK):
        yield slice(start, min(start + _CHUNK, n))


def _swap_in_turn(order: np.ndarray, targets: np.ndarray) -> None:
    """Exchange order[i] with order[targets[i]], for one i after the other (targets[i] >= i)."""
    n, at = len(targets), 0
    first_use = np.empty(len(order), np.int64)
    while n - at > 4096:
        # as many at once as do not touch what one of them has touched
        count = min(math.isqrt(n - at), n - at)
        own = np.arange(at, at + count)
        there = targets[at : at + count]
        first_use[there[::-1]] = own[::-1]
        clash = first_use[there] != own  # an earlier one has the same target
        inside = (there < at + count) & (there != own)
        end = at + count
        if clash.any():
            end = at + int(clash.argmax())
        if inside.any():
            end = min(end, int(there[inside].min()))
        here, there = order[at:end].copy(), targets[at:end]
        order[at:end] = order[there]
        order[there] = here
        at = end
    rest, base = order[at:].tolist(), at
    for i, j in enumerate((targets[at:] - base).tolist()):
        rest[i], rest[j] = rest[j], rest[i]
    order[base:] = rest


def _single_range(low: float, high: float) -> tuple[float, float]:
    if low == 0.0 and high == 1.0:
        return 1.0, 0.0
    start = np.float32(low)
    return float(np.float32(high) - start), float(start)


def _box_muller(uniforms: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Normal values of blocks of 16 uniforms; works in place and in their precision."""
    kind = uniforms.dtype.type
    halves = uniforms.view(np.dtype((np.void, 8 * uniforms.itemsize))).reshape(-1, 2)  # copies 8 values at a time
    radius = np.ascontiguousarray(halves[:, 0]).view(kind)
    angle = np.ascontiguousarray(halves[:, 1]).view(kind)
    np.log(np.subtract(1, radius, out=radius), out=radius)
    radius *= -2
    np.sqrt(radius, out=radius)
    angle *= kind(2 * math.pi)
    cosine = np.cos(angle)
    cosine *= radius
    np.sin(angle, out=angle)
    angle *= radius
    halves[:, 0] = cosine.view(halves.dtype)
    halves[:, 1] = angle.view(halves.dtype)
    if std != 1.0:
        uniforms *= kind(std)
    if mean != 0.0:
        uniforms += kind(mean)
    return uniforms


def _as_device(value: Any) -> device:
    where = CPU if value is None else device(value)
    if where.type != "cpu" and not jax_devices(where.type):
        raise RuntimeError(f"Cannot get a generator for {where}: there is no such device here")
    return where


def refuse_in_a_trace(what: str) -> None:
    """Raises Untraceable in a trace: a program's random numbers go on from call to call."""
    if recorder() is not None:
        raise Untraceable(f"it makes or {what} a random generator: do that outside")


default_generator: Generator = each_its_own(Generator(), Generator.clone_state)


def draw(distribution: str, generator: Generator | None, *args: Any, **kwargs: Any) -> Any:
    """Call a method of a generator, by default the default one. Raises TypeError if `generator` is none."""
    if generator is None:
        generator = default_generator
    elif not isinstance(generator, Generator):
        raise TypeError(f"argument 'generator' must be torch.Generator, not {type(generator).__name__}")
    if (trace := recorder()) is not None:
        trace.draws.keep_generator(generator, distribution)
    if grad_state.draws is not None:
        grad_state.draws(generator)
    return getattr(generator, distribution)(*args, **kwargs)
