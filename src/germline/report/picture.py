"""How far each weight moved, as a picture: layers across, the kinds of tensors down, darker for farther.

SVG written by hand: it needs no library, is the same bytes every time, and a page can hold it as it is. Each cell
tells its numbers when pointed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

_LAYER = re.compile(r"\.layers\.(\d+)\.(.+)\.weight$")
CELL, GAP, LEFT, TOP, LINE = 22, 2, 150, 58, 18
_SHORT = re.compile(r"^(self_attn|mlp)\.")


def svg(name: str, parent: str, tensors: Mapping[str, Mapping[str, float | None]]) -> str:
    """The step of generation `name` away from `parent`; what is no matrix of a layer is left out.

    `tensors` is what a birth recorded of each tensor (`model.movement.Moved`). Changes are relative Frobenius norms;
    the darkest cell is the largest of them, and the legend says how large that is.
    """
    cells: dict[tuple[str, int], Mapping[str, float | None]] = {}
    for tensor, change in tensors.items():
        if (place := _LAYER.search(tensor)) and change["stable_rank"] is not None:
            cells[_SHORT.sub("", place[2]), int(place[1])] = change
    kinds, layers = sorted({kind for kind, _ in cells}), sorted({layer for _, layer in cells})
    most = max((change["parent"] or 0.0 for change in cells.values()), default=0.0)
    width, height = max(LEFT + len(layers) * CELL + 20, 420), TOP + len(kinds) * CELL + 2 * LINE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(name)} against {escape(parent)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(LEFT, 20, f"How far {name} moved from {parent}, by layer", size=14),
        _text(LEFT, 42, f"white: not at all; darkest: {most:.2%} of the tensor's norm"),
    ]
    for row, kind in enumerate(kinds):
        y = TOP + row * CELL
        parts.append(_text(LEFT - 10, y + 15, kind, anchor="end"))
        for column, layer in enumerate(layers):
            if (kind, layer) in cells:
                parts.append(_cell(LEFT + column * CELL, y, f"layer {layer} {kind}", cells[kind, layer], most))
    below = TOP + len(kinds) * CELL + LINE
    ticks = (column for column, layer in enumerate(layers) if layer % 5 == 0)
    parts += [_text(LEFT + column * CELL + CELL / 2, below, str(layers[column]), anchor="middle") for column in ticks]
    return "\n".join([*parts, "</svg>", ""])


def _cell(x: int, y: int, name: str, change: Mapping[str, float | None], most: float) -> str:
    share = (change["parent"] or 0.0) / most if most else 0.0
    shade = "#" + "".join(f"{round(255 + share * (dark - 255)):02x}" for dark in (8, 64, 129))
    told = f"{name}: {change['parent'] or 0.0:.3%} from its parent, {change['founder'] or 0.0:.3%} from the founder"
    told += "" if change["stable_rank"] is None else f", stable rank {change['stable_rank']:.1f}"
    told += "" if change["cosine"] is None else f", cosine with all steps before {change['cosine']:+.2f}"
    size = CELL - GAP
    return (
        f'<rect x="{x}" y="{y}" width="{size}" height="{size}" fill="{shade}" stroke="#d0d7de" stroke-width="0.5">'
        f"<title>{escape(told)}</title></rect>"
    )


def _text(x: float, y: float, said: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="#1f2328" text-anchor="{anchor}" font-size="{size}">{escape(said)}</text>'
