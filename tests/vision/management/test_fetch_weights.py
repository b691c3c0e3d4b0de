"""The operator's way to bring weights in, with and without a network."""

import functools
import http.server
import threading

import pytest
import torch
from django.core.management import CommandError, call_command
from safetensors.torch import save_file

from tests.published import save_published
from vision.engine import backbones
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
    with pytest.raises(CommandError, match="--list"):
        call_command("fetch_weights")


def hostile(path):
    class Spy:
        def __reduce__(self):
            return print, ("ran code from a weight file",)

    torch.save({"a": Spy()}, path)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-5000])


def another_network(path):
    torch.save({"conv1.weight": torch.zeros(4)}, path)


def changed(path):
    state = torch.load(path)
    state["features.0.0.weight"][0, 0, 0, 0] += 1
    torch.save(state, path)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (hostile, "would run .*print.* Take a file from the network's authors"),
        (cut_off, "Fetch it again"),
        (another_network, "does not hold the weights of EfficientNet-B0 .*fetch_weights efficientnet_b0"),
        (changed, r"its sha256 begins with \w+ and not with \w+\. .*fetch it again"),
    ],
)
def test_a_refusal_names_the_file_and_leaves_what_was_in_place(data, tmp_path, capsys, harm, words):
    network = build_network(get_backbone(NAME), random_seed=1)
    first = save_published(NAME, network.state_dict(), tmp_path)
    call_command("fetch_weights", NAME, "--file", str(first))
    before = sha256_of(find_weights(NAME, data))
    # Under its published name only the digits are wrong; the other faults are found without any.
    second = first if harm is changed else tmp_path / "second.pth"
    second.write_bytes(first.read_bytes())
    harm(second)
    with pytest.raises(CommandError, match=f"{second}.*{words}") as caught:
        call_command("fetch_weights", NAME, "--file", str(second))
    assert "\n" not in str(caught.value)
    assert ".incoming" not in str(caught.value)
    assert "ran code" not in capsys.readouterr().out
    assert sha256_of(find_weights(NAME, data)) == before
    assert [path.name for path in (data / "weights").iterdir()] == [f"{NAME}.pth"]


def test_the_sha256_that_the_operator_gives_must_fit(data, served):
    digest = sha256_of(served[0])
    with pytest.raises(CommandError, match="and not with 0000000000"):
        call_command("fetch_weights", NAME, "--file", str(served[0]), "--sha256", "0" * 64)
    with pytest.raises(CommandError, match="8 to 64 hexadecimal"):
        call_command("fetch_weights", NAME, "--file", str(served[0]), "--sha256", "none")
    assert not list((data / "weights").iterdir())
    call_command("fetch_weights", NAME, "--file", str(served[0]), "--sha256", digest.upper())
    assert sha256_of(find_weights(NAME, data)) == digest


def test_a_new_file_of_another_format_replaces_the_old_one(data, tmp_path):
    for seed, name in enumerate(("first.safetensors", "second.pt")):
        state = build_network(get_backbone(NAME), random_seed=seed).state_dict()
        (save_file if name.endswith("safetensors") else torch.save)(state, tmp_path / name)
        call_command("fetch_weights", NAME, "--file", str(tmp_path / name))
        assert sha256_of(find_weights(NAME, data)) == sha256_of(tmp_path / name)
    assert [path.name for path in (data / "weights").iterdir()] == [f"{NAME}.pt"]


def test_without_its_extra_clip_is_not_even_fetched(data, tmp_path, monkeypatch):
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    with pytest.raises(CommandError, match=r"pip install -r requirements-clip\.txt"):
        call_command("fetch_weights", "clip_vit_b_32")


def test_a_network_without_an_address_asks_for_its_file(data):
    with pytest.raises(CommandError, match="fetch_weights clip_vit_b_32_laion --file PATH"):
        call_command("fetch_weights", "clip_vit_b_32_laion")


def test_the_list_shows_what_is_in_place(data, served, capsys):
    call_command("fetch_weights", NAME, "--file", str(served[0]))
    capsys.readouterr()
    call_command("fetch_weights", "--list")
    said = capsys.readouterr().out
    assert "faultnet: FaultNet" in said
    assert ", in use" in said.splitlines()[0]
    assert f"sha256 {sha256_of(served[0])}" in said
    assert "to bring it: manage.py fetch_weights vgg16\n" in said
    assert "to bring it: manage.py fetch_weights clip_vit_b_32_laion --file PATH\n" in said
    assert all(spec.licence in said for spec in backbones.BACKBONES.values())
