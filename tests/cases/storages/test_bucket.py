"""Pictures in a bucket: a real S3 server in a process of its own."""

import io
import time
import uuid

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.urls import reverse
from PIL import Image

from cases.models import Case, CaseImage, CaseTransition, ImageFile
from cases.services.intake import case_add_images, case_create
from cases.storages import StorageAway
from tests import factories
from tests.s3_server import KEYS

pytestmark = pytest.mark.django_db


def sign_in(client, role="Engineer"):
    client.force_login(factories.user(role))
    return client


def send(client, seed=1, json=True, **fields):
    headers = {"accept": "application/json"} if json else {}
    return client.post(
        reverse("case-create"),
        {"kind": "field", "images": factories.upload(seed=seed), **fields},
        headers=headers,
    )


def rows() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Case, CaseImage, CaseTransition, ImageFile))


def key_of(case) -> str:
    return f"plant/{case.images.get().file.original.name}"


class TestUpload:
    def test_a_page_puts_the_original_into_the_bucket(self, client, bucket):
        assert send(sign_in(client), seed=1).status_code == 201
        assert list(bucket.objects()) == [key_of(Case.objects.get())]
        assert bucket.read(key_of(Case.objects.get())) == factories.image_bytes(1)

    def test_the_api_does_and_gives_it_back(self, bucket):
        api = factories.api_client(factories.user("Integration"))
        answer = api.post("/api/v1/cases", {"images": [factories.upload(seed=2)]}, format="multipart")
        assert answer.status_code == 201
        (image,) = answer.data["images"]
        assert bucket.read(key_of(Case.objects.get())) == factories.image_bytes(2)
        assert b"".join(api.get(image["links"]["original"]).streaming_content) == factories.image_bytes(2)

    def test_the_same_picture_again_is_not_sent_again(self, bucket):
        first = factories.case(seed=3)
        (before,) = bucket.objects().values()
        assert factories.case(seed=3).images.get().file == first.images.get().file
        assert list(bucket.objects().values()) == [before]

    def test_an_original_that_was_lost_or_cut_short_is_written_again(self, bucket):
        case = factories.case(seed=4)
        for spoil in (default_storage.delete, lambda name: bucket.put(f"plant/{name}", b"torn")):
            spoil(case.images.get().file.original.name)
            factories.case(seed=4)
            assert bucket.read(key_of(case)) == factories.image_bytes(4)

    def test_a_refused_case_sends_nothing(self, bucket):
        with pytest.raises(ValidationError):
            case_create(pictures=[factories.picture(5)], quantity_complained=1, quantity_confirmed=2)
        case = factories.case(pictures=9, seed=10)
        before = bucket.objects()
        with pytest.raises(ValidationError, match="takes 10 at most"):
            case_add_images(case, [factories.picture(seed) for seed in range(20, 22)])
        assert bucket.objects() == before


class TestMedia:
    def test_pictures_go_through_the_application_and_its_permissions(self, client, bucket):
        image = factories.case(seed=6).images.get()
        urls = [image.get_thumbnail_url(), image.get_preview_url(), image.get_original_url()]
        for url in urls:
            assert client.get(url).status_code == 302
        client.force_login(factories.user())
        for url in urls:
            assert client.get(url).status_code == 404
        sign_in(client, "Viewer")
        for url in urls:
            answer = client.get(url)
            assert answer.status_code == 200
            body = b"".join(answer.streaming_content)
            assert len(body) == int(answer["Content-Length"])
            assert bucket.server.endpoint not in str(answer.headers)
            assert "sandbox" in answer["Content-Security-Policy"]
        assert body == factories.image_bytes(6)

    def test_a_thumbnail_is_drawn_once_and_kept_in_the_bucket(self, client, bucket):
        image = factories.case(seed=7).images.get()
        sign_in(client, "Viewer")
        first = b"".join(client.get(image.get_thumbnail_url()).streaming_content)
        assert Image.open(io.BytesIO(first)).format == "WEBP"
        digest = image.file.sha256
        kept = f"plant/derived/{digest[:2]}/{digest}/thumbnail.webp"
        assert bucket.read(kept) == first
        default_storage.delete(image.file.original.name)
        assert b"".join(client.get(image.get_thumbnail_url()).streaming_content) == first
        storages["derived"].delete(f"{digest[:2]}/{digest}/thumbnail.webp")
        assert client.get(image.get_thumbnail_url()).status_code == 404

    def test_nothing_has_an_address_in_the_bucket(self, bucket):
        with pytest.raises(ValueError, match="the application serves them"):
            _ = factories.case().images.get().file.original.url


