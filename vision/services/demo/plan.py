"""Which cases the demo library holds: plain values from the texts beside this file and fixed seeds."""

import tomllib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import cycle
from pathlib import Path
from random import Random

#: The demo's present day: fixed, so that every machine gets the same dates.
PRESENT = date(2026, 11, 1)
_CLOSED_DAYS_AGO = (110, 548)  # up to 18 months
_VIEWS_PER_CASE = (2, 1, 3, 1, 2, 1)
#: Which of a category's scenarios happened in turn: the first one most often.
_SCENARIO_TURNS = (0, 1, 0, 2, 0, 1)
#: The share of a scenario's cases that are of the category's usual part, where it fits the scenario.
_USUAL_SHARE = 0.85
#: Cases that nobody has looked at yet.
TRIAGE_CASES = 10
#: One case in so many of a category is still open.
_OPEN_EVERY = 7
#: How many days ago a case was reported that has come so far.
_OPEN_DAYS_AGO = {
    "effectiveness": (60, 95),
    "actions": (25, 45),
    "analysis": (10, 22),
    "contained": (4, 9),
    "triaged": (2, 5),
    "waiting": (20, 50),
}
_TEXTS = Path(__file__).parent

_DETECTION_POINTS = {
    "0km": ("Customer, assembly line", "Customer, incoming goods", "Customer, end-of-line test"),
    "field": ("Field, at installation", "Field, after 300 hours", "Service workshop"),
    "supplier": ("Incoming inspection",),
    "internal": ("Final inspection", "Machining, line 3", "Assembly, station 12", "Packing"),
}
_EVIDENCE = {
    "effective": (
        "No repeat in {parts} parts over {months} months.",
        "Rejects for this fault from {before} % to {after} %, control chart of {months} months.",
        "{months} clean lots in a row, sorted to the last part.",
    ),
    "ineffective": (
        "Repeat after {months} weeks in the same place: this does not reach the cause.",
        "Rejects unchanged at {before} % after {months} weeks.",
        "Worked for a shift or two, then the same fault came back.",
    ),
}


@dataclass(frozen=True)
class DemoView:
    """A picture to draw: `seed` decides the fault's course, `material` the ground."""

    kind: str
    seed: int
    material: str
    role: str
    name: str


@dataclass(frozen=True)
class DemoAction:
    code: str
    due_on: date
    done_on: date | None
    effectiveness: str
    evidence: str


@dataclass(frozen=True)
class DemoResolution:
    problem: str
    containment: str
    whys: tuple[str, ...]
    root_cause: str
    disposition: str
    summary: str
    actions: tuple[DemoAction, ...]


@dataclass(frozen=True)
class DemoCase:
    """A case in plain values; references are codes. Without a category it waits for triage."""

    source: str
    status: str
    category: str | None
    part: str
    customer: str | None
    supplier: str | None
    site: str
    views: tuple[DemoView, ...]
    resolution: DemoResolution | None
    fields: dict = field(hash=False)  # the other fields of Case


@cache
def catalogue() -> dict[str, list[dict]]:
    """Categories, parts, customers, suppliers, sites and actions, as in catalogue.toml."""
    return _read("catalogue.toml")


@cache
def scenarios() -> dict[str, list[dict]]:
    """What may have happened, by category code."""
    by_category: dict[str, list[dict]] = {}
    for name in ("scenarios_surface.toml", "scenarios_material.toml"):
        for scenario in _read(name)["scenario"]:
            by_category.setdefault(scenario["category"], []).append(scenario)
    return by_category


def faults() -> list[dict]:
    """The categories that pictures are drawn for."""
    return [category for category in catalogue()["category"] if "kind" in category]


def cases_plan(images_per_category: int) -> list[DemoCase]:
    """All cases, oldest first; a larger number adds cases and leaves the others as they were."""
    planned = []
    for category in faults():
        left, sizes, number = images_per_category, cycle(_VIEWS_PER_CASE), 0
        while left > 0:
            views = min(next(sizes), left)
            planned.append(_past_case(category, number, views))
            left -= views
            number += 1
    planned += [_triage_case(number) for number in range(TRIAGE_CASES)]
    return sorted(planned, key=lambda case: (case.fields["reported_at"], case.source))


def _read(name: str) -> dict:
    return tomllib.loads((_TEXTS / name).read_text(encoding="utf-8"))


def _past_case(category: dict, number: int, views: int) -> DemoCase:
    source = f"demo:{category['code']}/{number:03d}"
    random = Random(source)
    of_category = scenarios()[category["code"]]
    scenario = of_category[_SCENARIO_TURNS[number % len(_SCENARIO_TURNS)]]
    if number % _OPEN_EVERY == _OPEN_EVERY - 1:
        turn = faults().index(category) + number // _OPEN_EVERY
        status, days_ago = list(_OPEN_DAYS_AGO.items())[turn % len(_OPEN_DAYS_AGO)]
    else:
        status, days_ago = "closed", _CLOSED_DAYS_AGO
    place = _placed(random, scenario, random.randint(*days_ago))
    fields = place.fields | {"title": scenario["title"], "severity": category["severity"]}
    return DemoCase(
        source=source,
        status=status,
        category=category["code"],
        part=place.part["number"],
        customer=place.customer and place.customer["code"],
        supplier=place.supplier and place.supplier["code"],
        site=place.site["code"],
        views=_views(random, category, place.part, source, views),
        resolution=_resolution(random, scenario, status, place),
        fields=fields,
    )


