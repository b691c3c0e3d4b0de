"""Writing the demo library into the database, through the services that people's cases take."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from django.db import connection, transaction

from cases.models import (
    ActionTaken,
    Case,
    CaseImage,
    CategoryExample,
    CorrectiveAction,
    Customer,
    FaultCategory,
    Label,
    Part,
    Resolution,
    Site,
    Supplier,
    WhyStep,
)
from cases.services.intake import Picture, case_create, image_file_store, pictures_check
from cases.services.labels import images_label
from vision.services.demo.drawing import Drawing, drawings_draw
from vision.services.demo.plan import (
    DemoCase,
    DemoResolution,
    DemoView,
    cases_plan,
    catalogue,
    faults,
    scenarios,
)

IMAGES_PER_CATEGORY = 30
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('vision.demo'))"
_LIMIT_STRENGTH = 0.35

#: Wraps an iterable of known length to show progress: (iterable, what is done, length).
Watch = Callable[[Iterable, str, int], Iterable]


@dataclass(frozen=True)
class DemoSummary:
    """What was added."""

    categories: int
    cases: int
    pictures: int


def demo_is_wanted() -> bool:
    """Whether this installation is empty."""
    return not Case.objects.exists()


def demo_seed(
    images_per_category: int = IMAGES_PER_CATEGORY,
    *,
    only_if_empty: bool = False,
    watch: Watch = lambda items, what, total: items,
) -> DemoSummary:
    """Add the demo library; what is there already stays as it is.

    Everything is written in one transaction after all pictures are drawn: a demo that is interrupted leaves
    nothing, and the next call makes it whole.
    """
    if only_if_empty and not demo_is_wanted():
        return DemoSummary(0, 0, 0)
    planned = _missing(cases_plan(images_per_category))
    drawings = _drawings_of(planned)
    drawn = dict(
        zip(drawings, watch(drawings_draw(drawings), "Drawing pictures", len(drawings)), strict=True)
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK)
        if only_if_empty and not demo_is_wanted():
            return DemoSummary(0, 0, 0)
        planned = _missing(planned)
        people = _Catalogue()
        for plan in watch(planned, "Storing cases", len(planned)):
            _case_store(plan, people, drawn)
        _examples_store(people, drawn)
    return DemoSummary(len(faults()), len(planned), sum(len(plan.views) for plan in planned))


def _missing(planned: list[DemoCase]) -> list[DemoCase]:
    present = set(Case.objects.filter(source__startswith="demo:").values_list("source", flat=True))
    return [plan for plan in planned if plan.source not in present]


def _drawings_of(planned: list[DemoCase]) -> list[Drawing]:
    views = [_drawing_of(view) for plan in planned for view in plan.views]
    return views + [drawing for category in faults() for _, _, drawing in _examples_plan(category)]


def _drawing_of(view: DemoView) -> Drawing:
    return Drawing(view.kind, view.seed, view.material, is_close_up=view.role == CaseImage.Role.CLOSE_UP)


def _examples_plan(category: dict) -> list[tuple[str, str, Drawing]]:
    """Verdict, caption and drawing of each example: a good part, one at the limit, and one beyond it."""
    part = next(row for row in catalogue()["part"] if row["number"] == category["usual_part"])
    kind, seed, limit_kind = category["kind"], category["example_seed"], category.get("limit_kind")
    good = Drawing(kind, seed, part["material"], strength=0)
    bad = Drawing(kind, seed, part["material"], is_close_up=True)
    limit = replace(bad, kind=limit_kind) if limit_kind else replace(bad, strength=_LIMIT_STRENGTH)
    drawings = {CategoryExample.Verdict.OK: good, CategoryExample.Verdict.LIMIT: limit}
    drawings[CategoryExample.Verdict.NOT_OK] = bad
    return [(verdict, category[str(verdict)], drawing) for verdict, drawing in drawings.items()]


class _Catalogue:
    """The rows that cases refer to, by code; made where they are missing, left alone where they are not."""

    def __init__(self):
        texts = catalogue()
        self.customers = _by_code(Customer, texts["customer"])
        self.suppliers = _by_code(Supplier, texts["supplier"])
        self.sites = _by_code(Site, texts["site"])
        self.parts = {
            row["number"]: Part.objects.get_or_create(
                number=row["number"],
                revision=row["revision"],
                defaults={"name": row["name"], "family": row["family"]},
            )[0]
            for row in texts["part"]
        }
        self.categories: dict[str, FaultCategory] = {}
        for row in texts["category"]:
            self.categories[row["code"]] = self._category(row)
        self.actions = {
            row["code"]: CorrectiveAction.objects.get_or_create(
                code=row["code"],
                defaults={name: row[name] for name in ("title", "type", "description")},
            )[0]
            for row in texts["action"]
        }
        for code, happened in scenarios().items():
            serving = {action for scenario in happened for action, _ in scenario["actions"]}
            self.categories[code].corrective_actions.add(*(self.actions[action] for action in serving))

    def _category(self, row: dict) -> FaultCategory:
        defaults = {
            "name": row["name"],
            "definition": row["definition"],
            "severity": row["severity"],
            "is_safety_relevant": row.get("safety", False),
            "state": FaultCategory.State.ACTIVE,
            "parent": self.categories.get(row.get("parent")),
        }
        return FaultCategory.objects.get_or_create(code=row["code"], defaults=defaults)[0]


def _by_code(model, rows: list[dict]) -> dict:
    return {
        row["code"]: model.objects.get_or_create(code=row["code"], defaults={"name": row["name"]})[0]
        for row in rows
    }


def _case_store(plan: DemoCase, people: _Catalogue, drawn: dict[Drawing, bytes]) -> None:
    case = case_create(
        pictures=[Picture(view.name, drawn[_drawing_of(view)], view.role) for view in plan.views],
        status=plan.status,
        bulk=True,
        source=plan.source,
        part=people.parts[plan.part],
        customer=people.customers.get(plan.customer),
        supplier=people.suppliers.get(plan.supplier),
        site=people.sites[plan.site],
        **plan.fields,
    )
    if plan.category:
        images_label(
            case.images.all(), verdict=Label.Verdict.FAULT, category=people.categories[plan.category]
        )
    if plan.resolution:
        _resolution_store(case, plan.resolution, people)


def _resolution_store(case: Case, plan: DemoResolution, people: _Catalogue) -> None:
    resolution = Resolution.objects.create(
        case=case,
        problem=plan.problem,
        containment=plan.containment,
        root_cause=plan.root_cause,
        disposition=plan.disposition,
        summary=plan.summary,
    )
    WhyStep.objects.bulk_create(
        WhyStep(resolution=resolution, position=position, answer=answer)
        for position, answer in enumerate(plan.whys, start=1)
    )
    ActionTaken.objects.bulk_create(
        ActionTaken(
            resolution=resolution,
            action=people.actions[action.code],
            due_on=action.due_on,
            done_on=action.done_on,
            effectiveness=action.effectiveness,
            evidence=action.evidence,
        )
        for action in plan.actions
    )


def _examples_store(people: _Catalogue, drawn: dict[Drawing, bytes]) -> None:
    for row in faults():
        category = people.categories[row["code"]]
        for verdict, caption, drawing in _examples_plan(row):
            picture = Picture(f"{row['code'].lower()}-{verdict}.jpg", drawn[drawing])
            (info,) = pictures_check([picture])
            CategoryExample.objects.get_or_create(
                category=category,
                file=image_file_store(picture, info),
                defaults={"verdict": verdict, "caption": caption},
            )
