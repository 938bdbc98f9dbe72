"""Where boxes and lines go: layers from top to bottom, after Sugiyama, Tagawa and Toda (1981).

A box lies below all that it needs. A line that passes layers has a narrow place of its own in each. Places within a layer are ordered by
the mean of their neighbours and then moved towards it as far as the others let them, which is a regression that keeps an order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

GAP, NEAR = 34.0, 30.0  # between boxes above each other, and between a frame's side and a box
BESIDE, LANE = 26.0, 12.0  # between boxes side by side, and the width of a line's place


@dataclass(eq=False)
class Place:
    """A box's place; `content` is None for a line that passes. x is of the middle, y of the upper side."""

    content: Any
    width: float = LANE
    height: float = 0.0
    x: float = 0.0
    y: float = 0.0
    floor: float = 0.0  # where its row ends
    layer: int = 0
    above: list[Edge] = field(default_factory=list)
    below: list[Edge] = field(default_factory=list)


@dataclass(eq=False)
class Edge:
    """A line; where it begins and ends is counted from the middles of the places."""

    source: Place
    target: Place
    value: int
    out: float = 0.0
    into: float = 0.0
    way: list[Place] = field(default_factory=list)  # through other layers


def arrange(
    places: list[Place], edges: list[Edge], first: Sequence[Place] = (), last: Sequence[Place] = ()
) -> tuple[float, float]:
    """Give every place its x and y; returns the width and height of it all. `first` and `last` lie above and below all others."""
    for edge in edges:
        edge.source.below.append(edge)
        edge.target.above.append(edge)
    _layers(places, first, last)
    rows = _rows(places, edges)
    links = _links(rows)
    _order(rows, links)
    _across(rows, links)
    size = _down(rows, first, last)
    for edge in edges:
        _straighten(edge)
    return size


def _layers(places: list[Place], first: Sequence[Place], last: Sequence[Place]) -> None:
    for place in places:  # they come in the order in which they were computed
        place.layer = max(
            (edge.source.layer + 1 for edge in place.above), default=1 if first and place not in first else 0
        )
    for place in reversed(places):  # what needs nothing lies right above what needs it
        if not place.above and place.below and place not in first:
            place.layer = min(edge.target.layer for edge in place.below) - 1
    bottom = max((place.layer for place in places if place not in last), default=0) + 1
    for place in last:
        place.layer = bottom


def _rows(places: list[Place], edges: list[Edge]) -> list[list[Place]]:
    rows: list[list[Place]] = [[] for _ in range(max(place.layer for place in places) + 1)]
    for place in places:
        rows[place.layer].append(place)
    for edge in edges:
        for layer in range(edge.source.layer + 1, edge.target.layer):
            edge.way.append(Place(None, layer=layer))
            rows[layer].append(edge.way[-1])
    return [row for row in rows if row]


Links = dict[Place, list[tuple[Place, float, float]]]


def _links(rows: list[list[Place]]) -> tuple[Links, Links]:
    """For each place its neighbours above and those below: each with the x of the line's two ends together, and a weight."""
    up: Links = {place: [] for row in rows for place in row}
    down: Links = {place: [] for row in rows for place in row}
    for place in list(up):
        for edge in place.below:
            points = [edge.source, *edge.way, edge.target]
            for i, (a, b) in enumerate(itertools.pairwise(points)):
                shift = (edge.out if i == 0 else 0.0) - (edge.into if b is edge.target else 0.0)
                lane = 2.0 if a.content is None and b.content is None else 1.0
                down[a].append((b, shift, 4.0 if not edge.way else lane if a.content is None else 0.3))
                up[b].append((a, shift, 4.0 if not edge.way else lane if b.content is None else 0.3))
    return up, down


def _order(rows: list[list[Place]], links: tuple[Links, Links]) -> None:
    for sweep in range(6):
        downwards = sweep % 2 == 0
        near = links[0] if downwards else links[1]
        for row, beside in (
            zip(rows[1:], rows, strict=False) if downwards else zip(rows[-2::-1], rows[:0:-1], strict=False)
        ):
            index = {place: i / len(beside) for i, place in enumerate(beside)}
            own = {place: i / len(row) for i, place in enumerate(row)}
            mean = {}
            for place in row:
                found = [index[other] for other, _, _ in near[place] if other in index]
                mean[place] = sum(found) / len(found) if found else own[place]
            row.sort(key=lambda place: (round(mean[place], 6), place.content is None, own[place]))


