"""Small plain rows for tests: people with roles, catalogue, cases with tiny real pictures."""

import io
from itertools import count

import numpy as np
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from knox.models import AuthToken
from PIL import Image
from rest_framework.test import APIClient

from cases.models import (
    ActionTaken,
    Case,
    CorrectiveAction,
    Customer,
    FaultCategory,
    Part,
    Resolution,
    WhyStep,
)
from cases.services.intake import Picture, case_create
from cases.services.labels import images_label

ROLES = ("Viewer", "Engineer", "Knowledge manager", "Integration")
_numbers = count(1)


def user(role: str | None = None, username: str | None = None, **fields):
    """An account in the group `role`: "superuser" for an administrator, None for nobody in particular."""
    name = username or f"{(role or 'nobody').lower().replace(' ', '-')}-{next(_numbers)}"
    account = get_user_model().objects.create(username=name, is_superuser=role == "superuser", **fields)
    if role in ROLES:
        account.groups.add(Group.objects.get(name=role))
    return account


def api_client(account=None) -> APIClient:
    """A client of the API that holds a token of `account`; without one, an anonymous client."""
    client = APIClient()
    if account is not None:
        _, token = AuthToken.objects.create(user=account)
        client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def image_bytes(seed: int = 0, format: str = "PNG", size: tuple[int, int] = (48, 40)) -> bytes:
    """A real picture of noise, always the same for a seed."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def picture(seed: int = 0, name: str | None = None) -> Picture:
    return Picture(name or f"view{seed}.png", image_bytes(seed))


def upload(data: bytes | None = None, name: str = "view.png", seed: int = 0) -> SimpleUploadedFile:
    """A file as a form sends it."""
    return SimpleUploadedFile(name, image_bytes(seed) if data is None else data)


def category(code: str | None = None, **fields) -> FaultCategory:
    code = code or f"CAT-{next(_numbers)}"
    return FaultCategory.objects.create(code=code, **{"name": code.title(), "state": "active", **fields})


def part(number: str | None = None, **fields) -> Part:
    return Part.objects.create(number=number or f"P-{next(_numbers)}", **fields)


def customer(code: str | None = None, **fields) -> Customer:
    code = code or f"C-{next(_numbers)}"
    return Customer.objects.create(code=code, **{"name": f"Customer {code}", **fields})


def corrective_action(code: str | None = None, **fields) -> CorrectiveAction:
    code = code or f"ACT-{next(_numbers)}"
    return CorrectiveAction.objects.create(code=code, **{"title": f"Action {code}", **fields})


def case(pictures: int = 1, labelled: FaultCategory | None = None, seed: int | None = None, **fields) -> Case:
    """A case with so many pictures, all confirmed as `labelled` when that is given."""
    first = next(_numbers) * 100 if seed is None else seed
    made = case_create(pictures=[picture(first + place) for place in range(pictures)], bulk=True, **fields)
    if labelled:
        images_label(made.images.all(), verdict="fault", category=labelled)
    return made


def resolution(of: Case, **fields) -> Resolution:
    """A complete resolution: a why, a root cause, an action that worked."""
    made = Resolution.objects.create(
        case=of, **{"root_cause": "Worn tool", "disposition": "rework", "summary": "Tool changed.", **fields}
    )
    WhyStep.objects.create(resolution=made, position=1, answer="The edge was torn")
    ActionTaken.objects.create(
        resolution=made, action=corrective_action(), done_on="2026-01-02", effectiveness="effective"
    )
    return made
