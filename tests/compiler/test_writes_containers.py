"""Lists, dicts, sets and their kin that a compiled function writes."""

from __future__ import annotations

import bisect
import collections
import heapq
from typing import Any

import numpy as np

import flambeau as fb
from compiler.scenarios import Case, Table, attempt
from compiler.subjects import Box

case = Table()

HISTORY: list[Any] = []


# ------------------------------------------------------------------------------------------------- lists


@case
def list_of_tensors_appended(compile, x):
    history = []

    def step(x):
        history.append(x.sum())
        return x * len(history)

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), history


@case
def list_of_numbers_appended(compile, x):
    box = Box(n=0, history=[])

    def step(x):
        box.n += 1
        box.history.append(box.n**2)
        return x + sum(box.history)

    f = compile(step)
    for _ in range(3):
        yield f(x), box.history


@case
def global_list_appended_in_a_helper(compile, x):
    HISTORY.clear()

    def log(value):
        HISTORY.append(value)

    def step(x):
        log(x.mean())
        log("seen")
        return x

    f = compile(step)
    for k in (1.0, 2.0):
        yield f(x * k), HISTORY
    HISTORY.clear()
    yield f(x), HISTORY


@case
def list_extend_insert_pop(compile, x):
    ks = [1.0, 2.0, 3.0]

    def step(x):
        ks.extend([ks[0] * 2, 9.0])
        ks.insert(0, 7.0)
        gone = ks.pop(1)
        return x * gone

    f = compile(step)
    for _ in range(3):
        yield f(x), ks


@case
def list_used_as_a_queue(compile, x):
    queue = [1.0, 2.0, 3.0]

    def step(x):
        k = queue.pop(0)
        queue.append(k * 10)
        return x * k

    f = compile(step)
    for _ in range(4):
        yield f(x), queue


@case
def list_emptied(compile, x):
    queue = [1.0, 2.0]
    f = compile(lambda x: x * queue.pop())
    yield f(x), queue
    yield f(x), queue
    yield attempt(f, x), queue
    queue.append(5.0)
    yield f(x), queue


@case
def list_cleared_and_filled(compile, x):
    losses: list[Any] = []

    def step(x):
        losses.clear()
        for k in (1.0, 2.0):
            losses.append((x * k).sum())
        return sum(losses)

    f = compile(step)
    yield f(x), losses
    losses.append("outside")
    yield f(x * 2), losses


@case
def list_items_and_slices_assigned(compile, x):
    ks = [1.0, 2.0, 3.0]

    def step(x):
        ks[0] += 1
        ks[1:2] = [ks[1], 5.0]
        del ks[-1]
        return x * ks[0] + len(ks)

    f = compile(step)
    for _ in range(3):
        yield f(x), ks


@case
def list_sorted_and_reversed_in_place(compile, x):
    ks = [3.0, 1.0, 2.0]

    def step(x):
        ks.sort()
        ks.reverse()
        ks.append(ks[0] - 5)
        return x * ks[1]

    f = compile(step)
    for _ in range(3):
        yield f(x), ks


@case
def list_augmented(compile, x):
    box = Box(ks=[1.0])
    alias = box.ks

    def step(x):
        box.ks += [2.0]
        return x * len(box.ks)

    f = compile(step)
    for _ in range(3):
        yield f(x), box.ks, alias is box.ks


@case
def list_rebound(compile, x):
    box = Box(ks=[1.0])
    alias = box.ks

    def step(x):
        box.ks = [*box.ks, 2.0]
        return x * len(box.ks)

    f = compile(step)
    for _ in range(3):
        yield f(x), box.ks, alias, alias is box.ks


@case
def tensors_of_a_list_replaced(compile, x):
    states = [fb.zeros(3), fb.ones(3)]

    def step(x):
        for i in range(len(states)):
            states[i] = states[i] * 0.5 + x
        return states[0] - states[1]

    f = compile(step)
    yield f(x), states
    yield f(x), states
    states[1] = fb.zeros(3)
    yield f(x), states


@case
def tensors_of_a_list_written(compile, x):
    states = [fb.zeros(3), fb.ones(3)]
    first = states[0]

    def step(x):
        states[0].add_(x)
        states[0], states[1] = states[1], states[0]
        return states[0] * 1

    f = compile(step)
    for _ in range(3):
        yield f(x), states, states[0] is first


@case
def list_of_lists_grows(compile, x):
    rows: list[list[Any]] = [[]]

    def step(x):
        rows[-1].append(x.sum())
        if len(rows[-1]) == 2:
            rows.append([])
        return x * len(rows)

    f = compile(step)
    for _ in range(4):
        yield f(x), rows


@case
def losses_collected_and_averaged(compile, x):
    losses: list[Any] = []

    def step(x):
        losses.append(x.mean())
        return fb.stack(losses).mean()

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), losses


@case
def heap_and_bisect(compile, x):
    heap, order = [3.0, 5.0], [1.0, 4.0]

    def step(x, k):
        heapq.heappush(heap, k)
        bisect.insort(order, k)
        return x * heapq.heappop(heap) + order[0]

    f = compile(step)
    for k in (2.0, 4.0, 1.0):
        yield f(x, k), heap, order


@case
def deque_with_maxlen(compile, x):
    window = collections.deque(maxlen=2)

    def step(x):
        window.append(x.sum())
        return sum(window) / len(window)

    f = compile(step)
    for k in (1.0, 2.0, 3.0, 4.0):
        yield f(x * k), window


