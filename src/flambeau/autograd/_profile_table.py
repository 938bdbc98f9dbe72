"""The table of a profile: its columns, their widths, and what stands above and below."""

from __future__ import annotations

import math
from typing import Any

from .profiler_util import _format_memory, _format_share, _format_time

_WIDTH, _FLOPS_WIDTH = 12, 12
_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0}
_SCALES = ["FLOPs", "KFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs"]


def _column(texts: list[str], limit: int | None) -> int:
    width = max(map(len, texts), default=0) + 4
    return width if limit is None or limit <= 0 else min(width, limit)


def _cut(text: str, width: int) -> str:
    return text[: width - 3] + "..." if len(text) >= width else text


def _scale(flops: list[int]) -> tuple[str, float]:
    largest = max(flops, default=0)
    step = max(0, min(int(math.log10(largest)) // 3, len(_SCALES) - 1)) if largest > 0 else 0
    return _SCALES[step], 1000.0**step


def table(
    events: Any,
    sort_by: str | None,
    row_limit: int,
    limits: dict[str, int],
    header: str | None,
    top_level_only: bool,
    time_unit: str | None,
) -> str:
    """The table as text; nothing for no events."""
    if not events:
        return ""
    if time_unit is not None and time_unit not in _UNITS:
        raise ValueError(f"time_unit must be one of 's', 'ms' and 'us', got {time_unit!r}")
    rows = list(events)
    if sort_by is not None:
        rows.sort(key=lambda event: getattr(event, sort_by.replace("cuda", "device")), reverse=True)
    total = sum(event.self_cpu_time_total for event in events)

    def time(value: float) -> str:
        return _format_time(value) if time_unit is None else f"{value / _UNITS[time_unit]:.3f}{time_unit}"

    name_width = _column([event.key for event in rows], limits["name"])
    columns: list[tuple[str, int, Any]] = [
        ("Name", name_width, lambda e: _cut(e.key, name_width)),
        ("Self CPU %", _WIDTH, lambda e: _format_share(e.self_cpu_time_total, total)),
        ("Self CPU", _WIDTH, lambda e: time(e.self_cpu_time_total)),
        ("CPU total %", _WIDTH, lambda e: _format_share(e.cpu_time_total, total)),
        ("CPU total", _WIDTH, lambda e: time(e.cpu_time_total)),
        ("CPU time avg", _WIDTH, lambda e: time(e.cpu_time)),
    ]
    if events._profile_memory:
        columns += [
            ("CPU Mem", _WIDTH, lambda e: _format_memory(e.cpu_memory_usage)),
            ("Self CPU Mem", _WIDTH, lambda e: _format_memory(e.self_cpu_memory_usage)),
        ]
    columns.append(("# of Calls", _WIDTH, lambda e: str(e.count)))
    if any(event.input_shapes for event in rows):
        shapes_width = _column([str(event.input_shapes) for event in rows], limits["shapes"])
        columns.append(("Input Shapes", shapes_width, lambda e: str(e.input_shapes)[:shapes_width]))
    if events._with_modules:
        module_width = max(_column([event.module for event in rows], limits["name"]), _WIDTH)
        columns.append(("Module", module_width, lambda e: _cut(e.module, module_width)))
    if events._with_flops:
        unit, scale = _scale([event.flops or 0 for event in rows])
        columns.append((f"Total {unit}", _FLOPS_WIDTH, lambda e: f"{e.flops / scale:8.3f}" if e.flops else "--"))
    sourced = [event.stack for event in rows if event.stack]
    if sourced:
        source_width = max(_column([frame for stack in sourced for frame in stack], limits["source"]), _WIDTH)
        columns.append(
            ("Source Location", source_width, lambda e: _source(e.stack[0], source_width) if e.stack else "")
        )
    return _text(rows, columns, row_limit, header, top_level_only, time(total))


def _source(frame: str, width: int) -> str:
    return frame if len(frame) <= width else "..." + frame[3 - width :]


def _text(rows: Any, columns: Any, limit: int, header: str | None, top_level_only: bool, total: str) -> str:
    def line(cells: Any) -> str:
        return "  ".join(cells) + "  "

    rule = line("-" * width for _, width, _ in columns)
    found: list[str] = []
    if header is not None:
        found += ["=" * (len(rule) - 2), header]
    if top_level_only:
        found += ["=" * (len(rule) - 2), "This report only display top-level ops statistics"]
    found += [rule, line(_placed(title, width) for title, width, _ in columns), rule]
    shown = 0
    for event in rows:
        if shown == limit:
            break
        if top_level_only and event.cpu_parent is not None:
            continue
        shown += 1
        found.append(line(_placed(cell(event), width) for _, width, cell in columns))
        if len(event_stack := getattr(event, "stack", ())) > 1 and columns[-1][0] == "Source Location":
            blank = [" " * width for _, width, _ in columns[:-1]]
            width = columns[-1][1]
            found += [line([*blank, _placed(_source(frame, width), width)]) for frame in event_stack[1:]]
            found.append(line([*blank, " " * width]))
    return "\n".join([*found, rule, f"Self CPU time total: {total}", ""])


def _placed(text: str, width: int) -> str:
    return text.rjust(width)
