"""Pictures to vectors, on whatever the machine offers: OpenVINO on a CPU, torch on a GPU.

A network is converted for OpenVINO once and kept in a cache folder; every later process opens the result
and never imports torch. torch, openvino and torchvision are imported when an `Embedder` is made, so make it
after a fork.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from vision.engine.backbones import BackboneSpec, WeightsError, build_embedding_network, get_backbone
from vision.engine.images import to_rgb
from vision.engine.weight_files import sha256_of

logger = logging.getLogger(__name__)

#: Pictures in one pass of the network: bounds the memory, and larger passes gain nothing on a CPU.
BATCH = 16


@dataclass(frozen=True)
class EmbeddingSpace:
    """Everything that makes two vectors comparable."""

    backbone: str
    weights_sha256: str
    preprocessing: str
    dimension: int

    @cached_property
    def slug(self) -> str:
        """Short name that changes with any part of the space, the same on every machine."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.backbone}-{digest[:12]}"


class _Runtime(Protocol):
    def __call__(self, batch: np.ndarray) -> np.ndarray: ...


class Embedder:
    """Turns pictures into vectors of one embedding space. Safe to share between threads: one pass at a time.

    `weights` is the network's local file; without it `random_seed` must be given, which makes a network of
    random weights in a space of its own (the baseline of every figure). `device` is "auto", "cpu" or "cuda";
    `runtime` is "auto", "openvino" or "torch"; `threads` limits the processor threads of one pass.
    `cache_dir` keeps converted networks between processes; without it each process converts anew.
    Raises WeightsError for a missing or unusable file.
    """

    def __init__(
        self,
        backbone: str,
        weights: Path | None,
        *,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        runtime: Literal["auto", "openvino", "torch"] = "auto",
        threads: int | None = None,
        cache_dir: Path | None = None,
        random_seed: int | None = None,
    ):
        self.spec = get_backbone(backbone)
        if (weights is None) == (random_seed is None):
            raise WeightsError(f"{self.spec.title} needs either a weight file or a seed for random weights.")
        if weights is not None and not weights.is_file():
            raise WeightsError(f"There is no weight file {weights}. Run: {self.spec.mending_command}")
        self.space = EmbeddingSpace(
            backbone=backbone,
            weights_sha256=sha256_of(weights) if weights else f"random-{random_seed}",
            preprocessing=self.spec.preprocessing,
            dimension=self.spec.dimension,
        )
        self._lock = threading.Lock()
        self.runtime: Literal["openvino", "torch"]
        self.runtime, self._run = _choose_runtime(
            self.spec, self.space, weights, random_seed, device, runtime, threads, cache_dir
        )

    def embed(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Embed n pictures of any size and mode: float32 (n, dimension), rows of unit length."""
        vectors = np.empty((len(images), self.spec.dimension), np.float32)
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            batch = np.stack([prepare(image, self.spec) for image in part])
            with self._lock:
                vectors[start : start + len(part)] = self._run(batch)
        return vectors


def prepare(image: Image.Image, spec: BackboneSpec) -> np.ndarray:
    """Pixels as the network wants them: float32 (channels, input_size, input_size), normalised."""
    image = to_rgb(image)
    if spec.channels == 1:
        image = image.convert("L")
    size = (spec.input_size, spec.input_size)
    if spec.resize == "letterbox":
        scale = spec.input_size / max(image.size)
        inner = tuple(max(round(side * scale), 1) for side in image.size)
    else:
        inner = size
    # Pillow's filters average over what they leave out, so fine textures do not turn into moire.
    image = image.resize(inner, Image.Resampling.BILINEAR, reducing_gap=3.0)
    pixels = np.asarray(image, np.float32).reshape(inner[1], inner[0], spec.channels) / 255
    pixels = (pixels - np.float32(spec.mean)) / np.float32(spec.std)
    if inner != size:
        # Zero is the mean colour after normalisation: padding says as little as possible.
        padded = np.zeros((size[1], size[0], spec.channels), np.float32)
        left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        padded[top : top + inner[1], left : left + inner[0]] = pixels
        pixels = padded
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _choose_runtime(
    spec: BackboneSpec,
    space: EmbeddingSpace,
    weights: Path | None,
    random_seed: int | None,
    device: str,
    runtime: str,
    threads: int | None,
    cache_dir: Path | None,
) -> tuple[str, _Runtime]:
    on_cuda = device == "cuda" or (device == "auto" and runtime != "openvino" and _has_cuda())
    if runtime == "openvino" or (runtime == "auto" and not on_cuda):
        try:
            return "openvino", _OpenVino(spec, space, weights, random_seed, threads, cache_dir)
        except WeightsError:
            raise
        except Exception:
            if runtime == "openvino":
                raise
            logger.exception("OpenVINO cannot run %s here; torch runs it instead, slower.", spec.name)
    return "torch", _Torch(spec, weights, random_seed, "cuda" if on_cuda else "cpu", threads)


def _has_cuda() -> bool:
    # Asked of torch only where a GPU can be at all: the question costs seconds of import.
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists() and os.name != "nt":
        return False
    import torch

    return torch.cuda.is_available()


class _Torch:
    def __init__(
        self,
        spec: BackboneSpec,
        weights: Path | None,
        random_seed: int | None,
        device: str,
        threads: int | None,
    ):
        import torch

        if threads and device == "cpu":
            torch.set_num_threads(threads)
        self._torch = torch
        self._device = device
        self._network = build_embedding_network(spec, weights, random_seed=random_seed or 0).to(device)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            return self._network(self._torch.from_numpy(batch).to(self._device)).cpu().numpy()


class _OpenVino:
    """One picture a pass: with a fixed shape the plugin plans memory and kernels ahead."""

    def __init__(
        self,
        spec: BackboneSpec,
        space: EmbeddingSpace,
        weights: Path | None,
        random_seed: int | None,
        threads: int | None,
        cache_dir: Path | None,
    ):
        import openvino

        def convert(folder: Path) -> None:
            _convert(build_embedding_network(spec, weights, random_seed=random_seed or 0), spec, folder)

        core = openvino.Core()
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        if cache_dir is None:
            with tempfile.TemporaryDirectory(prefix="faultdiag-") as folder:
                convert(Path(folder))
                self._compiled = core.compile_model(_model_file(Path(folder)), "CPU", options)
        else:
            folder = cache_dir / f"{space.slug}-openvino-{openvino.__version__.split('-')[0]}"
            try:
                self._compiled = core.compile_model(_model_file(folder), "CPU", options)
            except RuntimeError:  # not converted yet, or damaged
                _replace_folder(folder, convert)
                self._compiled = core.compile_model(_model_file(folder), "CPU", options)
        self._request = self._compiled.create_infer_request()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        rows = [self._request.infer([image[None]])[0].copy() for image in batch]
        return np.concatenate(rows)


def _model_file(folder: Path) -> Path:
    return folder / "network.xml"


def _convert(network, spec: BackboneSpec, folder: Path) -> None:
    """Write the network as OpenVINO's network.xml and .bin.

    The front end is called directly: `openvino.convert_model` would report each use to an outside host.
    """
    import openvino
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    example = torch.zeros(1, spec.channels, spec.input_size, spec.input_size)
    root = logging.getLogger()
    root.addFilter(_is_no_decomposition_notice)
    try:
        decoder = TorchFXPythonDecoder.from_model(network, (example,))
    finally:
        root.removeFilter(_is_no_decomposition_notice)
    front_end = FrontEndManager().load_by_framework("pytorch")
    source = front_end.load(decoder)  # keeps pointing at the decoder, so both stay named until the end
    openvino.save_model(front_end.convert(source), _model_file(folder), compress_to_fp16=False)


def _is_no_decomposition_notice(record: logging.LogRecord) -> bool:
    """OpenVINO logs tracebacks for operators that this torch no longer decomposes, which is harmless."""
    return "not found in decomp table" not in record.msg


def _replace_folder(folder: Path, fill) -> None:
    """Fill a folder beside the target and rename it, so that no process ever sees a part of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".converting-"))
    try:
        fill(fresh)
        if folder.exists():
            stale = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".stale-"))
            os.replace(folder, stale)
            shutil.rmtree(stale, ignore_errors=True)
        try:
            os.replace(fresh, folder)
        except OSError:
            if not _model_file(folder).exists():  # else another process was first, with the same result
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