@case
def deque_both_ends(compile, x):
    d = collections.deque([1.0, 2.0])

    def step(x):
        d.appendleft(d.pop() + 1)
        d.rotate(1)
        return x * d[0]

    f = compile(step)
    for _ in range(3):
        yield f(x), d


# --------------------------------------------------------------------------------- dicts, sets and arrays


@case
def dict_entries(compile, x):
    logs: dict[str, Any] = {}

    def step(x):
        logs["loss"] = x.sum()
        logs["step"] = logs.get("step", 0) + 1
        return x * logs["step"]

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), logs
    logs["step"] = 10
    yield f(x), logs


@case
def dict_keys_that_count(compile, x):
    logs: dict[str, Any] = {}

    def step(x):
        logs[f"step_{len(logs)}"] = x.sum()
        return x * len(logs)

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), logs


@case
def setdefault_and_append(compile, x):
    logs: dict[str, list[Any]] = {}

    def step(x, name):
        logs.setdefault(name, []).append(x.sum())
        return x * len(logs[name])

    f = compile(step)
    for name in ("a", "b", "a"):
        yield f(x, name), logs


@case
def dict_pop_update_and_delete(compile, x):
    table = {"a": 1.0, "b": 2.0, "c": 3.0}

    def step(x):
        k = table.pop("a", 0.0)
        table.update(a=k + 1, d=k)
        table.pop("c", None)
        return x * k

    f = compile(step)
    for _ in range(3):
        yield f(x), table


@case
def dict_merged(compile, x):
    box = Box(logs={"n": 0})

    def step(x):
        box.logs |= {"n": box.logs["n"] + 1, "last": x.sum()}
        return x * box.logs["n"]

    f = compile(step)
    for _ in range(3):
        yield f(x), box.logs


@case
def default_dict_of_numbers(compile, x):
    totals: Any = collections.defaultdict(float)

    def step(x, name, k):
        totals[name] += k
        return x * totals[name]

    f = compile(step)
    for name, k in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        yield f(x, name, k), totals


@case
def counter_updated(compile, x):
    counts: Any = collections.Counter()

    def step(x):
        counts["calls"] += 1
        counts.update({"items": len(x)})
        return x * counts["calls"]

    f = compile(step)
    yield f(x), counts
    yield f(x[:2]), counts
    yield f(x), counts


@case
def ordered_dict_moved(compile, x):
    order = collections.OrderedDict(a=1.0, b=2.0, c=3.0)

    def step(x):
        order.move_to_end(next(iter(order)))
        return x * next(iter(order.values()))

    f = compile(step)
    for _ in range(3):
        yield f(x), order


@case
def cache_with_a_bound(compile, x):
    cache: Any = collections.OrderedDict()

    def step(x, key):
        cache[key] = x.sum() * key
        cache.move_to_end(key)
        if len(cache) > 2:
            cache.popitem(last=False)
        return x + len(cache)

    f = compile(step)
    for key in (1, 2, 1, 3):
        yield f(x, key), cache


@case
def sets_written(compile, x):
    seen: set[Any] = set()

    def step(x, name):
        new = name not in seen
        seen.add(name)
        return x * 2 if new else x

    f = compile(step)
    for name in ("a", "b", "a"):
        yield f(x, name), seen


@case
def sets_of_shapes(compile, x):
    seen: set[Any] = set()

    def step(x):
        seen.add(tuple(x.shape))
        return x * len(seen)

    f = compile(step)
    yield f(x), seen
    yield f(x[:2]), seen
    yield f(x), seen


@case
def nested_dicts(compile, x):
    logs: dict[str, Any] = {"train": {"n": 0, "losses": []}}

    def step(x):
        part = logs["train"]
        part["n"] += 1
        part["losses"].append(x.sum())
        return x * part["n"]

    f = compile(step)
    for k in (1.0, 2.0, 3.0):
        yield f(x * k), logs


@case(may_fall_back="a NumPy array is written")
def numpy_array_written(compile, x):
    table, box = np.zeros(4), Box(i=0)

    def step(x):
        table[box.i] = box.i + 1.0
        box.i += 1
        return x * float(table.sum())

    f = compile(step)
    for _ in range(3):
        yield f(x), table


@case
def argument_list_written(compile, x):
    def step(x, out):
        out.append(x * len(out))
        return x

    f = compile(step)
    a, b = [], ["b"]
    yield f(x, a), a
    yield f(x, b), a, b
    yield f(x, a), a, b


@case
def argument_dict_written(compile, x):
    def step(batch):
        batch["y"] = batch["x"] * 2
        return batch

    f = compile(step)
    a, b = {"x": x}, {"x": x + 1}
    yield f(a) is a, a
    yield f(b) is b, a, b


@case
def argument_list_of_tensors_rebound(compile, x):
    def step(states):
        states[0] = states[0] + 1
        return states[0] * 2

    f = compile(step)
    states = [x, x]
    yield f(states), states, x
    yield f(states), states, x


@case(may_fall_back="which element it is depends on the set's history")
def elements_popped_from_a_set(compile, x):
    left = {1, 2, 5}

    def step(x):
        x = x * left.pop()
        if len(left) == 1:
            left.add(9)
        return x

    f = compile(step)
    for _ in range(6):
        yield attempt(f, x), sorted(left)


@case
def the_last_element_popped_from_a_set(compile, x):
    left = {2}

    def step(x):
        x = x * left.pop()
        left.add(3)
        return x

    f = compile(step)
    for _ in range(4):
        yield f(x), left


@case.test
def test_containers(case: Case) -> None:
    case.check()
