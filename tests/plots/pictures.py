"""What a test sees in a picture: texts and arrows, where they lie, and how well they can be read.

Everything is measured after drawing with Agg, in pixels.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, Patch
from matplotlib.text import Text
from matplotlib.transforms import Bbox

LEAST_CONTRAST = 4.5  # WCAG 2.2, criterion 1.4.3
LEAST_POINTS = 9


def texts(ax: Axes) -> list[Text]:
    """All texts of the figure that are seen, drawn first so that they lie where they will be."""
    ax.figure.canvas.draw()
    unseen: set[Text] = set()
    for panel in ax.figure.axes:
        for axis in (panel.xaxis, panel.yaxis):
            # matplotlib keeps a tick beyond either end, and does not draw it.
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if not panel.axison or not low <= tick.get_loc() <= high:
                    unseen |= {tick.label1, tick.label2}
    return [
        text
        for text in ax.figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in unseen
    ]


def strings(ax: Axes) -> list[str]:
    return [text.get_text() for text in texts(ax)]


# --- layout ---------------------------------------------------------------------------------------


def check_layout(found: list[Text]) -> None:
    """Texts are large enough, lie within the figure, and do not overlap each other."""
    boxes = [text.get_window_extent() for text in found]
    assert len(boxes) > 3
    assert min(text.get_fontsize() for text in found) >= LEAST_POINTS
    for (one, a), (other, b) in combinations(zip(found, boxes, strict=True), 2):
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert not (width > 1 and height > 1), (
            f"{one.get_text()!r} and {other.get_text()!r} overlap"
        )
    inside = found[0].get_figure(root=True).bbox
    for text, box in zip(found, boxes, strict=True):
        assert inside.x0 <= box.x0 and box.x1 <= inside.x1, f"{text.get_text()!r} is cut off"
        assert inside.y0 <= box.y0 and box.y1 <= inside.y1, f"{text.get_text()!r} is cut off"


def shapes_drawn(ax: Axes) -> list[tuple[Patch, Bbox]]:
    """Boxes, cells and circles with their places; no arrows."""
    patches = [patch for patch in ax.patches if not isinstance(patch, FancyArrowPatch)]
    return [(patch, patch.get_window_extent()) for patch in patches]


def check_texts_fit_their_boxes(ax: Axes, found: list[Text]) -> None:
    """A text whose middle lies in a box lies in it wholly."""
    boxes = [box for _, box in shapes_drawn(ax)]
    for text in found:
        extent = text.get_window_extent()
        x, y = (extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2
        around = [box for box in boxes if box.x0 < x < box.x1 and box.y0 < y < box.y1]
        if around:
            box = min(around, key=lambda box: box.width * box.height)
            inside = box.x0 <= extent.x0 and extent.x1 <= box.x1
            assert inside, f"{text.get_text()!r} is wider than its box"
            # Small letters leave room above: the extent counts the room of a capital letter.
            high_enough = box.y0 - 2 <= extent.y0 and extent.y1 <= box.y1 + 2
            assert high_enough, f"{text.get_text()!r} is higher than its box"


# --- arrows ---------------------------------------------------------------------------------------


def arrows(ax: Axes) -> list[np.ndarray]:
    """The corners of every arrow, [num_corners, 2]."""
    found = []
    for patch in ax.patches:
        if isinstance(patch, FancyArrowPatch):
            corners = patch._path_original.vertices
            found.append(ax.transData.transform(corners))
    return found


def check_arrows(ax: Axes, found: list[Text]) -> None:
    """An arrow starts and ends at a box, a text or another arrow, and crosses no text."""
    extents = [text.get_window_extent() for text in found]
    ways = arrows(ax)
    boxes = [box for _, box in shapes_drawn(ax)]
    near = 0.09 * ax.figure.dpi
    for number, way in enumerate(ways):
        others = [other for place, other in enumerate(ways) if place != number]
        for end in (way[0], way[-1]):
            gaps = [_gap_to_edge(box, end) for box in boxes]
            gaps += [_gap_to_box(extent, end) for extent in extents]
            gaps += [_gap_to_way(other, end) for other in others]
            assert min(gaps) <= near, f"an arrow ends in the open, at {end / ax.figure.dpi} inches"
        points = _points_on(way)
        for text, extent in zip(found, extents, strict=True):
            assert not _lie_in(points, extent), f"an arrow crosses {text.get_text()!r}"


def _gap_to_edge(box: Bbox, point: np.ndarray) -> float:
    """How far a point is from the outline of a box."""
    x, y = point
    outside = _gap_to_box(box, point)
    if outside:
        return outside
    return min(x - box.x0, box.x1 - x, y - box.y0, box.y1 - y)


def _gap_to_box(box: Bbox, point: np.ndarray) -> float:
    """How far a point is from a box, 0 inside of it."""
    x, y = point
    return float(np.hypot(max(box.x0 - x, 0, x - box.x1), max(box.y0 - y, 0, y - box.y1)))


def _gap_to_way(way: np.ndarray, point: np.ndarray) -> float:
    """How far a point is from a line through corners."""
    gaps = []
    for start, end in pairwise(way):
        length = float(((end - start) ** 2).sum())
        share = float((point - start) @ (end - start)) / length if length else 0.0
        nearest = start + min(1.0, max(0.0, share)) * (end - start)
        gaps.append(float(np.hypot(*(point - nearest))))
    return min(gaps)


def _points_on(way: np.ndarray) -> np.ndarray:
    """Points along a line through corners, two pixels apart or less: [num_points, 2]."""
    points = []
    for start, end in pairwise(way):
        shares = np.linspace(0, 1, 2 + int(np.hypot(*(end - start)) / 2))
        points.append(start + shares[:, None] * (end - start))
    return np.concatenate(points)


def _lie_in(points: np.ndarray, box: Bbox) -> bool:
    """Whether a point lies in a box, its outermost pixel not counted."""
    x, y = points.T
    inside = (box.x0 + 1 < x) & (x < box.x1 - 1) & (box.y0 + 1 < y) & (y < box.y1 - 1)
    return bool(inside.any())


# --- contrast -------------------------------------------------------------------------------------


def contrast(one: object, other: object) -> float:
    """The contrast of two colours, from 1 to 21, as WCAG 2.2 defines it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: object) -> float:
    total = 0.0
    for channel, weight in zip(to_rgb(colour), (0.2126, 0.7152, 0.0722), strict=True):
        bent = channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        total += weight * bent
    return total


def contrasts(found: list[Text]) -> Iterator[tuple[str, float]]:
    """Every text with its least contrast to what lies behind it: each colour that fills a tenth of
    its extent or more.
    """
    canvas = found[0].get_figure(root=True).canvas
    for text in found:
        text.set_alpha(0)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[::-1, :, :3]  # from the bottom up
    for text in found:
        text.set_alpha(None)
        extent = text.get_window_extent()
        rows = slice(max(0, int(extent.y0)), int(extent.y1) + 1)
        columns = slice(max(0, int(extent.x0)), int(extent.x1) + 1)
        behind = picture[rows, columns].reshape(-1, 3).astype(np.int64)
        codes, counts = np.unique(behind @ (65536, 256, 1), return_counts=True)
        grounds = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
        large = grounds[counts >= 0.1 * len(behind)]
        assert len(large), f"{text.get_text()!r} stands on no ground of its own"
        found_contrasts = [contrast(text.get_color(), ground / 255) for ground in large]
        yield text.get_text(), min(found_contrasts)


def check_contrast(found: list[Text]) -> None:
    """Every text can be read on what lies behind it."""
    for text, least in contrasts(found):
        assert least >= LEAST_CONTRAST, f"{text!r} has a contrast of {least:.2f}"
