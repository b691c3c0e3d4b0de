"""The report of an inspection as PDF: what was seen, where, by which rule, and what it was compared with."""

from functools import cache
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape

from django.utils import timezone
from PIL import Image as PillowImage
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table

from cases.services.previews import preview_open
from cases.storages import StorageAway
from vision.models import Inspection
from vision.services.inspection.drawings import inspection_small, png
from vision.services.inspection.evidence import NoEvidence, patch_picture, region_picture
from vision.services.inspection.pictures import PictureUnreadable
from vision.services.inspection.wording import p_value_words

#: Comes with matplotlib, and has the letters of nearly all European languages.
_FONT, _BOLD = "DejaVuSans", "DejaVuSans-Bold"
_GREY = colors.HexColor("#515c6a")
_TEXT = ParagraphStyle("text", fontName=_FONT, fontSize=8.5, leading=12)
_SMALL = ParagraphStyle("small", parent=_TEXT, fontSize=7, leading=9.5, textColor=_GREY)
_TITLE = ParagraphStyle("title", fontName=_BOLD, fontSize=15, leading=20, spaceAfter=4)
_HEADING = ParagraphStyle("heading", fontName=_BOLD, fontSize=10.5, leading=14, spaceBefore=10, spaceAfter=3)
_COLOURS = {"pass": "#12613a", "fail": "#9c1f1a", "undecided": "#724800"}
_LINE = colors.HexColor("#d5dbe2")
_MARGIN = 18 * mm
_WIDTH = A4[0] - 2 * _MARGIN
_TALLEST = 82 * mm
_PATCH = 26 * mm


class _ScoreBar(Flowable):
    """The score as a bar, with the threshold as a line in the middle."""

    def __init__(self, inspection: Inspection):
        super().__init__()
        self.inspection = inspection
        self.width, self.height = 70 * mm, 5 * mm

    def draw(self):
        share = min(max(self.inspection.score / self.inspection.threshold / 2, 0.01), 1)
        self.canv.setFillColor(colors.HexColor("#ebeff3"))
        self.canv.rect(0, 1 * mm, self.width, 3 * mm, stroke=0, fill=1)
        self.canv.setFillColor(colors.HexColor(_COLOURS[self.inspection.verdict]))
        self.canv.rect(0, 1 * mm, share * self.width, 3 * mm, stroke=0, fill=1)
        self.canv.setStrokeColor(colors.black)
        self.canv.setLineWidth(1.2)
        self.canv.line(self.width / 2, 0, self.width / 2, self.height)


def inspection_report(inspection: Inspection) -> bytes:
    """A PDF of one or more pages. What can't be drawn any more is said in its place. Raises StorageAway."""
    _fonts_register()
    stream = BytesIO()
    document = SimpleDocTemplate(
        stream,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=16 * mm,
        bottomMargin=18 * mm,
        title=f"Inspection {inspection.pk}",
        author="faultdiag",
        subject=f"{inspection.version}: {inspection.get_verdict_display()}",
    )
    story = [
        Paragraph(f"Inspection {inspection.pk}", _TITLE),
        *_verdict(inspection),
        Spacer(0, 4 * mm),
        _pictures(inspection),
        Paragraph("How it was judged", _HEADING),
        _facts(inspection),
        *_regions(inspection),
    ]
    printed = f"Printed {timezone.localtime():%Y-%m-%d %H:%M} by faultdiag"

    def footer(canvas, page):
        canvas.setFont(_FONT, 7)
        canvas.setFillColor(_GREY)
        canvas.drawString(_MARGIN + 6, 10 * mm, printed)
        canvas.drawRightString(A4[0] - _MARGIN - 6, 10 * mm, f"Inspection {inspection.pk}, page {page.page}")

    document.build(story, onFirstPage=footer, onLaterPages=footer)
    return stream.getvalue()


