"""Which storages Django uses for pictures, as FAULTDIAG_STORAGE says."""

from importlib.util import find_spec

from faultdiag.environment import Environment
from faultdiag.processes import Refused

_PACKAGES = {"storages": "django-storages", "boto3": "boto3"}


def storages(env: Environment) -> dict[str, dict]:
    """Storages of the originals ("default") and of what is drawn from them ("derived").

    Raises Refused when the packages of the bucket are not installed.
    """
    if env.bucket is None:
        return {
            "default": _folder(env.data / "media"),
            "derived": _folder(env.data / "derived"),
        }
    missing = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise Refused(
            f"FAULTDIAG_STORAGE is {env.storage!r}, and the package {missing[0]} is not installed. "
            "Run: .venv/bin/pip install -r requirements-s3.txt -c constraints.txt"
        )
    return {"default": _bucket(env), "derived": _bucket(env, "derived")}


def _folder(location) -> dict:
    # Names come from the content, so what is overwritten can only be the torn copy of a crashed upload.
    options = {"location": location, "allow_overwrite": True}
    return {"BACKEND": "cases.storages.folder.FolderStorage", "OPTIONS": options}


def _bucket(env: Environment, below: str = "") -> dict:
    bucket, folder = env.bucket
    options = {
        "bucket": bucket,
        "location": "/".join(filter(None, [folder, below])),
        "endpoint": env.s3_endpoint,
        "region": env.s3_region,
    }
    return {"BACKEND": "cases.storages.bucket.BucketStorage", "OPTIONS": options}
