import os
import socket
import subprocess
import sys

import pytest
from django.urls import reverse

from faultdiag.checks import missing_milvus, unknown_variables, unusable_weights
from faultdiag.environment import BASE_DIR
from vision.engine import backbones, milvus


def manage(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wrong_setting_stops_a_command_with_one_sentence():
    done = manage("check", FAULTDIAG_METRIC="manhattan")
    assert done.returncode == 1
    assert done.stderr == "FAULTDIAG_METRIC is 'manhattan' and can't be used: give cosine or l2.\n"


def test_a_weak_key_stops_a_command_with_one_sentence():
    done = manage("check", SECRET_KEY="weak", FAULTDIAG_DEBUG="false")
    assert done.returncode == 1
    assert done.stderr.startswith("SECRET_KEY is too weak")
    assert done.stderr.count("\n") == 1


def test_without_servers_the_settings_say_how_to_start():
    environment = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL"}}
    done = subprocess.run(
        [sys.executable, "-c", "from django.conf import settings; settings.DEBUG"],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "start through script/server or manage.py" in done.stderr


@pytest.mark.django_db
def test_pages_allow_nothing_from_elsewhere(client):
    response = client.get(reverse("login"))
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"


@pytest.mark.django_db
def test_pages_ask_for_a_login(client):
    response = client.get(reverse("case-list"))
    assert response.status_code == 302
    assert response.url.startswith(reverse("login"))


def test_a_misspelt_variable_is_told(monkeypatch):
    assert unknown_variables() == []
    monkeypatch.setenv("FAULTDIAG_PROT", "9000")
    assert [warning.id for warning in unknown_variables()] == ["faultdiag.W001"]


def test_missing_weights_are_told(settings):
    settings.BACKBONE = "vgg16"
    assert "fetch_weights vgg16" in unusable_weights()[0].msg


def test_missing_packages_of_milvus_are_told(settings, monkeypatch):
    monkeypatch.setattr(milvus, "find_spec", lambda name: None)
    assert missing_milvus() == []
    settings.INDEX = "milvus"
    (warning,) = missing_milvus()
    assert warning.id == "faultdiag.W003"
    assert "pymilvus and milvus_lite can't be imported" in warning.msg
    assert "pip install -r requirements-milvus.txt -c constraints.txt" in warning.hint
    settings.MILVUS_URI = "http://milvus.plant:19530"
    assert "milvus_lite" not in missing_milvus()[0].msg


def test_the_start_tells_of_missing_packages_of_milvus(tmp_path):
    code = (
        "import vision.engine.milvus as milvus; milvus.find_spec = lambda name: None\n"
        "from django.core.management import execute_from_command_line as run; run(['manage.py', 'serve'])"
    )
    with socket.socket() as taken:  # so that the start ends here
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=BASE_DIR,
            env=os.environ
            | {
                "FAULTDIAG_INDEX": "milvus",
                "FAULTDIAG_DATA": str(tmp_path / "var"),
                "FAULTDIAG_PORT": str(taken.getsockname()[1]),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1, done.stderr
    assert "pip install -r requirements-milvus.txt -c constraints.txt" in done.stdout


def test_a_missing_extra_is_told(settings, tmp_path, monkeypatch):
    settings.BACKBONE, settings.FAULTDIAG_DATA = "clip_vit_b_32", tmp_path
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "clip_vit_b_32.pt").write_bytes(b"1")
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    assert "requirements-clip.txt" in unusable_weights()[0].msg


@pytest.mark.parametrize(("given", "spins"), [({}, "0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "30000000000")])
def test_threads_that_wait_leave_the_processors_to_others(given, spins):
    settled = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    environment = {name: value for name, value in os.environ.items() if name not in settled}
    done = subprocess.run(
        [sys.executable, "-c", "import django; django.setup(); import torch"],
        cwd=BASE_DIR,
        env=environment | {"OMP_DISPLAY_ENV": "VERBOSE"} | given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr
