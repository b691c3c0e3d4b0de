import os
import socket
import subprocess
import sys
from collections import namedtuple
from contextlib import ExitStack

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.files.storage import default_storage
from django.db.migrations.recorder import MigrationRecorder

from faultdiag import installation
from faultdiag.environment import BASE_DIR, variables
from faultdiag.processes import Refused


def test_a_data_folder_has_one_server(tmp_path):
    data = tmp_path / "var"
    with ExitStack() as held:
        installation.data_folder_claim(data, held)
        with ExitStack() as other, pytest.raises(Refused, match=r"already running on .* \(process \d+\)"):
            installation.data_folder_claim(data, other)
    with ExitStack() as held:
        installation.data_folder_claim(data, held)


def test_a_data_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "var").write_text("")
    with ExitStack() as held, pytest.raises(Refused, match="can't be used"):
        installation.data_folder_claim(tmp_path / "var", held)


def test_a_taken_port_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=f"Port {port} of 127.0.0.1 is taken"):
            installation.port_check("127.0.0.1", port)
    installation.port_check("127.0.0.1", port)


def test_a_foreign_address_is_refused():
    with pytest.raises(Refused, match="FAULTDIAG_HOST"):
        installation.port_check("192.0.2.1", 8000)


def test_a_full_disk_is_refused(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 12 * 2**20))
    with pytest.raises(Refused, match=r"has 12 MB free and 500 MB are needed"):
        installation.disk_check(tmp_path)


@pytest.mark.django_db
def test_a_start_without_its_bucket_is_refused(s3_server, use_bucket, monkeypatch):
    use_bucket(s3_server)
    installation.servers_check()
    monkeypatch.setattr(default_storage._wrapped, "bucket_name", "no-such-bucket")
    with pytest.raises(Refused, match=r"check FAULTDIAG_STORAGE\. s3://no-such-bucket/plant at"):
        installation.servers_check()


@pytest.mark.django_db
def test_a_start_without_keys_is_refused(s3_server, use_bucket, monkeypatch, tmp_path):
    use_bucket(s3_server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Refused, match="Unable to locate credentials"):
        installation.servers_check()


@pytest.mark.django_db
def test_the_first_user_is_made_once():
    name, password = installation.first_user_create()
    user = authenticate(username=name, password=password)
    assert user.is_superuser
    assert len(password) >= 16
    assert password not in get_user_model().objects.get().password
    assert installation.first_user_create() is None


def test_static_files_are_collected_when_they_changed(tmp_path, settings):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "frame-test.css").write_text("a {}")
    settings.STATICFILES_DIRS = [folder]
    settings.STATIC_ROOT = tmp_path / "static"
    assert installation.static_files_collect() is True
    assert (tmp_path / "static" / "frame-test.css").read_text() == "a {}"
    assert installation.static_files_collect() is False
    (folder / "frame-test.css").write_text("a { color: red }")
    assert installation.static_files_collect() is True
    assert "red" in (tmp_path / "static" / "frame-test.css").read_text()


@pytest.mark.django_db
def test_an_up_to_date_database_is_left_alone():
    assert installation.database_migrate() == 0


@pytest.mark.django_db
def test_commands_refuse_a_database_of_an_older_version():
    assert installation.database_check() == 0
    newest = MigrationRecorder.Migration.objects.filter(app="vision").latest("name")
    newest.delete()
    with pytest.raises(Refused, match=r"of an older version: start the server, or run manage\.py prepare"):
        installation.database_check()


@pytest.mark.slow
def test_the_first_commands_of_a_new_installation_find_its_tables(tmp_path):
    outside = {name: value for name, value in os.environ.items() if name not in variables()}
    both = [
        subprocess.Popen(
            [sys.executable, "manage.py", "library", "status"],
            cwd=BASE_DIR,
            env=outside | {"FAULTDIAG_DATA": str(tmp_path / "var")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=180) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all("0 pictures" in out for out, _ in said)
    assert sum("A new database" in err for _, err in said) == 1
