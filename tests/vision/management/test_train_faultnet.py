"""The command that trains the product's own network, on a tiny scale."""

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from vision.engine.backbones import build_network, get_backbone
from vision.engine.embedder import Embedder
from vision.engine.retrieval import leave_one_out
from vision.engine.synthesis.scenes import draw_canvas, draw_scene, draw_view
from vision.engine.synthesis.sources import FieldBank
from vision.engine.synthesis.textures import FAMILY_CYCLE
from vision.engine.weight_files import find_weights, sha256_of

TINY = ["--scenes", "250", "--materials", "3", "--threads", "1", "--device", "cpu"]


@pytest.fixture
def data(settings, tmp_path):
    settings.FAULTDIAG_DATA = tmp_path
    return tmp_path


def test_trained_weights_take_the_place_of_the_shipped_ones(data, capsys):
    call_command("train_faultnet", "--steps", "2", *TINY)
    weights = find_weights("faultnet", data)
    assert weights.parent == data / "weights"
    build_network(get_backbone("faultnet"), weights)
    said = capsys.readouterr().out
    assert "Trained 2 steps" in said
    assert f"sha256 {sha256_of(weights)}" in said


def test_out_names_another_place(data, tmp_path):
    out = tmp_path / "elsewhere" / "mine.safetensors"
    call_command("train_faultnet", "--steps", "1", "--out", str(out), *TINY)
    assert out.is_file()
    assert not (data / "weights").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--steps", "1", "--scenes", "300"], "multiple of 250"),
        (["--steps", "0"], "more than 0"),
        (["--minutes", "-1"], "more than 0"),
        (["--steps", "1", "--resume", "/nowhere/net.checkpoint"], "no readable checkpoint"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(data, options, sentence):
    with pytest.raises(CommandError, match=sentence):
        call_command("train_faultnet", *TINY, *options)
    assert not (data / "weights").exists()


@pytest.mark.slow
def test_two_minutes_of_training_beat_random_weights(data):
    """By what counts in use: another piece of the same material with the same faults is found."""
    call_command("train_faultnet", "--minutes", "2", "--scenes", "6000", "--materials", "360", "--seed", "1")
    trained = Embedder("faultnet", find_weights("faultnet", data), runtime="torch")
    random = Embedder("faultnet", None, random_seed=0, runtime="torch")
    bank = FieldBank.draw(len(FAMILY_CYCLE) * 8, 2, seed=9)
    rng = np.random.default_rng(5)
    scenes = [draw_scene(rng, bank, 0.0) for _ in range(150)]
    pictures = [
        Image.fromarray(np.ascontiguousarray(draw_view(rng, draw_canvas(rng, bank, scene))[0]))
        for scene in scenes
        for _ in range(2)
    ]

    def mean_average_precision(embedder: Embedder) -> float:
        return leave_one_out(embedder.embed(pictures), np.repeat(np.arange(len(scenes)), 2)).map_at_r

    assert mean_average_precision(trained) > mean_average_precision(random) + 0.05
