"""Train the product's own network from nothing, on drawn pictures only."""

import os
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from vision.engine.synthesis.pool import PoolPlan, make_pool
from vision.engine.training import TrainingError, TrainingPlan, train
from vision.engine.weight_files import weights_folder


class Command(BaseCommand):
    help = (
        "Train FaultNet on drawn pictures. It takes no photographs and no network: an hour on two "
        "processor cores, 10 GB of disk for the pictures."
    )

    def add_arguments(self, parser):
        length = parser.add_mutually_exclusive_group()
        length.add_argument("--minutes", type=float, help="Train for so long (default: 45).")
        length.add_argument("--steps", type=int, help="Train so many steps: repeatable on any machine.")
        parser.add_argument("--seed", type=int, default=0, help="Seed of the pictures and the network.")
        parser.add_argument("--scenes", type=int, default=54_000, help="Scenes to draw, in 250s.")
        parser.add_argument("--materials", type=int, default=1_800, help="Materials to draw them from.")
        parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
        parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
        parser.add_argument("--out", type=Path, help="Where to write the weights (.safetensors).")
        parser.add_argument("--resume", type=Path, metavar="CHECKPOINT", help="Go on from this checkpoint.")

    def handle(self, *, minutes, steps, seed, scenes, materials, threads, device, out, resume, **options):
        folder = settings.FAULTDIAG_DATA / "training"
        out = out or weights_folder(settings.FAULTDIAG_DATA) / "faultnet.safetensors"
        checkpoint = resume or folder / f"faultnet-seed{seed}.checkpoint"
        if steps is None and minutes is None:
            minutes = 45
        try:
            plan = TrainingPlan(steps=steps, minutes=minutes, seed=seed, threads=threads, device=device)
            pool_plan = PoolPlan(scenes=scenes, materials=materials, seed=seed)
            pool = _draw(pool_plan, folder / f"pool-seed{seed}", threads)
            result = _train(plan, pool, out, checkpoint, resume=resume is not None)
        except (ValueError, TrainingError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The training can't write its files: {error}.") from error
        except KeyboardInterrupt:
            raise CommandError(f"Stopped. To go on, repeat the command with --resume {checkpoint}") from None
        losses = ", ".join(f"{name} {value:.3f}" for name, value in result.losses.items())
        self.stdout.write(f"Trained {result.steps} steps ({losses}).")
        self.stdout.write(f"{result.weights} is written (sha256 {result.sha256}).")
        self.stdout.write("Restart the product to use it: the library is then embedded anew.")


def _draw(plan, folder, workers):
    with tqdm(bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}", total=1.0) as bar:

        def show(stage, done, total):
            if bar.desc != f"{stage}: ":
                bar.reset(1.0)
                bar.set_description(stage, refresh=False)
            bar.update(done / total - bar.n)

        return make_pool(plan, folder, workers=workers, progress=show)


def _train(plan, pool, out, checkpoint, *, resume):
    layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
    with tqdm(bar_format=layout, total=1.0) as bar:

        def show(state):
            stage = state.stage.capitalize()
            if bar.desc != f"{stage}: ":
                bar.reset(1.0)
                bar.set_description(stage, refresh=False)
            bar.set_postfix(step=state.step, contrast=f"{state.losses['contrast']:.3f}", refresh=False)
            bar.update(state.share - bar.n)

        return train(plan, pool, out, checkpoint, resume=resume, progress=show)
