"""Put the weights of a backbone into the data folder: from a file, or from its authors' own address."""

import re
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from vision.engine.backbones import BACKBONES, WeightsError, get_backbone, published_digits
from vision.engine.weight_files import (
    SUFFIXES,
    copy_from,
    download_source,
    place_weights,
    weights_in_place,
)


class Command(BaseCommand):
    help = "Put the weights of a backbone into the data folder. Downloads them, or takes a local --file."

    def add_arguments(self, parser):
        parser.add_argument("backbone", nargs="?", choices=list(BACKBONES))
        parser.add_argument(
            "--list", action="store_true", help="Show every backbone, and the weights that are in place."
        )
        parser.add_argument(
            "--file",
            type=Path,
            help="A local file as its authors publish it, for machines without a network.",
        )
        parser.add_argument(
            "--sha256",
            help="The sha256 that the file must have, or its first 8 digits or more. What the name of a"
            " published file says is checked anyway.",
        )

    def handle(self, *, backbone, file, sha256, **options):
        if options["list"]:
            self._list()
            return
        if backbone is None:
            raise CommandError("Name a backbone, or say --list to see them all.")
        if sha256 and not re.fullmatch(r"[0-9a-fA-F]{8,64}", sha256):
            raise CommandError("--sha256 takes 8 to 64 hexadecimal digits.")
        try:
            if file is None:
                url, digits = download_source(backbone)
                write, suffix, source = _download_from(url, digits), Path(url).suffix, url
            else:
                write, suffix, source = copy_from(file), file.suffix, str(file)
                digits = published_digits(get_backbone(backbone), file.name)
                if suffix not in SUFFIXES:
                    raise CommandError(
                        f"{file} is no weight file: its name must end in {', '.join(SUFFIXES)}."
                    )
                if not file.is_file():
                    raise CommandError(f"There is no file {file}.")
            target, digest = place_weights(
                backbone,
                settings.FAULTDIAG_DATA,
                write,
                suffix,
                source=source,
                digits=[promised for promised in (digits, sha256) if promised],
            )
        except WeightsError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The weights can't be put in place: {error.strerror or error}.") from error
        self.stdout.write(f"{target} is in place (sha256 {digest}).")
        self.stdout.write(get_backbone(backbone).licence)
        self.stdout.write(f"Set FAULTDIAG_BACKBONE={backbone} and restart to use it.")

    def _list(self):
        for found in weights_in_place(settings.FAULTDIAG_DATA):
            used = ", in use" if found.spec.name == settings.BACKBONE else ""
            self.stdout.write(f"{found.spec.name}: {found.spec.title}{used}")
            if found.path is None:
                self.stdout.write(f"  not here; to bring it: {found.spec.mending_command}")
            else:
                self.stdout.write(f"  {found.path} ({found.size / 2**20:.1f} MiB)\n  sha256 {found.sha256}")
            self.stdout.write(f"  {found.spec.licence}")


def _download_from(url, digits):
    def write(target):
        from torch.hub import download_url_to_file

        try:
            download_url_to_file(url, str(target), hash_prefix=digits, progress=True)
        except (OSError, RuntimeError) as error:
            # URLError and timeouts are OSErrors; a wrong hash is a RuntimeError
            reason = getattr(error, "reason", None) or error
            raise WeightsError(
                f"{url} can't be fetched ({reason}). Fetch it on a machine with a network, bring the file "
                "here and run this command with --file PATH."
            ) from error

    return write
