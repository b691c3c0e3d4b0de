"""The operator's way to bring weights in, with and without a network."""

import functools
import http.server
import threading

import pytest
import torch
from django.core.management import CommandError, call_command

from vision.engine.backbones import build_network, get_backbone
from vision.engine.weight_files import find_weights, sha256_of
from vision.management.commands import fetch_weights

NAME = "efficientnet_b0"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder with a weight file, and the address of a loopback server that serves it."""
    folder = tmp_path_factory.mktemp("served")
    torch.save(build_network(get_backbone(NAME), random_seed=1).state_dict(), folder / "weights.pth")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder / "weights.pth", f"http://127.0.0.1:{server.server_port}/weights.pth"
        server.shutdown()


@pytest.fixture
def data(settings, tmp_path):
    settings.FAULTDIAG_DATA = tmp_path
    return tmp_path


def test_a_local_file_is_put_into_place(data, served, capsys):
    call_command("fetch_weights", NAME, "--file", str(served[0]))
    assert sha256_of(find_weights(NAME, data)) == sha256_of(served[0])
    said = capsys.readouterr().out
    assert sha256_of(served[0]) in said
    assert "ImageNet" in said


def test_a_download_is_checked_against_its_hash(data, served, monkeypatch):
    path, url = served
    monkeypatch.setattr(fetch_weights, "download_source", lambda name: (url, sha256_of(path)[:8]))
    call_command("fetch_weights", NAME)
    assert sha256_of(find_weights(NAME, data)) == sha256_of(path)


def test_a_download_with_a_wrong_hash_leaves_nothing(data, served, monkeypatch):
    monkeypatch.setattr(fetch_weights, "download_source", lambda name: (served[1], "00000000"))
    with pytest.raises(CommandError, match="invalid hash"):
        call_command("fetch_weights", NAME)
    assert not list((data / "weights").iterdir())


def test_without_a_network_one_sentence_says_what_to_do(data, monkeypatch):
    monkeypatch.setattr(
        fetch_weights, "download_source", lambda name: ("http://127.0.0.1:9/a.pth", "12ab34cd")
    )
    with pytest.raises(CommandError, match="--file PATH") as caught:
        call_command("fetch_weights", NAME)
    assert "\n" not in str(caught.value)
    assert not list((data / "weights").iterdir())


def test_wrong_files_are_refused(data, tmp_path):
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"x")
    for path, words in ((picture, "must end in"), (tmp_path / "absent.pth", "no file")):
        with pytest.raises(CommandError, match=words):
            call_command("fetch_weights", NAME, "--file", str(path))
    with pytest.raises(CommandError, match="ship with the product"):
        call_command("fetch_weights", "faultnet")
