"""Strange pictures are handled, bad ones refused with their name and the limit; nothing is half made."""

from pathlib import Path

import pytest
from django.conf import settings

from cases.models import Case, CaseImage, CaseTransition, ImageFile
from tests import factories
from tests.hostile import ACCEPTED, REFUSED

pytestmark = pytest.mark.django_db
URL = "/api/v1/cases"


@pytest.fixture
def client():
    return factories.api_client(factories.user("Integration"))


def stored() -> tuple[int, ...]:
    rows = tuple(model.objects.count() for model in (Case, CaseImage, CaseTransition, ImageFile))
    return (*rows, sum(path.is_file() for path in Path(settings.MEDIA_ROOT).rglob("*")))


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_its_name_and_leaves_nothing(client, name):
    data, said = REFUSED[name]
    case = factories.case()
    before = stored()
    good, bad = factories.upload(seed=900), factories.upload(data, name)
    for address in (URL, f"{URL}/{case.number}/images"):
        answer = client.post(address, {"images": [good, bad]}, format="multipart")
        assert answer.status_code == 400, answer.data
        (sentence,) = answer.data["errors"]["images"]
        assert name in sentence
        assert said in sentence
        assert answer.data["code"] not in ("invalid", "error")
        good.seek(0), bad.seek(0)
    assert stored() == before


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_strange_picture_is_stored_and_shown_upright(client, name):
    data, size = ACCEPTED[name]
    answer = client.post(URL, {"images": [factories.upload(data, name)]}, format="multipart")
    assert answer.status_code == 201, answer.data
    (image,) = answer.data["images"]
    assert (image["width"], image["height"]) == size
    assert client.get(image["links"]["thumbnail"])["Content-Type"] == "image/webp"
    assert b"".join(client.get(image["links"]["original"]).streaming_content) == data


def test_eleven_files_are_refused_with_the_limit(client):
    files = [factories.upload(seed=seed, name=f"{seed}.png") for seed in range(11)]
    answer = client.post(URL, {"images": files}, format="multipart")
    assert (answer.status_code, answer.data["code"]) == (400, "too_many_files")
    assert "11" in answer.data["detail"]
    assert "10" in answer.data["detail"]
    assert stored()[:4] == (0, 0, 0, 0)


def test_a_file_above_the_limit_is_refused_with_both_sizes(client, settings):
    settings.MAX_IMAGE_BYTES = 2000
    answer = client.post(URL, {"images": [factories.upload(name="big.png")]}, format="multipart")
    assert answer.data["code"] == "too_large"
    assert "big.png has" in answer.data["detail"]
    assert "at most" in answer.data["detail"]


def test_as_many_roles_as_pictures(client):
    sent = {"images": [factories.upload(seed=1), factories.upload(seed=2)], "roles": ["scale"]}
    answer = client.post(URL, sent, format="multipart")
    assert "one role for each picture" in answer.data["detail"]
    sent = {"images": [factories.upload()], "roles": ["poster"]}
    assert client.post(URL, sent, format="multipart").status_code == 400
    assert not Case.objects.exists()


def test_a_path_in_a_name_is_no_path(client):
    sent = {"images": [factories.upload(name="../../etc/passwd.png")]}
    answer = client.post(URL, sent, format="multipart")
    assert answer.data["images"][0]["name"] == "passwd.png"
    assert ImageFile.objects.get().original.name.startswith("originals/")