@cache
def _fonts_register() -> None:
    # Half the time that the web process takes to load reports, and only for its fonts.
    from matplotlib import get_data_path

    for name in (_FONT, _BOLD):
        pdfmetrics.registerFont(TTFont(name, Path(get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"))


def _verdict(inspection: Inspection) -> list:
    colour = _COLOURS[inspection.verdict]
    word = ParagraphStyle("verdict", parent=_TITLE, textColor=colors.HexColor(colour), spaceAfter=2)
    found = [Paragraph(inspection.get_verdict_display().upper(), word)]
    if inspection.threshold:
        found.append(_ScoreBar(inspection))
        found.append(_paragraph(f"Score {inspection.score:.3f}, threshold {inspection.threshold:.3f}"))
    else:
        found.append(_paragraph(f"Score {inspection.score:.3f}, no threshold"))
    words = p_value_words(inspection.p_value)
    if words:
        found.append(_paragraph(f"{words} (p = {inspection.p_value:.4f})."))
    return [*found, *(_paragraph(f"Note: {note}") for note in inspection.notes)]


def _pictures(inspection: Inspection) -> Table:
    half = _WIDTH / 2 - 2 * mm
    drawn = (_plain_picture, _overlay_picture)
    cells = [_picture_or_words(lambda draw=draw: draw(inspection), half, _TALLEST) for draw in drawn]
    titles = [
        Paragraph("Picture", _SMALL),
        Paragraph("Heat map and outlines of what is unlike good parts", _SMALL),
    ]
    return Table(
        [cells, titles],
        colWidths=[_WIDTH / 2] * 2,
        style=[("LEFTPADDING", (0, 0), (-1, -1), 0)],
        hAlign="LEFT",
    )


def _plain_picture(inspection: Inspection) -> bytes:
    with preview_open(inspection.file, "preview") as drawn:
        return drawn.read()


def _overlay_picture(inspection: Inspection) -> bytes:
    return png(inspection_small(inspection, "preview"))


def _facts(inspection: Inspection) -> Table:
    version, inspector = inspection.version, inspection.version.inspector
    by = inspection.created_by
    who = (by.get_full_name() or by.get_username()) if by else "not recorded"
    rows = [
        ("Inspector", f"{inspector}, version {version.number}"),
        ("Part", str(inspector.part) if inspector.part else ""),
        ("Serial number", inspection.serial_number),
        ("Rule", version.reason),
        ("Learned from", f"{len(version.learned_from)} pictures of good parts"),
        ("Network", f"{version.network}, weights {version.weights_sha256[:16]}"),
        ("Good pictures", f"sha256 {version.data_sha256[:16]} over all of them"),
        ("Picture", f"{inspection.name}, {inspection.file.width} x {inspection.file.height} pixels"),
        ("sha256 of the picture", inspection.file.sha256),
        ("Inspected", f"{timezone.localtime(inspection.created_at):%Y-%m-%d %H:%M:%S} by {who}"),
        ("Case", inspection.case.number if inspection.case else ""),
    ]
    cells = [[Paragraph(name, _SMALL), _paragraph(value)] for name, value in rows if value]
    return Table(cells, colWidths=[38 * mm, _WIDTH - 38 * mm], style=_lines(), hAlign="LEFT")


def _regions(inspection: Inspection) -> list:
    if not inspection.regions:
        return [Paragraph("Suspicious regions", _HEADING), _paragraph("None stands out.")]
    found = []
    for number, region in enumerate(inspection.regions, 1):
        x, y, width, height = region["box"]
        words = (
            f"<font name='{_BOLD}'>Region {number}</font><br/>{width} x {height} pixels at {x}, {y}<br/>"
            f"{region['area']} pixels in all<br/>peak {region['peak']:.2f}"
        )
        cells = [
            [
                Paragraph(words, _TEXT),
                _captioned(lambda number=number: region_picture(inspection, number), "this picture"),
                *(
                    _captioned(
                        lambda number=number, place=place: patch_picture(inspection, number, place),
                        f"good, distance {patch['distance']:.2f}",
                    )
                    for place, patch in enumerate(region["nearest"][:3])
                ),
            ]
        ]
        widths = [42 * mm, *[30 * mm] * (len(cells[0]) - 1)]
        table = Table(cells, colWidths=widths, style=_lines(), hAlign="LEFT")
        heading = [Paragraph("Suspicious regions and the good patches nearest to them", _HEADING)]
        found.append(KeepTogether([*(heading if number == 1 else []), table]))
    return found


def _captioned(draw, caption: str) -> list:
    return [_picture_or_words(draw, _PATCH, _PATCH), Paragraph(escape(caption), _SMALL)]


def _picture_or_words(draw, width: float, height: float):
    try:
        data = draw()
    except StorageAway:
        raise
    except (FileNotFoundError, PictureUnreadable, NoEvidence) as error:
        return Paragraph(f"Can't be shown: {escape(str(error))}", _SMALL)
    with PillowImage.open(BytesIO(data)) as picture:
        scale = min(width / picture.width, height / picture.height)
        size = picture.width * scale, picture.height * scale
        stream = BytesIO()
        picture.convert("RGB").save(stream, "JPEG", quality=88)
    stream.seek(0)
    return Image(stream, *size, hAlign="LEFT")


def _paragraph(text: str) -> Paragraph:
    return Paragraph(escape(text), _TEXT)


def _lines() -> list:
    return [
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
