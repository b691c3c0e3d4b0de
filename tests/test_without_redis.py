"""An upload while Redis is away is stored at once, and taken up when it is back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from cases.models import Case
from faultdiag.embedded import database_url
from faultdiag.environment import BASE_DIR
from vision.selectors import cases_without_diagnosis

pytestmark = pytest.mark.slow

UPLOAD = """
import uuid
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from tests.factories import image_bytes

client = Client(headers={"host": "localhost"})
client.force_login(get_user_model().objects.get())
def picture(seed):
    return SimpleUploadedFile("a.png", image_bytes(seed))
page = client.post("/cases/new", {"images": picture(1), "kind": "field", "token": str(uuid.uuid4())})
print(page.status_code, client.post("/api/v1/cases", {"images": picture(2)}).status_code)
"""


@pytest.mark.django_db(transaction=True)
def test_an_upload_without_redis_is_stored_and_waits_for_the_sweep():
    get_user_model().objects.create_superuser("anna")
    env = os.environ | {
        "DATABASE_URL": database_url(Path(os.environ["FAULTDIAG_DATA"]), connection.settings_dict["NAME"]),
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    done = subprocess.run(
        [sys.executable, "-c", UPLOAD], cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines()[-1:] == ["302 201"], done.stderr
    assert cases_without_diagnosis().count() == Case.objects.count() == 2
