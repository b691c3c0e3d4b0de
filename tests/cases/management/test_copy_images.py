"""Originals of the data folder into a bucket: broken off, gone on with, and each compared."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection

from cases.models import ImageFile
from cases.storages.bucket import BucketStorage
from faultdiag.embedded import database_url
from faultdiag.environment import BASE_DIR
from tests import factories

pytestmark = pytest.mark.django_db


def copy(**options) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("copy_images", stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def local(image_file: ImageFile) -> Path:
    return django_settings.MEDIA_ROOT / image_file.original.name


@pytest.fixture
def originals():
    """Originals in the data folder, from before the bucket was named."""
    case = factories.case(pictures=5)
    return [image.file for image in case.images.select_related("file")]


@pytest.fixture
def bucket(originals, s3_server, use_bucket):
    return use_bucket(s3_server)


def test_all_originals_are_in_the_bucket_and_stay_in_the_folder(originals, bucket):
    out, _ = copy()
    assert "5 originals copied, 0 there already" in out
    for image_file in originals:
        assert bucket.read(f"plant/{image_file.original.name}") == local(image_file).read_bytes()
        assert default_storage.open(image_file.original.name).read() == local(image_file).read_bytes()


def test_again_only_what_is_new_or_spoilt_is_sent(originals, bucket, monkeypatch):
    copy()
    spoilt, torn, *_ = [f"plant/{image_file.original.name}" for image_file in originals]
    bucket.put(spoilt, bytes(originals[0].size))
    bucket.put(torn, b"torn")
    sent = []
    save = BucketStorage.save
    monkeypatch.setattr(
        BucketStorage, "save", lambda self, name, content: sent.append(name) or save(self, name, content)
    )
    out, _ = copy()
    assert "2 originals copied, 3 there already" in out
    for image_file in originals:
        assert bucket.read(f"plant/{image_file.original.name}") == local(image_file).read_bytes()
    assert {f"plant/{name}" for name in sent} == {spoilt, torn}


def test_what_can_not_be_copied_is_named_and_the_rest_comes(originals, bucket):
    lost, damaged, *_ = originals
    local(lost).rename(local(lost).with_suffix(".away"))
    whole = local(damaged).read_bytes()
    local(damaged).write_bytes(bytes(len(whole)))
    err = io.StringIO()
    try:
        with pytest.raises(CommandError, match="2 originals are not in s3://"):
            call_command("copy_images", stdout=io.StringIO(), stderr=err)
    finally:
        local(lost).with_suffix(".away").rename(local(lost))
        local(damaged).write_bytes(whole)
    assert f"{lost.original.name}: neither in the data folder nor in the bucket" in err.getvalue()
    assert f"{damaged.original.name}: the file in the data folder is not what was uploaded" in err.getvalue()
    assert len(bucket.objects()) == 3


def test_a_copy_that_comes_back_changed_is_told(originals, bucket, monkeypatch):
    fetch = BucketStorage.fetch
    monkeypatch.setattr(BucketStorage, "fetch", lambda self, name: fetch(self, name)[::-1])
    with pytest.raises(CommandError, match="5 originals are not in"):
        copy()


def test_a_picture_that_was_uploaded_since_needs_no_folder(originals, bucket):
    factories.case()
    out, _ = copy()
    assert "5 originals copied, 1 there already" in out


def test_there_must_be_a_bucket_and_a_folder(originals, s3_server, use_bucket, tmp_path):
    with pytest.raises(CommandError, match="FAULTDIAG_STORAGE is files"):
        copy()
    use_bucket(s3_server)
    with pytest.raises(CommandError, match="is no folder"):
        copy(source=tmp_path / "none")


def test_a_bucket_that_is_away_is_named(originals, own_s3_server, use_bucket):
    bucket = use_bucket(own_s3_server)
    bucket.server.stop()
    with pytest.raises(CommandError) as refused:
        copy()
    assert bucket.name in str(refused.value)
    assert "run the same command again" in str(refused.value)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_copy_that_is_broken_off_goes_on(s3_server, use_bucket, sent):
    total = 300
    for first in range(0, total, 10):
        factories.case(pictures=10, seed=10_000 + first)
    bucket = use_bucket(s3_server)
    data = Path(os.environ["FAULTDIAG_DATA"])
    env = os.environ | {"DATABASE_URL": database_url(data, connection.settings_dict["NAME"])}
    command = [sys.executable, "manage.py", "copy_images"]
    broken = subprocess.Popen(
        command, cwd=BASE_DIR, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    # The bar tells of the first; a listing of the busy bucket would come when the copy is nearly over.
    shown = b""
    while not re.search(rf"[1-9]\d*/{total} ".encode(), shown):
        block = os.read(broken.stdout.fileno(), 4096)
        assert block, shown.decode()
        shown += block
    broken.send_signal(sent)
    said = broken.communicate(timeout=30)[0].decode()
    before = bucket.objects()
    assert 1 <= len(before) < total, "it was over before it was broken off"
    if sent == signal.SIGINT:
        assert broken.returncode == 1
        assert "Stopped. The same command goes on" in said
        assert "Traceback" not in said
    time.sleep(1.1)  # times in a bucket are whole seconds
    done = subprocess.run(command, cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"{total - len(before)} originals copied, {len(before)} there already" in done.stdout
    assert f"{total}/{total}" in done.stderr
    after = bucket.objects()
    assert len(after) == total
    assert all(after[key]["LastModified"] == entry["LastModified"] for key, entry in before.items())
    for image_file in ImageFile.objects.all():
        assert bucket.read(f"plant/{image_file.original.name}") == local(image_file).read_bytes()
