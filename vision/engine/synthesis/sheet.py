"""A contact sheet of the gallery: every material in a row, every kind of fault in a column."""

from collections.abc import Callable, Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

from vision.engine.synthesis.gallery import draw_fault_image

_GAP = 4
_MARGIN = 10
_FONT_SIZE = 15
_LABEL_WIDTH = 128
_PAPER, _INK = (250, 250, 250), (25, 25, 25)

#: Wraps the places of a sheet, to show progress: (places, number of them).
Watch = Callable[[Iterable, int], Iterable]


def draw_sheet(
    kinds: Sequence[str],
    materials: Sequence[str],
    *,
    cell: int = 128,
    seed: int = 0,
    watch: Watch = lambda places, total: places,
) -> Image.Image:
    """A labelled sheet with one picture, `cell` pixels square, for each material and kind of fault.

    `kinds` may hold "none" for good parts. Same arguments, same sheet. Raises ValueError as draw_fault_image.
    """
    font = ImageFont.load_default(_FONT_SIZE)
    step = cell + _GAP
    left, top = _MARGIN + _LABEL_WIDTH, _MARGIN + _FONT_SIZE + 10
    size = (left + step * len(kinds) + _MARGIN, top + step * len(materials) + _MARGIN)
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, kind in enumerate(kinds):
        middle = left + column * step + cell / 2
        pen.text((middle, _MARGIN), "good" if kind == "none" else kind, _INK, font, anchor="ma")
    for row, material in enumerate(materials):
        middle = top + row * step + cell / 2
        pen.text((_MARGIN, middle), material.replace("_", "\n"), _INK, font, anchor="lm")
    places = [(row, column) for row in range(len(materials)) for column in range(len(kinds))]
    for row, column in watch(places, len(places)):
        # Drawn at full size and reduced, as a thumbnail of a photograph is.
        pixels, _ = draw_fault_image(kinds[column], seed, material=materials[row])
        thumbnail = Image.fromarray(pixels).resize((cell, cell), Image.Resampling.LANCZOS)
        sheet.paste(thumbnail, (left + column * step, top + row * step))
    return sheet