def _triage_case(number: int) -> DemoCase:
    source = f"demo:triage/{number:03d}"
    random = Random(source)
    category = faults()[(5 * number + 2) % len(faults())]
    place = _placed(random, random.choice(scenarios()[category["code"]]), random.randint(0, 2))
    return DemoCase(
        source=source,
        status="new",
        category=None,
        part=place.part["number"],
        customer=place.customer and place.customer["code"],
        supplier=place.supplier and place.supplier["code"],
        site=place.site["code"],
        views=_views(random, category, place.part, source, 1 + number % 3),
        resolution=None,
        fields=place.fields | {"title": f"{place.part['name']}: to be looked at"},
    )


@dataclass(frozen=True)
class _Place:
    """Who, where and when of a case."""

    part: dict
    customer: dict | None
    supplier: dict | None
    site: dict
    reported_on: date
    slots: dict
    fields: dict


def _placed(random: Random, scenario: dict, days_ago: int) -> _Place:
    texts = catalogue()
    kind = random.choice(scenario["kinds"])
    part = _part(random, scenario)
    supplier = next(row for row in texts["supplier"] if row["code"] == part["supplier"])
    customer = random.choice(texts["customer"]) if kind in ("0km", "field") else None
    site = random.choice(texts["site"])
    reported_on = PRESENT - timedelta(days=days_ago)
    produced_on = reported_on - timedelta(days=random.randint(9, 120))
    complained = random.choice((2, 3, 5, 8) if kind == "field" else (12, 20, 48, 96, 160, 240))
    confirmed = max(1, round(complained * random.uniform(0.15, 1.0)))
    lot = f"{site['code'][0]}{produced_on:%y%V}-{random.randint(1, 399):03d}"
    detection_point = random.choice(_DETECTION_POINTS[kind])
    moment = datetime(reported_on.year, reported_on.month, reported_on.day, tzinfo=UTC)
    return _Place(
        part=part,
        customer=customer,
        supplier=supplier if kind == "supplier" else None,
        site=site,
        reported_on=reported_on,
        slots={
            "part": part["name"],
            "lot": lot,
            "quantity": complained,
            "confirmed": confirmed,
            "sender": customer["name"] if customer else detection_point,
            "supplier": supplier["name"],
        },
        fields={
            "kind": kind,
            "reported_at": moment + timedelta(hours=random.randint(6, 17), minutes=random.randint(0, 59)),
            "detection_point": detection_point,
            "lot": lot,
            "serial_number": f"{produced_on:%y%j}{random.randint(1, 9999):04d}" if kind == "field" else "",
            "produced_on": produced_on,
            "quantity_complained": complained,
            "quantity_confirmed": confirmed,
            "description": scenario["said"],
            "customer_reference": f"RMA-{random.randint(10_000, 99_999)}" if customer else "",
        },
    )


def _part(random: Random, scenario: dict) -> dict:
    usual = next(row["usual_part"] for row in faults() if row["code"] == scenario["category"])
    fitting = [part for part in catalogue()["part"] if part["family"] in scenario["families"]]
    chosen = random.choice(fitting)
    if random.random() < _USUAL_SHARE:
        return next((part for part in fitting if part["number"] == usual), chosen)
    return chosen


def _views(random: Random, category: dict, part: dict, source: str, number: int) -> tuple[DemoView, ...]:
    """A close-up, an overview of the same piece, and a close-up of another piece of the lot."""
    stem = source.removeprefix("demo:").replace("/", "-").lower()
    one, other = random.randrange(2**31), random.randrange(2**31)
    shown = ((one, "close_up"), (one, "overview"), (other, "close_up"))
    return tuple(
        DemoView(category["kind"], seed, part["material"], role, f"{stem}-{view}.jpg")
        for view, (seed, role) in enumerate(shown[:number], start=1)
    )


def _resolution(random: Random, scenario: dict, status: str, place: _Place) -> DemoResolution | None:
    """As far as a case of this status has come on the 8D way."""
    if status == "triaged":
        return None
    known = status in ("closed", "effectiveness", "actions")
    texts = {name: scenario[name].format(**place.slots) for name in ("problem", "containment")}
    whys = scenario["whys"] if known else scenario["whys"][: 2 if status == "analysis" else 0]
    return DemoResolution(
        **texts,
        whys=tuple(whys),
        root_cause=scenario["root_cause"].format(**place.slots) if known else "",
        disposition=scenario["disposition"] if known else "",
        summary=scenario["summary"].format(**place.slots) if status == "closed" else "",
        actions=tuple(_actions(random, scenario, status, place.reported_on)) if known else (),
    )


def _actions(random: Random, scenario: dict, status: str, reported_on: date):
    for position, (code, worked) in enumerate(scenario["actions"]):
        if position and random.random() > 0.7:
            continue
        quick = code.startswith("CO")
        due_on = reported_on + timedelta(days=3 if quick else random.randint(21, 42))
        done_on = due_on - timedelta(days=random.randint(0, 2 if quick else 15))
        effectiveness = "effective" if random.random() < worked else "ineffective"
        if status == "actions" and not quick:
            done_on = None
        if status != "closed":
            effectiveness = "pending"
        yield DemoAction(code, due_on, done_on, effectiveness, _evidence(random, effectiveness))


def _evidence(random: Random, effectiveness: str) -> str:
    if effectiveness not in _EVIDENCE:
        return ""
    before = random.randint(12, 62) / 10
    return random.choice(_EVIDENCE[effectiveness]).format(
        parts=f"{random.randint(12, 180) * 100:,}",
        months=random.randint(3, 6),
        before=before,
        after=round(before * random.uniform(0, 0.12), 1),
    )