def _across(rows: list[list[Place]], links: tuple[Links, Links]) -> None:
    for row in rows:
        x = 0.0
        for place in row:
            place.x = x + place.width / 2
            x += place.width + BESIDE
        for place in row:
            place.x -= x / 2
    for sweep in range(40):
        downwards = sweep % 2 == 0 or sweep >= 30
        late = sweep >= 12
        for row in rows if downwards else rows[::-1]:
            aims = [_aims(place, links, downwards) for place in row]
            wishes = [_wish(a, late and _is_box(place)) if a else place.x for place, a in zip(row, aims, strict=True)]
            _move(row, wishes, [_strength(place, a, late) for place, a in zip(row, aims, strict=True)])
    left = min(place.x - place.width / 2 for row in rows for place in row)
    for row in rows:
        for place in row:
            place.x -= left


def _aims(place: Place, links: tuple[Links, Links], downwards: bool) -> list[tuple[float, float]]:
    """Where each neighbour would have a place, and how much that weighs; those that were moved last come first."""
    found = [[(other.x + shift, weight) for other, shift, weight in links[0][place]]]
    found.append([(other.x - shift, weight) for other, shift, weight in links[1][place]])
    return [aim for side in (found if downwards else found[::-1]) for aim in side]


def _is_box(place: Place) -> bool:
    return place.content is not None and bool(place.height)


def _strength(place: Place, aims: list[tuple[float, float]], late: bool) -> float:
    """How hard it is to push a place aside: late, boxes stay where they are and lines make way."""
    return (sum(weight for _, weight in aims) or 0.01) * (100.0 if late and _is_box(place) else 1.0)


def _wish(aims: list[tuple[float, float]], median: bool) -> float:
    """The mean spreads branches; the median then makes chains straight, where two weigh the same after the first of them."""
    total = sum(weight for _, weight in aims)
    if not median:
        return sum(x * weight for x, weight in aims) / total
    most = max(range(len(aims)), key=lambda i: aims[i][1])  # the first of those
    aims = [(x, weight * (1.3 if i == most else 1.0)) for i, (x, weight) in enumerate(aims)]
    half, passed = sum(weight for _, weight in aims) / 2, 0.0
    for x, weight in sorted(aims):
        passed += weight
        if passed >= half:
            return x
    return aims[0][0]


def _move(row: list[Place], wishes: list[float], weights: list[float]) -> None:
    """The nearest places to the wishes (in squares) that keep order and distance: pools of neighbours that would cross."""
    offsets = [0.0]
    for a, b in itertools.pairwise(row):
        offsets.append(
            offsets[-1]
            + (a.width + b.width) / 2
            + (BESIDE if a.content is not None and b.content is not None else BESIDE / 2)
        )
    pools: list[list[float]] = []  # sum of weight * wish, weight, members
    for wish, weight, offset in zip(wishes, weights, offsets, strict=True):
        pools.append([weight * (wish - offset), weight, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    at = iter([total / weight for total, weight, members in pools for _ in range(int(members))])
    for place, offset in zip(row, offsets, strict=True):
        place.x = next(at) + offset


def _down(rows: list[list[Place]], first: Sequence[Place], last: Sequence[Place]) -> tuple[float, float]:
    """Every y: below what a place needs, and below whatever lies above it; not by rows, so that branches run beside each other."""
    done: list[Place] = []
    for row in rows:
        for place in row:
            if place.content is None or place in last:
                continue
            over = [other for other in done if abs(other.x - place.x) < (other.width + place.width) / 2 + LANE / 2]
            over += [edge.source for edge in place.above]
            gaps = (other.y + other.height + (NEAR if other in first else GAP) for other in over)
            place.y = max(gaps, default=0.0)
        done += [place for place in row if place.content is not None]
    for place in done:
        if not place.above and place.below and place not in first:
            place.y = max(place.y, min(edge.target.y for edge in place.below) - GAP - place.height)
    bottom = max((place.y + place.height for place in done if place not in last), default=0.0)
    for place in last:
        place.y = bottom + NEAR - 10
    for row in rows:
        boxes = [place for place in row if place.content is not None]
        for box in boxes:
            box.floor = max(other.y + other.height for other in boxes)
        for place in row:
            if place.content is None and boxes:
                place.y = min(box.y for box in boxes)
                place.height = max(box.y + box.height for box in boxes) - place.y
    height = bottom + (NEAR - 10 if last else 0.0)
    return max(place.x + place.width / 2 for row in rows for place in row), height


def _straighten(edge: Edge) -> None:
    """A line only goes down, and ends above its target."""
    y, end = edge.source.y + edge.source.height, edge.target.y - GAP / 2
    for place in edge.way:
        lower = min(max(place.y + place.height, y), end)
        place.y = min(max(place.y, y), end)
        place.height = max(lower - place.y, 0.0)
        y = place.y + place.height
