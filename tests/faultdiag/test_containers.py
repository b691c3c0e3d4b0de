"""docker-compose.yml and Dockerfile name only what exists. No container engine is needed to see that."""

import re
import shlex
from importlib.util import find_spec

import pytest
import yaml
from django.core.management import get_commands

from faultdiag.environment import BASE_DIR, variables
from faultdiag.queues import WORKERS

COMPOSE = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
DOCKERFILE = (BASE_DIR / "Dockerfile").read_text()
OURS = {name: service for name, service in COMPOSE["services"].items() if service.get("build")}
#: Variables that only the other images, packages and Python read.
FOREIGN = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "HOSTNAME"} | {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
}


def commands():
    yield "Dockerfile", shlex.split(re.search(r"^CMD \[(.*)\]$", DOCKERFILE, re.M)[1].replace(",", " "))
    for name, service in OURS.items():
        yield name, service["command"]
        test = service.get("healthcheck", {}).get("test")
        if test:
            yield f"{name} health", shlex.split(test[1]) if test[0] == "CMD-SHELL" else test[1:]


@pytest.mark.parametrize(("where", "command"), list(commands()), ids=lambda value: str(value)[:20])
def test_every_command_exists(where, command):
    assert command[0] == "python", where
    if command[1] == "-m":
        assert find_spec(command[2]), where
        for argument in command[3:]:
            if re.fullmatch(r"(python:)?faultdiag(\.\w+)*", argument):
                assert find_spec(argument.removeprefix("python:")), where
    elif command[1] == "manage.py":
        assert command[2] in get_commands(), where
    else:
        assert command[1] == "-c", where
        compile(command[2], where, "exec")


def test_every_variable_is_known():
    known = {*variables(), *FOREIGN}
    used = set(re.findall(r"\$\{(\w+)", (BASE_DIR / "docker-compose.yml").read_text()))
    for service in COMPOSE["services"].values():
        used |= set(service.get("environment", {}))
    used |= set(re.findall(r"\b(FAULTDIAG_\w+|DATABASE_URL|REDIS_URL|SECRET_KEY)=", DOCKERFILE))
    assert used <= known, used - known


def test_the_workers_serve_every_queue():
    served = set()
    for service in OURS.values():
        command = service["command"]
        if "--queues" in command:
            served.add(tuple(command[command.index("--queues") + 1].split(",")))
    assert served == set(WORKERS.values())


def test_services_wait_for_what_they_need_and_say_how_they_are():
    assert {"postgres", "redis", "web", "worker", "worker-default", "beat", "migrate"} <= set(
        COMPOSE["services"]
    )
    for name, service in OURS.items():
        for other in service["depends_on"]:
            needed = COMPOSE["services"][other]
            assert "healthcheck" in needed or other == "migrate", (name, other)
    volumes = [mount for service in COMPOSE["services"].values() for mount in service.get("volumes", [])]
    assert {mount.split(":")[0] for mount in volumes} == set(COMPOSE["volumes"])


def test_the_image_copies_files_that_exist():
    for sources in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.M):
        for source in sources.split():
            assert (BASE_DIR / source).exists(), source
    assert re.search(r"^USER (?!root)", DOCKERFILE, re.M)
