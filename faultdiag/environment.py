"""Every setting that the environment may give: its name, type, default and meaning, once."""

import os
import re
import secrets
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from faultdiag.processes import Refused
from vision.engine.backbones import get_backbone

BASE_DIR = Path(__file__).resolve().parent.parent
_MEGA = 1_000_000
#: A bucket's name as every S3 server takes it, and folders in it.
_STORAGE = r"files|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/(?!\.{1,2}(/|$))[\w.-]+)*/?"
_ENDPOINT = r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:\d{1,5})?/?"


def _known_backbone(name: str) -> str:
    get_backbone(name)
    return name


def _known_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("not a time zone")
    return name


def _of_scheme(*schemes: str) -> AfterValidator:
    def check(url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError("another kind of address")
        return url

    return AfterValidator(check)


def _milvus_address(uri: SecretStr) -> SecretStr:
    address = uri.get_secret_value()
    if address.startswith(("http://", "https://")):
        # The token has a variable of its own, so that this one may be shown.
        if "@" in address:
            raise ValueError("holds a name or password")
    elif "://" in address or not address.endswith(".db"):
        raise ValueError("neither a server nor a folder of Milvus Lite")
    return uri


def _split(text: Any) -> Any:
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else text


def _like(pattern: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError("another form")
        return text

    return AfterValidator(check)


Words = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Share = Annotated[float, Field(ge=0, le=1)]


def _variable(name: str, default: Any, meaning: str, allowed: str, **constraints: Any) -> Any:
    """A setting: `meaning` and `allowed` make its row in the README and the sentence for a wrong value."""
    return Field(
        default,
        validation_alias=name,
        description=meaning,
        json_schema_extra={"allowed": allowed},
        **constraints,
    )


class Environment(BaseSettings):
    """The settings of an installation, read from environment variables and checked."""

    model_config = SettingsConfigDict(env_ignore_empty=True, case_sensitive=True, extra="ignore")

    data: Path = _variable(
        "FAULTDIAG_DATA", BASE_DIR / "var", "Data folder: database, pictures, weights, logs.", "a folder"
    )
    host: str = _variable(
        "FAULTDIAG_HOST", "127.0.0.1", "Address that the server listens at.", "an address; 0.0.0.0 for all"
    )
    port: int = _variable("FAULTDIAG_PORT", 8000, "Port that it listens at.", "1 to 65535", ge=1, le=65535)
    database_url: Annotated[SecretStr, _of_scheme("postgresql", "postgres")] | None = _variable(
        "DATABASE_URL",
        None,
        "PostgreSQL server. Without it, one of its own runs from the data folder.",
        "postgresql://user:password@host:port/name",
    )
    redis_url: Annotated[SecretStr, _of_scheme("redis", "rediss", "unix")] | None = _variable(
        "REDIS_URL",
        None,
        "Redis server. Without it, one of its own runs from the data folder.",
        "redis://host:port/number, rediss://… or unix:///socket",
    )
    storage: Annotated[str, _like(_STORAGE)] = _variable(
        "FAULTDIAG_STORAGE",
        "files",
        "Where pictures lie: in the data folder, or in an S3 bucket, whose keys are read from"
        " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        "files or s3://bucket/folder",
    )
    s3_endpoint: Annotated[str, _like(_ENDPOINT)] | None = _variable(
        "FAULTDIAG_S3_ENDPOINT",
        None,
        "Server of the bucket, such as MinIO or Ceph. Without it, Amazon's.",
        "https://host:port or http://host:port",
    )
    s3_region: Annotated[str, _like(r"[a-z0-9-]+")] = _variable(
        "FAULTDIAG_S3_REGION", "us-east-1", "Region of the bucket.", "a name such as eu-central-1"
    )
    secret_key: SecretStr | None = _variable(
        "SECRET_KEY",
        None,
        "Signs sessions. Without it, one is generated into the data folder. The same for all processes.",
        "50 random characters or more",
    )
    allowed_hosts: Words = _variable(
        "ALLOWED_HOSTS",
        ["localhost", "127.0.0.1", "[::1]"],
        "Names that browsers may call it by.",
        "names, comma separated",
    )
    csrf_trusted_origins: Words = _variable(
        "CSRF_TRUSTED_ORIGINS",
        [],
        "Origins that forms may come from, when a proxy changes host or scheme.",
        "https://name, comma separated",
    )
    https: bool = _variable(
        "FAULTDIAG_HTTPS",
        False,
        "Behind a proxy that speaks HTTPS and sets X-Forwarded-Proto: secure cookies, HSTS, redirect.",
        "true or false",
    )
    debug: bool = _variable(
        "FAULTDIAG_DEBUG", False, "Detailed error pages for developers. Never in production.", "true or false"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _variable(
        "FAULTDIAG_LOG_LEVEL", "INFO", "What is written to the logs.", "DEBUG, INFO, WARNING or ERROR"
    )
    time_zone: Annotated[str, AfterValidator(_known_time_zone)] = _variable(
        "TIME_ZONE", "UTC", "Time zone of dates on pages.", "a name such as Europe/Berlin"
    )
    language: Literal["en", "en-gb", "en-us"] = _variable(
        "FAULTDIAG_LANGUAGE", "en", "Language of pages and form of dates.", "en, en-gb or en-us"
    )
    backbone: Annotated[str, AfterValidator(_known_backbone)] = _variable(
        "FAULTDIAG_BACKBONE",
        "faultnet",
        "Network that sees. All but faultnet need `manage.py fetch_weights NAME` first.",
        "faultnet, vgg16, resnet50, wide_resnet50_2, efficientnet_b0, convnext_tiny, vit_b_16, "
        "clip_vit_b_32 or clip_vit_b_32_laion",
    )
    metric: Literal["cosine", "l2"] = _variable(
        "FAULTDIAG_METRIC", "cosine", "How vectors are compared.", "cosine or l2"
    )
    threads: int = _variable(
        "FAULTDIAG_THREADS", 0, "Threads of the network; 0 for one a core.", "0 to 256", ge=0, le=256
    )
    similar: int = _variable(
        "FAULTDIAG_SIMILAR", 10, "Similar cases shown with a diagnosis.", "1 to 50", ge=1, le=50
    )
    neighbours: int = _variable(
        "FAULTDIAG_NEIGHBOURS", 50, "Nearest images that a diagnosis weighs.", "5 to 1000", ge=5, le=1000
    )
    views: Literal["mean", "best"] = _variable(
        "FAULTDIAG_VIEWS",
        "mean",
        "What finds the similar cases of several views: their mean, or for each past picture the view that is"
        " most like it.",
        "mean or best",
    )
    index: Literal["auto", "exact", "approximate", "milvus"] = _variable(
        "FAULTDIAG_INDEX",
        "auto",
        "How a snapshot of the library is searched; auto decides by its size, and never for milvus.",
        "auto, exact, approximate or milvus",
    )
    milvus_uri: Annotated[SecretStr, AfterValidator(_milvus_address)] | None = _variable(
        "FAULTDIAG_MILVUS_URI",
        None,
        "Milvus server. Without it, Milvus Lite is opened in the data folder, by one process at a time.",
        "http://host:port or https://host:port, with /database if need be, or a path that ends in .db;"
        " no name or password",
    )
    milvus_token: SecretStr | None = _variable(
        "FAULTDIAG_MILVUS_TOKEN", None, "What the Milvus server lets us in by.", "name:password or an API key"
    )
    snapshot_changes: int = _variable(
        "FAULTDIAG_SNAPSHOT_CHANGES",
        5000,
        "Changes of the library after which a new snapshot is written.",
        "100 to 100000",
        ge=100,
        le=100_000,
    )
    confident: Share = _variable(
        "FAULTDIAG_CONFIDENT", 0.7, "Probability from which a diagnosis may be confident.", "0 to 1"
    )
    confident_cases: int = _variable(
        "FAULTDIAG_CONFIDENT_CASES",
        5,
        "Confirmed cases of the category that this needs; with fewer it has few examples.",
        "1 to 1000",
        ge=1,
        le=1000,
    )
    coverage: float = _variable(
        "FAULTDIAG_COVERAGE",
        0.95,
        "Share of pictures whose true category the named set must hold.",
        "0.5 to 0.99",
        ge=0.5,
        le=0.99,
    )
    unknown: float = _variable(
        "FAULTDIAG_UNKNOWN",
        0.02,
        "P-value under which a picture is of no known category: about this share of known ones is called"
        " unknown.",
        "0 to 0.5",
        ge=0,
        le=0.5,
    )
    max_image_mb: int = _variable(
        "FAULTDIAG_MAX_IMAGE_MB", 25, "Largest picture file, in MB of 2^20 bytes.", "1 to 500", ge=1, le=500
    )
    max_image_megapixels: int = _variable(
        "FAULTDIAG_MAX_IMAGE_MEGAPIXELS", 60, "Largest picture, in million pixels.", "1 to 500", ge=1, le=500
    )
    token_days: int = _variable(
        "FAULTDIAG_TOKEN_DAYS", 30, "Days after which an API token expires.", "1 to 3650", ge=1, le=3650
    )

    @property
    def max_image_pixels(self) -> int:
        return self.max_image_megapixels * _MEGA

    @property
    def bucket(self) -> tuple[str, str] | None:
        """Bucket and folder in it, None when pictures lie in the data folder."""
        if self.storage == "files":
            return None
        name, _, folder = self.storage.removeprefix("s3://").partition("/")
        return name, folder.rstrip("/")


#: Variables whose value is never shown.
_SECRET = {"SECRET_KEY", "DATABASE_URL", "REDIS_URL", "FAULTDIAG_MILVUS_URI", "FAULTDIAG_MILVUS_TOKEN"}


def variables() -> dict[str, tuple[str, str, str]]:
    """(default, meaning, allowed) of each variable by its name, as text for a reader."""
    rows = {}
    for field in Environment.model_fields.values():
        rows[field.validation_alias] = (
            _default_text(field.default),
            field.description,
            field.json_schema_extra["allowed"],
        )
    return rows


def _default_text(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        return ",".join(default)
    if isinstance(default, Path):
        return f"{default.relative_to(BASE_DIR)}/"
    return str(default)


def load_environment() -> Environment:
    """Read and check the environment; raises Refused with a sentence that names the first wrong variable."""
    try:
        loaded = Environment()
    except ValidationError as error:
        raise Refused(_sentence(error.errors()[0])) from None
    return loaded.model_copy(update={"data": loaded.data.expanduser().resolve()})


@cache
def environment() -> Environment:
    """The settings of this process."""
    return load_environment()


def _sentence(problem: Any) -> str:
    name = str(problem["loc"][0])
    value = os.environ.get(name, "")
    # Before an @ stands a password.
    value = "" if name in _SECRET or "@" in value else f" is {value!r} and"
    return f"{name}{value} can't be used: give {variables()[name][2]}."


def secret_key(given: SecretStr | None, data: Path, *, debug: bool) -> str:
    """The key that signs sessions: the given one unless it is weak, else one kept in the data folder.

    Raises Refused for a weak key outside debugging.
    """
    if given is not None:
        key = given.get_secret_value()
        if not debug and (len(key) < 50 or len(set(key)) < 5 or key.startswith("django-insecure-")):
            raise Refused(
                "SECRET_KEY is too weak: give 50 random characters or more, "
                "or leave it out and one is generated into the data folder."
            )
        return key
    path = data / "secret_key"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = data / f"secret_key.{os.getpid()}"
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(64))
        try:
            # A link fails when another process was first, and readers never see half a key.
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text().strip()
