import stat

import pytest
from pydantic import SecretStr

from faultdiag.environment import Environment, load_environment, secret_key, variables
from faultdiag.processes import Refused

STRONG = "k3J-9sd_Qpz7VbnWm2Xr8TtYc5LhGf4Ee6Aa1Uu0Ii-Oo9Kk8Dd7"


@pytest.fixture
def clean(monkeypatch):
    for name in variables():
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_defaults_need_no_environment(clean):
    env = load_environment()
    assert (env.host, env.port, env.backbone, env.debug) == ("127.0.0.1", 8000, "faultnet", False)
    assert env.data.name == "var"
    assert env.database_url is None


def test_values_are_typed(clean, tmp_path):
    clean.setenv("FAULTDIAG_DATA", str(tmp_path / "a" / ".." / "b"))
    clean.setenv("ALLOWED_HOSTS", "plant.example, 10.0.0.7 ,")
    clean.setenv("FAULTDIAG_HTTPS", "true")
    clean.setenv("FAULTDIAG_MAX_IMAGE_MEGAPIXELS", "12")
    env = load_environment()
    assert env.data == tmp_path / "b"
    assert env.allowed_hosts == ["plant.example", "10.0.0.7"]
    assert env.https is True
    assert env.max_image_pixels == 12_000_000


def test_an_empty_value_is_no_value(clean):
    clean.setenv("FAULTDIAG_PORT", "")
    clean.setenv("DATABASE_URL", "")
    env = load_environment()
    assert env.port == 8000
    assert env.database_url is None


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("FAULTDIAG_PORT", "eighty", "1 to 65535"),
        ("FAULTDIAG_PORT", "70000", "1 to 65535"),
        ("FAULTDIAG_METRIC", "manhattan", "cosine or l2"),
        ("FAULTDIAG_VIEWS", "median", "mean or best"),
        ("FAULTDIAG_CONFIDENT", "80", "0 to 1"),
        ("FAULTDIAG_BACKBONE", "resnet51", "resnet50"),
        ("FAULTDIAG_DEBUG", "perhaps", "true or false"),
        ("TIME_ZONE", "Europe/Atlantis", "Europe/Berlin"),
        ("FAULTDIAG_MAX_IMAGE_MB", "0", "1 to 500"),
        ("FAULTDIAG_STORAGE", "bucket", "files or s3://bucket/folder"),
        ("FAULTDIAG_STORAGE", "s3://", "files or s3://bucket/folder"),
        ("FAULTDIAG_STORAGE", "s3://Bucket", "files or s3://bucket/folder"),
        ("FAULTDIAG_STORAGE", "s3://bucket/../other", "files or s3://bucket/folder"),
        ("FAULTDIAG_STORAGE", "s3://bucket?region=eu", "files or s3://bucket/folder"),
        ("FAULTDIAG_S3_ENDPOINT", "minio:9000", "https://host:port or http://host:port"),
        ("FAULTDIAG_S3_ENDPOINT", "http://minio:9000/bucket", "https://host:port or http://host:port"),
        ("FAULTDIAG_S3_REGION", "Frankfurt", "a name such as eu-central-1"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(clean, name, value, allowed):
    clean.setenv(name, value)
    with pytest.raises(Refused) as refusal:
        load_environment()
    sentence = str(refusal.value)
    assert sentence.startswith(f"{name} is {value!r} ")
    assert allowed in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        ("files", None),
        ("s3://pictures", ("pictures", "")),
        ("s3://pictures/", ("pictures", "")),
        ("s3://my.pictures-1/plant/north/", ("my.pictures-1", "plant/north")),
    ],
)
def test_the_bucket_and_its_folder(clean, value, bucket):
    clean.setenv("FAULTDIAG_STORAGE", value)
    assert load_environment().bucket == bucket


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FAULTDIAG_STORAGE", "s3://key:hunter2@bucket"),
        ("FAULTDIAG_S3_ENDPOINT", "http://key:hunter2@minio:9000"),
    ],
)
def test_a_password_in_an_address_is_not_shown(clean, name, value):
    clean.setenv(name, value)
    with pytest.raises(Refused) as refusal:
        load_environment()
    assert str(refusal.value).startswith(f"{name} can't be used: give ")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_secrets_are_not_shown(clean, name):
    clean.setenv(name, "mysql://root:hunter2@db")
    with pytest.raises(Refused) as refusal:
        load_environment()
    assert name in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    clean.setenv(name, {"DATABASE_URL": "postgresql", "REDIS_URL": "redis"}[name] + "://a:hunter2@db")
    assert "hunter2" not in repr(load_environment())


@pytest.mark.parametrize(
    "address",
    ["milvus.plant:19530", "http://root:hunter2@milvus:19530", "redis://milvus/lite.db", "var/milvus"],
)
def test_a_wrong_address_of_milvus_is_refused_and_not_shown(clean, address):
    clean.setenv("FAULTDIAG_MILVUS_URI", address)
    with pytest.raises(Refused) as refusal:
        load_environment()
    assert "FAULTDIAG_MILVUS_URI can't be used: give http://host:port" in str(refusal.value)
    assert address not in str(refusal.value)


@pytest.mark.parametrize("address", ["http://milvus:19530", "https://milvus:443/plant_a", "/data/milvus.db"])
def test_addresses_of_milvus(clean, address):
    clean.setenv("FAULTDIAG_MILVUS_URI", address)
    clean.setenv("FAULTDIAG_MILVUS_TOKEN", "root:hunter2")
    env = load_environment()
    assert env.milvus_uri.get_secret_value() == address
    assert "hunter2" not in repr(env)


def test_every_setting_says_what_it_means():
    assert len(variables()) == len(Environment.model_fields)
    for name, (_, meaning, allowed) in variables().items():
        assert meaning.endswith("."), name
        assert allowed, name


def test_a_secret_key_is_generated_once_and_only_for_its_owner(tmp_path):
    key = secret_key(None, tmp_path, debug=False)
    assert len(key) >= 50
    assert secret_key(None, tmp_path, debug=False) == key
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.parametrize("weak", ["short", "a" * 60, "django-insecure-" + STRONG])
def test_weak_keys_are_refused_in_production_only(tmp_path, weak):
    with pytest.raises(Refused) as refusal:
        secret_key(SecretStr(weak), tmp_path, debug=False)
    assert "SECRET_KEY" in str(refusal.value)
    assert weak not in str(refusal.value)
    assert secret_key(SecretStr(weak), tmp_path, debug=True) == weak
    assert secret_key(SecretStr(STRONG), tmp_path, debug=False) == STRONG
