"""Weight files: which one is taken, how they get in whole or not at all, what is said without one."""

import hashlib

import pytest
import torch

from vision.engine.backbones import WeightsError, build_network, get_backbone
from vision.engine.weight_files import (
    WeightsMissing,
    copy_from,
    download_source,
    find_weights,
    place_weights,
    sha256_of,
)

NAME = "efficientnet_b0"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "any-name.pth"
    torch.save(build_network(get_backbone(NAME), random_seed=1).state_dict(), path)
    return path


def test_missing_weights_name_the_command(tmp_path):
    with pytest.raises(WeightsMissing, match=r"manage\.py fetch_weights efficientnet_b0"):
        find_weights(NAME, tmp_path)
    with pytest.raises(ValueError, match="no backbone"):
        find_weights("nothing", tmp_path)


def test_the_operators_own_file_comes_before_torchvisions(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    downloaded = folder / get_backbone(NAME).weights_file
    downloaded.write_bytes(b"1")
    assert find_weights(NAME, tmp_path) == downloaded
    own = folder / f"{NAME}.pth"
    own.write_bytes(b"2")
    assert find_weights(NAME, tmp_path) == own


def test_a_local_faultnet_replaces_the_shipped_one(tmp_path):
    (tmp_path / "weights").mkdir()
    own = tmp_path / "weights" / "faultnet.safetensors"
    own.write_bytes(b"1")
    assert find_weights("faultnet", tmp_path) == own


def test_placing_checks_and_hashes(tmp_path, weights):
    target, digest = place_weights(NAME, tmp_path, copy_from(weights), ".pth")
    assert target == find_weights(NAME, tmp_path)
    assert digest == hashlib.sha256(weights.read_bytes()).hexdigest() == sha256_of(target)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_wrong_file_leaves_the_old_one_in_place(tmp_path, weights):
    target, digest = place_weights(NAME, tmp_path, copy_from(weights), ".pth")
    wrong = tmp_path / "wrong.pth"
    torch.save({"x": torch.zeros(2)}, wrong)
    with pytest.raises(WeightsError):
        place_weights(NAME, tmp_path, copy_from(wrong), ".pth")
    assert sha256_of(target) == digest
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_download_addresses():
    url, digits = download_source("vgg16")
    assert (url.startswith("https://download.pytorch.org/"), digits) == (True, "397923af")
    with pytest.raises(WeightsError, match="ship with the product"):
        download_source("faultnet")
