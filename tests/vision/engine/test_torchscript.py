"""TorchScript archives give their tensors and run nothing."""

import pickle
import warnings
import zipfile

import pytest
import torch
from torch import nn

from vision.engine.checkpoints import WeightsError, read_state
from vision.engine.torchscript import is_archive


class Small(nn.Module):
    """Layers that share a tensor, a list of layers, a buffer, and attributes of several kinds."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 4), nn.LayerNorm(4)]).half()
        self.tied = nn.Linear(3, 4)
        self.register_buffer("counted", torch.tensor([3, 5]).t())
        self.sizes = [1, 2]
        self.scale = 0.5

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x * self.scale + float(self.sizes[0])


@pytest.fixture
def archive(tmp_path):
    network = Small()
    network.tied.weight.data = torch.arange(12.0).reshape(3, 4).t()
    path = tmp_path / "network.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(torch.jit.script(network), path)
    return network, path


def rewritten(path, member, change):
    """The archive with one member changed."""
    with zipfile.ZipFile(path) as source:
        content = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w") as target:
        for name, data in content.items():
            target.writestr(name, change(data) if name.endswith(member) else data)


def test_every_tensor_comes_under_its_name_as_float32(archive):
    network, path = archive
    assert is_archive(path)
    state = read_state(path)
    expected = network.state_dict()
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value.float() if value.is_floating_point() else value)


def test_what_would_run_code_is_refused(archive, capsys):
    _, path = archive

    class Spy:
        def __reduce__(self):
            return print, ("ran code from a weight file",)

    rewritten(path, "/data.pkl", lambda data: pickle.dumps(Spy(), protocol=2))
    with pytest.raises(WeightsError, match=r"would run .*print"):
        read_state(path)
    assert "ran code" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("/data.pkl", lambda data: data[:-40]),
        ("/data.pkl", lambda data: pickle.dumps([1, 2], protocol=2)),
        ("/data.pkl", lambda data: data.replace(b"HalfStorage", b"OddlStorage")),
        ("/data/0", lambda data: data[:-2]),
    ],
)
def test_a_damaged_archive_is_refused(archive, member, change):
    _, path = archive
    rewritten(path, member, change)
    with pytest.raises(WeightsError, match=path.name):
        read_state(path)


def test_an_archive_that_was_cut_off_is_refused(archive):
    _, path = archive
    whole = path.read_bytes()
    for share in (0.3, 0.99):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(WeightsError, match="Fetch it again"):
            read_state(path)
