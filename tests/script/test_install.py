import importlib.util
import os
import subprocess

import pytest

from faultdiag.environment import BASE_DIR


@pytest.fixture
def install(tmp_path, monkeypatch):
    """script/install.py on a folder of its own, with a pip that only notes what it is asked for."""
    spec = importlib.util.spec_from_file_location("install", BASE_DIR / "script" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in {
        "requirements.txt": "torch==2.0\ntorchvision==1.0\ndjango==5.2\nredislite==6.2\n",
        "requirements-dev.txt": "-r requirements.txt\npytest==9.2.0\n",
        "constraints.txt": "six==1.0\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "REQUIREMENTS", tmp_path / "requirements.txt")
    monkeypatch.setattr(module, "CONSTRAINTS", tmp_path / "constraints.txt")
    monkeypatch.setattr(module, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(module, "has_gpu", lambda: False)
    module.calls = []
    module.failing = set()

    def run_pip(arguments, title, total):
        module.calls.append((title, arguments))
        return "ERROR: no network" if title in module.failing else ""

    monkeypatch.setattr(module, "run_pip", run_pip)
    return module


def titles(install):
    return [title for title, _ in install.calls if title != "Installing Redis"]


def test_what_is_installed_is_not_installed_again(install):
    assert install.main(["requirements.txt"]) == 0
    assert titles(install) == ["Installing torch", "Installing packages"]
    install.calls.clear()
    assert install.main(["requirements.txt"]) == 0
    assert install.calls == []
    assert install.main(["requirements-dev.txt"]) == 0
    assert install.main(["requirements.txt"]) == 0
    assert titles(install) == ["Installing torch", "Installing packages"]


@pytest.mark.parametrize("changed", ["requirements.txt", "constraints.txt"])
def test_changed_pins_are_installed_also_when_they_change_back(install, tmp_path, changed):
    before = (tmp_path / changed).read_text()
    for text in (before, before + "more==1.0\n", before):
        (tmp_path / changed).write_text(text)
        install.calls.clear()
        assert install.main(["requirements.txt"]) == 0
        assert "Installing packages" in titles(install)


def test_torch_comes_from_the_cpu_index_without_patience(install):
    install.main(["requirements.txt"])
    arguments = dict(install.calls)["Installing torch"]
    assert arguments[-2:] == ["torch==2.0", "torchvision==1.0"]
    assert arguments[arguments.index("--index-url") + 1] == "https://download.pytorch.org/whl/cpu"
    assert arguments[arguments.index("--retries") + 1] == "0"


def test_with_a_gpu_torch_comes_from_the_default_index(install, monkeypatch):
    monkeypatch.setattr(install, "has_gpu", lambda: True)
    install.main(["requirements.txt"])
    assert titles(install) == ["Installing packages"]


def test_an_unreachable_cpu_index_stops_nothing(install, capsys):
    install.failing = {"Installing torch"}
    assert install.main(["requirements.txt"]) == 0
    assert "default index" in capsys.readouterr().out


def test_a_failed_install_is_told_and_repeated(install, capsys):
    install.failing = {"Installing packages"}
    assert install.main(["requirements.txt"]) == 1
    assert "ERROR: no network" in capsys.readouterr().err
    install.failing = set()
    install.calls.clear()
    assert install.main(["requirements.txt"]) == 0
    assert "Installing packages" in titles(install)


def test_the_scripts_say_that_python_is_missing(tmp_path):
    (tmp_path / "script").mkdir()
    for name in ("server", "prepare.sh"):
        (tmp_path / "script" / name).write_bytes((BASE_DIR / "script" / name).read_bytes())
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "dirname").symlink_to("/usr/bin/dirname")
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(tmp_path / "script" / "server")],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11 or newer is needed")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["script/server", "script/test", ".ci/run", "manage.py"])
def test_entry_points_can_be_run(name):
    assert os.access(BASE_DIR / name, os.X_OK)


def test_the_constraints_pin_what_the_requirements_do_not():
    pins = {
        name: {
            line.split("==")[0].split("[")[0].lower()
            for line in (BASE_DIR / name).read_text().splitlines()
            if "==" in line
        }
        for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt")
    }
    assert not pins["constraints.txt"] & (pins["requirements.txt"] | pins["requirements-dev.txt"])
    assert not any(name.startswith(("nvidia-", "torch")) for name in pins["constraints.txt"])
