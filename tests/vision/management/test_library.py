"""manage.py library, as an operator types it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.vision.adapted import library_of_cases, random_weights
from vision.services.embedding import space_current
from vision.services.snapshots import snapshot_write_current

pytestmark = pytest.mark.django_db


def library(*arguments) -> str:
    printed = StringIO()
    call_command("library", *arguments, stdout=printed)
    return printed.getvalue()


def test_status_verify_and_rebuild(settings, tmp_path):
    settings.FAULTDIAG_DATA = tmp_path
    library_of_cases()
    assert "No snapshot" in library("status")
    assert "is written" in library("rebuild")
    assert "Every vector is compared" in library("status")
    assert "Clean: " in library("verify", "--sample", "2")


def test_verify_ends_with_an_error_when_a_file_is_damaged(settings, tmp_path):
    settings.FAULTDIAG_DATA = tmp_path
    library_of_cases()
    folder = snapshot_write_current(space_current())
    path = folder / "vectors.faiss"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CommandError, match="put aside"):
        library("verify", "--sample", "0")


def test_a_switch_to_what_the_settings_do_not_ask_for_says_what_to_do():
    with pytest.raises(CommandError, match=r"Set it to resnet50 .* Nothing was changed"):
        library("switch", "resnet50")


@pytest.mark.django_db(transaction=True)
def test_a_switch_shows_the_work_until_the_new_network_serves(settings, tmp_path, celery_worker):
    (tmp_path / "weights").mkdir()
    settings.FAULTDIAG_DATA = tmp_path
    library_of_cases()
    before = space_current()
    random_weights(tmp_path / "weights" / "faultnet.safetensors")
    printed = library("switch", "faultnet")
    after = space_current()
    assert after != before
    assert after.slug in printed
    assert after.slug in library("switch", "faultnet"), "there is nothing left to do"


def test_a_switch_to_weights_that_are_of_no_use_says_why(settings, tmp_path):
    library_of_cases()
    before = space_current()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "faultnet.safetensors").write_bytes(b"torn")
    settings.FAULTDIAG_DATA = tmp_path
    with pytest.raises(CommandError, match="Nothing was changed"):
        library("switch", "faultnet")
    assert space_current() == before
