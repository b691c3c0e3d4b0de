"""The command that trains the product's own network, on a tiny scale."""

import pytest
from django.core.management import CommandError, call_command

from vision.engine.backbones import build_network, get_backbone
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
