"""Files in a bucket that speaks S3. Needs the packages of requirements-s3.txt."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage
from storages.utils import clean_name

from cases.storages import StorageAway

logger = logging.getLogger(__name__)

#: A person waits: two attempts at a bucket that is away take less than ten seconds, at one that takes the
#: connection and stays silent less than twenty.
_TIMEOUTS = {
    "connect_timeout": 3,
    "read_timeout": 8,
    "retries": {"total_max_attempts": 2, "mode": "standard"},
}
#: /readyz is asked often, and has to answer soon.
_TIMEOUTS_OF_CHECK = {"connect_timeout": 2, "read_timeout": 3, "retries": {"total_max_attempts": 1}}


class BucketStorage(S3Storage):
    """A bucket whose failures are told as StorageAway, and whose files only the application hands out."""

    def __init__(self, *, bucket: str, location: str, endpoint: str | None, region: str):
        super().__init__(
            bucket_name=bucket,
            location=location,
            endpoint_url=endpoint,
            region_name=region,
            file_overwrite=True,
            client_config=Config(
                signature_version="s3v4",
                # Servers of one's own seldom have a name for each bucket.
                s3={"addressing_style": "path" if endpoint else "auto"},
                # Other servers than Amazon's don't all know the newer checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                **_TIMEOUTS,
            ),
            # In one piece: a part of an upload that was broken off would lie in the bucket for ever.
            transfer_config=TransferConfig(use_threads=False, multipart_threshold=5 * 2**30),
        )

    def __str__(self):
        return f"s3://{self.bucket_name}/{self.location}".rstrip("/")

    def check(self) -> None:
        """Ask for the bucket; StorageAway when it is not there or refuses us."""
        with self._told("reached"):
            client = self._create_session().client(
                "s3",
                region_name=self.region_name,
                endpoint_url=self.endpoint_url,
                config=self.client_config.merge(Config(**_TIMEOUTS_OF_CHECK)),
            )
            try:
                client.head_bucket(Bucket=self.bucket_name)
            finally:
                client.close()

    def url(self, name, *args, **kwargs):
        """Pictures are for people who may see their case: there is no address that works without asking."""
        raise ValueError("Pictures have no address in the bucket: the application serves them.")

    def _open(self, name, mode="rb"):
        if mode != "rb":
            raise ValueError(f"Files in a bucket are opened for reading; save {name} to write it.")
        return _BucketFile(self, name)

    def fetch(self, name: str) -> bytes:
        """The content of a file in one request: whoever opens a picture reads all of it."""
        with self._told(f"asked for {name}"):
            key = self._normalize_name(clean_name(name))
            try:
                answer = self.bucket.meta.client.get_object(Bucket=self.bucket_name, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    raise FileNotFoundError(f"There is no {name} in {self}.") from error
                raise
            return answer["Body"].read()

    def _save(self, name, content):
        with self._told(f"asked to keep {name}"):
            return super()._save(name, content)

    def exists(self, name):
        with self._told(f"asked about {name}"):
            return super().exists(name)

    def size(self, name):
        with self._told(f"asked about {name}"):
            return super().size(name)

    def delete(self, name):
        with self._told(f"asked to delete {name}"):
            super().delete(name)

    def listdir(self, name):
        with self._told(f"asked what is in {name}"):
            return super().listdir(name)

    @contextmanager
    def _told(self, attempt: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, Boto3Error, ClientError) as error:
            where = f"{self} at {self.endpoint_url}" if self.endpoint_url else str(self)
            reason = f"{where} could not be {attempt}: {error}"
            logger.error(reason)
            raise StorageAway(reason) from error


class _BucketFile(File):
    """The content of a file, fetched again when it is opened after it was closed."""

    def __init__(self, storage: BucketStorage, name: str):
        super().__init__(io.BytesIO(storage.fetch(name)), name)
        self._storage = storage

    def open(self, mode=None):
        if self.closed:
            self.file = io.BytesIO(self._storage.fetch(self.name))
        self.seek(0)
        return self
