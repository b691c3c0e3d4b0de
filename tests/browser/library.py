"""What the served installation is filled with: an engineer, and a small library with resolutions."""

import io

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from PIL import Image

from cases.models import (
    ActionTaken,
    CategoryExample,
    CorrectiveAction,
    Customer,
    FaultCategory,
    Part,
    Resolution,
    WhyStep,
)
from cases.services.intake import Picture, case_create
from cases.services.labels import images_label
from vision.engine.synthesis.gallery import draw_fault_image

KINDS = {"scratch": "Scratch", "crazing": "Crazing", "pit": "Pitting"}
A_KIND = 8
#: In the catalogue, but no picture of it in the library.
NEW_KIND, NEW_NAME = "stain", "Stain"
#: Each kind on a product of its own.
MATERIALS = {
    "scratch": "steel_sheet",
    "crazing": "ceramic_tile",
    "pit": "iron_casting",
    "stain": "leather_panel",
}
LIBRARY_SIZE = A_KIND * len(KINDS)


def drawn(kind: str, seed: int) -> bytes:
    """A drawn photograph of a fault as PNG bytes."""
    pixels, _ = draw_fault_image(kind, seed, 200, material=MATERIALS[kind])
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def fill(username: str, password: str) -> None:
    """Make the account and the library; the worker embeds it."""
    engineer = get_user_model().objects.create_user(username, password=password, is_staff=True)
    engineer.groups.add(Group.objects.get(name="Engineer"))
    part = Part.objects.create(number="4711-08", revision="B", name="Cover")
    customer = Customer.objects.create(code="NORD", name="Nordhavn Motors")
    action = CorrectiveAction.objects.create(code="ACT-GUIDE", title="Polish the guide", type="corrective")
    FaultCategory.objects.create(code=NEW_KIND.upper(), name=NEW_NAME, state="active")
    for kind, name in KINDS.items():
        category = FaultCategory.objects.create(
            code=kind.upper(), name=name, state="active", definition=f"{name} on a machined surface."
        )
        for seed in range(A_KIND):
            case = case_create(
                pictures=[Picture(f"{kind}{seed}.png", drawn(kind, seed))],
                status="closed",
                bulk=True,
                title=f"{name} no. {seed}",
                part=part,
                customer=customer,
            )
            images_label(case.images.all(), verdict="fault", category=category, user=engineer)
            resolution = Resolution.objects.create(
                case=case, root_cause="The guide was rough.", disposition="rework", summary="Guide polished."
            )
            WhyStep.objects.create(resolution=resolution, position=1, answer="The part rubbed on the guide.")
            ActionTaken.objects.create(
                resolution=resolution, action=action, done_on="2026-01-02", effectiveness="effective"
            )
        CategoryExample.objects.create(category=category, file=case.images.get().file, verdict="not_ok")
