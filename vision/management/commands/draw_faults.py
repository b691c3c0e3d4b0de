"""manage.py draw_faults DIR: drawn photographs of faults, in a folder per category, and a contact sheet."""

from itertools import cycle, islice
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from PIL import Image
from tqdm import tqdm

from vision.engine.synthesis.gallery import FAULT_KINDS, MATERIALS, NO_FAULT, draw_fault_image
from vision.engine.synthesis.sheet import draw_sheet

_KINDS = (*FAULT_KINDS, NO_FAULT)
_SHEET_FORMATS = (".jpg", ".jpeg", ".png")
_QUALITY = 88
#: Seeds below this are the user's; pictures of one call count up from seed times it.
_SEEDS_APART = 1_000_000


class Command(BaseCommand):
    help = (
        "Draw photographs of parts with one fault each into DIR, a folder per kind of fault, to try out"
        " `import_folder DIR` and `measure retrieval DIR`. The same arguments draw the same pictures."
        " `--sheet FILE` draws a labelled contact sheet instead, or as well."
        " The database is not touched."
    )

    def add_arguments(self, parser):
        parser.add_argument("folder", nargs="?", metavar="DIR", help="Where the folders of pictures go.")
        parser.add_argument(
            "--kinds",
            nargs="+",
            metavar="KIND",
            default=list(_KINDS),
            help=f"Kinds of fault, by default all: {', '.join(_KINDS)} ({NO_FAULT} draws good parts).",
        )
        parser.add_argument(
            "--materials",
            nargs="+",
            metavar="MATERIAL",
            default=list(MATERIALS),
            help=f"Materials, by default all in turn: {', '.join(MATERIALS)}.",
        )
        parser.add_argument(
            "--number", type=int, default=20, metavar="N", help="Pictures of each kind; default 20."
        )
        parser.add_argument(
            "--size", type=int, metavar="PX", help="Pixels of a side; default 512, on the sheet 128."
        )
        parser.add_argument("--seed", type=int, default=0, metavar="S", help="Other seeds, other pictures.")
        parser.add_argument("--format", choices=["jpg", "png"], default="jpg", help="Default jpg.")
        parser.add_argument("--sheet", metavar="FILE", help="A contact sheet, .jpg or .png.")

    def handle(self, *, folder, kinds, materials, number, size, seed, sheet, **options):
        _check_names("kind", kinds, _KINDS)
        _check_names("material", materials, MATERIALS)
        if not folder and not sheet:
            raise CommandError("Name a folder for the pictures, or --sheet FILE for a contact sheet.")
        if number < 1:
            raise CommandError("--number takes a number of pictures, at least 1.")
        if size is not None and not 32 <= size <= 4096:
            raise CommandError("--size takes 32 to 4096 pixels.")
        if seed < 0:
            raise CommandError("--seed takes a number of at least 0.")
        if sheet and Path(sheet).suffix.lower() not in _SHEET_FORMATS:
            raise CommandError(f"{sheet} is no name for a sheet: it must end in {', '.join(_SHEET_FORMATS)}.")
        try:
            if folder:
                self._draw_folder(
                    Path(folder), kinds, materials, number, size or 512, seed, options["format"]
                )
            if sheet:
                self._draw_sheet(Path(sheet), kinds, materials, size or 128, seed)
        except OSError as error:
            raise CommandError(f"The pictures can't be written: {error}.") from error

    def _draw_folder(self, folder, kinds, materials, number, size, seed, suffix):
        places = [
            (kind, seed * _SEEDS_APART + place, material)
            for kind in kinds
            for place, material in enumerate(islice(cycle(materials), number))
        ]
        for kind, own_seed, material in tqdm(places, desc="Drawing", unit="img"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            pixels, _ = draw_fault_image(kind, own_seed, size, material=material)
            _save(Image.fromarray(pixels), folder / kind / f"{material}-{own_seed:07d}.{suffix}")
        self.stdout.write(f"{len(places)} pictures in {len(kinds)} folders of {folder}.")

    def _draw_sheet(self, path, kinds, materials, cell, seed):
        def watch(drawn, total):
            return tqdm(drawn, desc="Sheet", unit="img", total=total)

        _save(draw_sheet(kinds, materials, cell=cell, seed=seed, watch=watch), path)
        self.stdout.write(f"{path}: {len(materials)} materials, {len(kinds)} kinds.")


def _check_names(what: str, names: list[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise CommandError(f"There is no {what} {name!r}. Known are: {', '.join(known)}.")


def _save(picture: Image.Image, path: Path) -> None:
    """Write beside and move into place, so that nothing half-written keeps a picture's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    form = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    picture.save(beside, form, **({} if form == "PNG" else {"quality": _QUALITY}))
    beside.replace(path)