class TestFiles:
    def test_an_original_may_be_opened_again(self, bucket):
        original = factories.case(seed=8).images.get().file.original
        for _ in range(2):
            with original.open("rb") as file:
                assert file.read() == factories.image_bytes(8)
        assert original.size == len(factories.image_bytes(8))

    def test_what_is_not_there_is_missing(self, bucket):
        assert not default_storage.exists("originals/a.png")
        for ask in (default_storage.open, default_storage.size):
            with pytest.raises(FileNotFoundError, match=r"originals/a\.png"):
                ask("originals/a.png")

    def test_a_large_file_goes_up_in_one_piece(self, bucket):
        data = bytes(20 * 2**20)
        default_storage.save("originals/large.png", ContentFile(data))
        entry = bucket.objects()["plant/originals/large.png"]
        assert entry["Size"] == len(data)
        assert "-" not in entry["ETag"], "an upload in parts has the number of parts in its ETag"

    def test_a_bucket_that_is_not_there_is_told_with_its_name(self, bucket, settings):
        options = {**settings.STORAGES["default"]["OPTIONS"], "bucket": "no-such-bucket"}
        storage = {**settings.STORAGES["default"], "OPTIONS": options}
        settings.STORAGES = {**settings.STORAGES, "default": storage}
        for ask in (
            default_storage.check,
            lambda: default_storage.open("a.png"),
            lambda: default_storage.save("a.png", ContentFile(b"a")),
        ):
            with pytest.raises(StorageAway) as told:
                ask()
            assert "s3://no-such-bucket/plant" in told.value.reason
            assert "no-such-bucket" not in str(told.value)


class TestAway:
    @pytest.fixture
    def bucket(self, own_s3_server, use_bucket):
        return use_bucket(own_s3_server)

    @pytest.fixture
    def case(self, bucket):
        return factories.case(seed=1)

    def test_a_page_refuses_with_a_sentence_and_stores_nothing(self, client, bucket, case):
        before = rows()
        bucket.server.stop()
        sign_in(client)
        token = str(uuid.uuid4())
        began = time.monotonic()
        answer = send(client, seed=2, token=token)
        assert time.monotonic() - began < 10
        assert answer.status_code == 503
        assert "storage of the pictures does not work" in answer.json()["errors"]["__all__"][0]
        assert answer.json()["files"] == [""]
        plain = send(client, seed=2, json=False, title="Kept title", token=token)
        assert plain.status_code == 503
        assert "storage of the pictures does not work" in plain.content.decode()
        assert "Kept title" in plain.content.decode()
        assert rows() == before
        bucket.server.start()
        bucket.make()
        assert send(client, seed=2, token=token).status_code == 201

    def test_pictures_for_a_case_are_refused_everywhere(self, client, bucket, case):
        before = rows()
        bucket.server.stop()
        api = factories.api_client(factories.user("Integration"))
        for address in ("/api/v1/cases", f"/api/v1/cases/{case.number}/images"):
            answer = api.post(address, {"images": [factories.upload(seed=3)]}, format="multipart")
            assert (answer.status_code, answer.data["code"]) == (503, "storage_away")
            assert "storage of the pictures does not work" in answer.data["detail"]
        client.force_login(factories.user("superuser", is_staff=True))
        added, opened = reverse("case-images-add", args=[case.number]), reverse("admin:cases_case_add")
        new = {"kind": "field", "reported_at_0": "2026-01-02", "reported_at_1": "10:00"}
        for address, data in (
            (added, {"images": factories.upload(seed=4)}),
            (opened, {**new, "pictures": factories.upload(seed=4)}),
        ):
            answer = client.post(address, data)
            assert answer.status_code == 503, address
            assert "storage of the pictures does not work" in answer.content.decode()
        assert rows() == before

    def test_a_picture_is_not_shown_and_not_called_missing(self, client, bucket, case):
        bucket.server.stop()
        image = case.images.get()
        sign_in(client, "Viewer")
        for url in (image.get_thumbnail_url(), image.get_original_url()):
            answer = client.get(url)
            assert answer.status_code == 503
            assert "ETag" not in answer
        api = factories.api_client(factories.user("Integration"))
        assert api.get(f"/api/v1/images/{image.pk}/original").data["code"] == "storage_away"

    def test_keys_stay_out_of_the_log(self, bucket, case, caplog):
        caplog.set_level("DEBUG")
        factories.case(seed=3)
        bucket.server.stop()
        with pytest.raises(StorageAway) as told:
            factories.case(seed=2)
        said = caplog.text + told.value.reason
        assert bucket.server.endpoint in said
        assert not any(key in said for key in KEYS.values())

    def test_a_thumbnail_that_can_not_be_kept_is_shown_all_the_same(self, client, case, monkeypatch, caplog):
        def refuse(*args, **kwargs):
            raise StorageAway("read only")

        monkeypatch.setattr(type(storages["derived"]), "_save", refuse)
        sign_in(client, "Viewer")
        assert client.get(case.images.get().get_thumbnail_url()).status_code == 200
        assert "thumbnail.webp is not kept: read only" in caplog.text

    @pytest.mark.slow
    def test_a_server_that_says_nothing_holds_up_nobody_for_long(self, client, bucket, case):
        bucket.server.silence()
        before = rows()
        began = time.monotonic()
        assert send(sign_in(client), seed=2).status_code == 503
        assert time.monotonic() - began < 20
        assert rows() == before
        began = time.monotonic()
        with pytest.raises(StorageAway):
            default_storage.check()
        assert time.monotonic() - began < 6
