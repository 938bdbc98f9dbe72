"""From boxes to SVG: text sizes, frames of open blocks, lines, colours."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from flambeau.utils.plot.blocks import Box, Picture
from flambeau.utils.plot.layout import GAP, Edge, Place, arrange

_MARGIN, _PAD, _HEAD, _FOOT = 24.0, 16.0, 8.0, 4.0

# kind: fill and line, light and dark (with text of one colour each that stands out from all of them)
_COLOURS = {
    "conv": ("#dcebff", "#3b78c4", "#1d3350", "#6aa5ee"),
    "linear": ("#ffe8cf", "#c9822b", "#46331b", "#e8a95c"),
    "norm": ("#e6f4dd", "#5f9c3c", "#263d1c", "#8cc96a"),
    "pool": ("#e9e2fb", "#7a5fc0", "#33294f", "#a992ea"),
    "mix": ("#fde1ea", "#c04f7a", "#4a2133", "#ea87ad"),
    "active": ("#fff6c9", "#b59a1f", "#403917", "#d9c05a"),
    "layer": ("#eceff3", "#7c8794", "#2b323b", "#98a3b0"),
    "block": ("#f3f5f8", "#66717e", "#262d35", "#8a96a3"),
    "function": ("#ffffff", "#7c8794", "#1b2027", "#98a3b0"),
    "parameter": ("#ffffff", "#c9822b", "#1b2027", "#e8a95c"),
    "input": ("#3b4754", "#3b4754", "#c8d1dc", "#c8d1dc"),
    "output": ("#3b4754", "#3b4754", "#c8d1dc", "#c8d1dc"),
}
_PAPER = {"light": ("#ffffff", "#1b2027", "#5d6874", "#8793a0"), "dark": ("#14181d", "#e8edf2", "#a3afbb", "#76828e")}


def _rules(dark: bool) -> str:
    paper, ink, dim, line = _PAPER["dark" if dark else "light"]
    rules = [
        f".paper{{fill:{paper}}}.ink{{fill:{ink}}}.dim{{fill:{dim}}}.line{{stroke:{line}}}.tip{{fill:{line}}}",
        f".label{{fill:{dim};stroke:{paper}}}",
    ]
    for kind, colours in _COLOURS.items():
        fill, edge = colours[2:] if dark else colours[:2]
        rules.append(f".{kind}{{fill:{fill};stroke:{edge}}}")
    rules.append(f".end{{fill:{paper}}}")
    frame = "#ffffff" if dark else "#1b2027"
    return "".join([*rules, f".frame{{fill:{frame};fill-opacity:.035;stroke:{line}}}"])


def _style(theme: str) -> str:
    text = (
        "text{font:13px system-ui,-apple-system,'Segoe UI','Noto Sans','DejaVu Sans',sans-serif}"
        ".title{font-weight:600}.small{font-size:11px}.name{font-weight:400}"
        ".label{font-size:11px;paint-order:stroke;stroke-width:4px;stroke-linejoin:round}.line{fill:none;stroke-width:1.5}"
        ".middle{text-anchor:middle}.sign{font-size:17px}"
    )
    if theme != "auto":
        return f"<style>{text}{_rules(theme == 'dark')}</style>"
    return f"<style>{text}{_rules(False)}@media (prefers-color-scheme:dark){{{_rules(True)}}}</style>"


def width_of(text: str, size: float = 13.0, bold: bool = False) -> float:
    """About how wide a text is: most letters take 0.56 of the size, narrow ones less, Chinese ones all of it."""
    wide = sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.32 if c in "il.,:;|'()[] /" else 0.6 for c in text)
    return wide * size * (1.07 if bold else 1.0)


@dataclass
class _Drawn:
    """A box with its place in the frame around it, and what is in it."""

    box: Box
    place: Place
    inside: _Frame | None = None


@dataclass
class _Frame:
    items: list[_Drawn]
    edges: list[Edge]
    width: float
    height: float
    entries: dict[int, Place] = field(default_factory=dict)
    exits: dict[int, Place] = field(default_factory=dict)


class _Layout:
    def __init__(self, picture: Picture):
        self.shapes, self.same = picture.shapes, picture.same

    def value(self, number: int) -> int:
        while number in self.same:
            number = self.same[number]
        return number

    def frame(self, boxes: list[Box], entering: list[int], leaving: list[int]) -> _Frame:
        entries = {value: Place(("entry", value), 8.0, 0.0) for value in entering}
        items = [self.drawn(box) for box in boxes]
        exits = {value: Place(("exit", value), 8.0, 0.0) for value in leaving}
        source: dict[int, tuple[Place, float]] = {value: (place, 0.0) for value, place in entries.items()}
        edges: list[Edge] = []
        for item in items:
            wanted = list(dict.fromkeys(map(self.value, item.box.inputs)))
            coming = [value for value in wanted if value in source]
            for i, value in enumerate(coming):
                place, out = source[value]
                into = self._port(item, value) if item.inside else 12.0 * (i - (len(coming) - 1) / 2)
                if item.box.title in "+−×÷@":
                    into = 0.0
                edges.append(Edge(place, item.place, value, out, into))
            for value in map(self.value, item.box.outputs):
                exit_place = item.inside.exits.get(value) if item.inside else None
                source[value] = (
                    item.place,
                    exit_place.x - item.inside.width / 2 if item.inside and exit_place else 0.0,
                )
        edges += [
            Edge(*source[value][:1], place, value, source[value][1])
            for value, place in exits.items()
            if value in source
        ]
        places = [*entries.values(), *(item.place for item in items), *exits.values()]
        width, height = arrange(places, edges, list(entries.values()), list(exits.values()))
        for item in items:
            if item.inside is None:  # lines arrive in the order in which they come, so that they do not cross
                coming_in = sorted(item.place.above, key=lambda edge: (edge.way[-1] if edge.way else edge.source).x)
                for edge, into in zip(coming_in, sorted(edge.into for edge in coming_in), strict=True):
                    edge.into = into
        return _Frame(items, edges, width, height, entries, exits)

    def _port(self, item: _Drawn, value: int) -> float:
        assert item.inside is not None
        place = item.inside.entries.get(value)
        return place.x - item.inside.width / 2 if place else 0.0

    def drawn(self, box: Box) -> _Drawn:
        if box.inner:
            leaving = list(map(self.value, box.outputs))
            frame = self.frame(box.inner, list(dict.fromkeys(map(self.value, box.inputs))), leaving)
            title = width_of(f"{box.title}  {box.name}{_times(box)}", bold=True)
            middle = min((p.x + (-frame.width / 2) for p in frame.entries.values()), default=frame.width)
            needed = 2 * (title + 20 - middle)  # the title stands beside the line that comes in
            return _Drawn(box, Place(box, max(frame.width + 2 * _PAD, needed), frame.height + _HEAD + _FOOT), frame)
        if box.title in "+−×÷@" and not box.detail:
            return _Drawn(box, Place(box, 28.0, 28.0))
        first = width_of(box.title + _times(box), bold=True) + (width_of(box.name, 11.0) + 8 if box.name else 0.0)
        labels = [2 * width_of(self.shapes[value], 11.0) + 20 for value in box.outputs[:1]]
        width = max(first + 26, width_of(box.detail, 11.0) + 26, 84.0, *labels)
        return _Drawn(box, Place(box, width, 46.0 if box.detail else 30.0))


def _times(box: Box) -> str:
    return f"  ×{box.times}" if box.times > 1 else ""


def draw(picture: Picture, theme: str) -> str:
    """The picture as the text of an SVG file."""
    layout = _Layout(picture)
    frame = layout.frame(picture.boxes, [], [])
    width, height = frame.width + 2 * _MARGIN, frame.height + 2 * _MARGIN
    extra = max(width_of(shape, 11.0) for shape in picture.shapes.values()) if picture.shapes else 0.0
    width += extra
    parts: list[str] = []
    _write(layout, frame, _MARGIN + extra / 2, _MARGIN, parts)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">',
            _style(theme),
            f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="8"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def _write(layout: _Layout, frame: _Frame, left: float, top: float, parts: list[str]) -> None:
    for item in frame.items:
        if item.inside is not None:
            _write_frame(layout, item, left, top, parts)
    labels: list[str] = []
    told: set[int] = set()
    for edge in sorted(frame.edges, key=lambda edge: len(edge.way)):
        parts.append(_line(edge, left, top))
        if edge.value not in told and not _is_port(edge.source) and not _is_port(edge.target):
            told.add(edge.value)
            x, y = left + edge.source.x + edge.out, top + edge.source.y + edge.source.height
            labels.append(
                f'<text class="label" x="{x + 7:.1f}" y="{y + 17:.1f}">{escape(layout.shapes[edge.value])}</text>'
            )
    for item in frame.items:
        if item.inside is None:
            _write_box(item, left, top, parts)
    parts += labels


def _is_port(place: Place) -> bool:
    return isinstance(place.content, tuple)


def _write_frame(layout: _Layout, item: _Drawn, left: float, top: float, parts: list[str]) -> None:
    place, box, inside = item.place, item.box, item.inside
    assert inside is not None
    x, y = left + place.x - place.width / 2, top + place.y
    parts.append(f"<g><title>{escape(box.about)}</title>")
    if box.times > 1:
        parts.append(_rect("frame", x + 6, y + 6, place.width, place.height, 10))
        parts.append(_rect("paper", x, y, place.width, place.height, 10))
    parts.append(_rect("frame", x, y, place.width, place.height, 10))
    parts.append(
        f'<text class="ink title" x="{x + 12:.1f}" y="{y + 19:.1f}">{escape(box.title)}<tspan class="dim small name" dx="6">'
        f'{escape(box.name)}</tspan><tspan dx="6">{escape(_times(box).strip())}</tspan></text></g>'
    )
    _write(layout, inside, x + (place.width - inside.width) / 2, y + _HEAD, parts)
    # from the frame's upper side to where its inside begins, and from there to its lower side
    for port in inside.entries.values():
        at = x + (place.width - inside.width) / 2 + port.x
        parts.append(f'<path class="line" d="M{at:.1f} {y:.1f}V{y + _HEAD:.1f}"/>')
    for port in inside.exits.values():
        at = x + (place.width - inside.width) / 2 + port.x
        parts.append(f'<path class="line" d="M{at:.1f} {y + _HEAD + port.y:.1f}V{y + place.height:.1f}"/>')


def _rect(kind: str, x: float, y: float, width: float, height: float, radius: float) -> str:
    return f'<rect class={quoteattr(kind)} x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:g}"/>'


def _write_box(item: _Drawn, left: float, top: float, parts: list[str]) -> None:
    place, box = item.place, item.box
    x, y = left + place.x - place.width / 2, top + place.y
    parts.append(f"<g><title>{escape(box.about or box.title)}</title>")
    end = box.kind in ("input", "output")
    if box.title in "+−×÷@" and not box.detail:
        parts.append(f'<circle class="{box.kind}" cx="{x + 14:.1f}" cy="{y + 14:.1f}" r="13"/>')
        parts.append(
            f'<text class="ink middle sign" x="{x + 14:.1f}" y="{y + 19.5:.1f}">{escape(box.title)}</text></g>'
        )
        return
    if box.times > 1:
        parts.append(_rect(box.kind, x + 5, y + 5, place.width, place.height, 7))
    radius = place.height / 2 if end else 13.0 if box.kind in ("function", "parameter") else 7.0
    parts.append(_rect(box.kind, x, y, place.width, place.height, radius))
    middle = left + place.x
    ink = "end" if end else "ink"
    name = f'<tspan class="dim small name" dx="6">{escape(box.name)}</tspan>' if box.name else ""
    times = f'<tspan dx="6">{escape(_times(box).strip())}</tspan>' if box.times > 1 else ""
    parts.append(
        f'<text class="{ink} middle title" x="{middle:.1f}" y="{y + 19.5:.1f}">{escape(box.title)}{name}{times}</text>'
    )
    if box.detail:
        dim = "end" if end else "dim"
        parts.append(f'<text class="{dim} middle small" x="{middle:.1f}" y="{y + 36:.1f}">{escape(box.detail)}</text>')
    parts.append("</g>")


def _line(edge: Edge, left: float, top: float) -> str:
    """Down from box to box: straight through other layers, bent between them, with a tip where it arrives."""
    x, y = left + edge.source.x + edge.out, top + edge.source.y + edge.source.height
    parts = [f"M{x:.1f} {y:.1f}"]
    below = edge.way[0] if edge.way else edge.target
    clear = top + min(edge.source.floor, below.y - GAP)  # beside taller boxes of its row it goes straight down
    if clear > y:
        parts.append(f"V{clear:.1f}")
        y = clear
    stops = [(left + p.x, top + p.y, top + p.y + p.height) for p in edge.way]
    exit_ = _is_port(edge.target)
    tip = 0.0 if exit_ else 6.0
    stops.append((left + edge.target.x + edge.into, top + edge.target.y - tip, top + edge.target.y - tip))
    for to, upper, lower in stops:
        if abs(to - x) < 0.5:
            parts.append(f"V{lower:.1f}")
        else:
            half = (upper - y) / 2
            parts.append(f"C{x:.1f} {y + half:.1f} {to:.1f} {upper - half:.1f} {to:.1f} {upper:.1f}V{lower:.1f}")
        x, y = to, lower
    line = f'<path class="line" d="{"".join(parts)}"/>'
    return line if exit_ else line + f'<path class="tip" d="M{x - 4:.1f} {y - 1:.1f}h8l-4 7z"/>'
