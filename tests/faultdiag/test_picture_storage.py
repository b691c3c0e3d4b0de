import pytest

from faultdiag import picture_storage
from faultdiag.environment import Environment
from faultdiag.processes import Refused
from tests.faultdiag.test_settings import manage


@pytest.fixture
def env(monkeypatch):
    def read(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return Environment()

    return read


def options(storages, alias):
    return storages[alias]["OPTIONS"]


def test_pictures_lie_in_the_data_folder_by_default(env, tmp_path):
    made = picture_storage.storages(env(FAULTDIAG_DATA=str(tmp_path)))
    assert options(made, "default")["location"] == tmp_path / "media"
    assert options(made, "derived")["location"] == tmp_path / "derived"


@pytest.mark.parametrize(("folder", "places"), [("", ("", "derived")), ("/a/b", ("a/b", "a/b/derived"))])
def test_a_bucket_has_originals_and_previews(env, folder, places):
    made = picture_storage.storages(
        env(
            FAULTDIAG_STORAGE=f"s3://pictures{folder}",
            FAULTDIAG_S3_ENDPOINT="http://minio:9000",
            FAULTDIAG_S3_REGION="eu-central-1",
        )
    )
    for alias, place in zip(("default", "derived"), places, strict=True):
        assert options(made, alias) == {
            "bucket": "pictures",
            "location": place,
            "endpoint": "http://minio:9000",
            "region": "eu-central-1",
        }


@pytest.mark.parametrize("gone", ["storages", "boto3"])
def test_a_missing_package_says_what_brings_it(env, monkeypatch, gone):
    monkeypatch.setattr(picture_storage, "find_spec", lambda name: None if name == gone else object())
    picture_storage.storages(env(FAULTDIAG_STORAGE="files"))
    with pytest.raises(Refused) as refusal:
        picture_storage.storages(env(FAULTDIAG_STORAGE="s3://pictures"))
    assert str(refusal.value) == (
        "FAULTDIAG_STORAGE is 's3://pictures', and the package "
        f"{ {'storages': 'django-storages'}.get(gone, gone) } is not installed. "
        "Run: .venv/bin/pip install -r requirements-s3.txt -c constraints.txt"
    )


def test_a_wrong_bucket_stops_a_command_with_one_sentence():
    done = manage("check", FAULTDIAG_STORAGE="s3://Bucket")
    assert done.returncode == 1
    assert done.stderr == (
        "FAULTDIAG_STORAGE is 's3://Bucket' and can't be used: give files or s3://bucket/folder.\n"
    )


def test_with_a_bucket_a_command_runs_and_opens_no_connection():
    done = manage(
        "check", FAULTDIAG_STORAGE="s3://pictures/plant", FAULTDIAG_S3_ENDPOINT="http://127.0.0.1:1"
    )
    assert done.returncode == 0, done.stderr
