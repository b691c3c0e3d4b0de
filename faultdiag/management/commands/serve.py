"""manage.py serve: everything that faultdiag needs on one machine, until Ctrl-C."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections

from cases.models import Case
from faultdiag import installation as install
from faultdiag.checks import missing_milvus
from faultdiag.embedded import ensure_services, release_services
from faultdiag.environment import Environment, environment
from faultdiag.processes import Refused, die_with_parent
from faultdiag.queues import WORKERS, unacknowledged_restore
from faultdiag.supervisor import Child, Supervisor, django_command, leftovers_end

_READY_SECONDS = 180


class Stopped(BaseException):
    """Somebody asked this process to end."""


class Command(BaseCommand):
    help = "Start faultdiag on this machine: database, broker, web server, workers. Ctrl-C stops everything."
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument("--no-demo", action="store_true", help="Leave an empty database empty.")

    def handle(self, *, no_demo, **options):
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sent, _stop)
        env = environment()
        try:
            with ExitStack() as held:
                self._check(env, held)
                self._run(env, with_demo=not no_demo)
        except Refused as error:
            self.stderr.write(str(error))
            raise SystemExit(1) from None
        except Stopped:
            self.say("Stopped.")

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _check(self, env: Environment, held: ExitStack) -> None:
        for warning in missing_milvus():
            self.say(f"{warning.msg} {warning.hint}")
        install.data_folder_claim(env.data, held)
        if left := leftovers_end(env.data / "server.json"):
            self.say(f"Ended {left} processes that an earlier start had left.")
        install.disk_check(env.data)
        install.port_check(env.host, env.port)

    def _run(self, env: Environment, *, with_demo: bool) -> None:
        try:
            embedded = ensure_services(env.data)
            install.servers_check()
            self.say(f"PostgreSQL and Redis: {'running from ' + str(env.data) if embedded else 'yours'}")
            password = self._prepare(with_demo)
            self._supervise(env, password)
        finally:
            _ignore_signals()
            connections.close_all()
            release_services(env.data)

    def _prepare(self, with_demo: bool) -> str | None:
        """Bring everything up to date; returns the password of the first user when that was just made."""
        call_command("prepare", stdout=self.stdout)
        first = install.first_user_create()
        if first:
            # At once: if the start is interrupted, nobody could read it later.
            self.say(f"First user: {first[0]} with the password {first[1]} (shown only now: keep it)")
        if with_demo and not Case.objects.exists():
            self._seed()
        unacknowledged_restore([queue for queues in WORKERS.values() for queue in queues])
        return first and first[1]

    def _seed(self) -> None:
        # A process of its own: drawing needs libraries that the supervisor should not keep in memory.
        process = subprocess.Popen(
            django_command("seed_demo", "--if-empty", "--progress"),
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        try:
            returncode = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if returncode:
            self.say(
                "The demo library could not be made (the reason is above); the start goes on without it."
            )

    def _supervise(self, env: Environment, password: str | None) -> None:
        # The database is for the children now.
        connections.close_all()
        supervisor = Supervisor(_children(env), env.data / "server.json", self.say)
        try:
            supervisor.start()
            self._wait_until_ready(env, supervisor)
            self.say(f"faultdiag is ready: {_address(env)}/")
            if password:
                self.say(f"Log in as admin with the password {password}")
            self.say("Ctrl-C stops everything.")
            while True:
                supervisor.watch()
                time.sleep(0.5)
        finally:
            _ignore_signals()
            self.say("Stopping ...")
            supervisor.stop()

    def _wait_until_ready(self, env: Environment, supervisor: Supervisor) -> None:
        self.say("Starting the web server and the workers ...")
        deadline = time.monotonic() + _READY_SECONDS
        while (waiting_for := _unready(env)) is not None:
            if time.monotonic() > deadline:
                raise Refused(
                    f"faultdiag did not get ready in {_READY_SECONDS} s ({waiting_for}): "
                    f"see the logs in {env.data / 'logs'}."
                )
            supervisor.watch()
            time.sleep(0.5)


def _children(env: Environment) -> list[Child]:
    logs = env.data / "logs"
    logs.mkdir(exist_ok=True)
    beat_folder = env.data / "beat"
    beat_folder.mkdir(exist_ok=True)
    python = [sys.executable, "-m"]
    web = [*python, "gunicorn", "-c", "python:faultdiag.gunicorn_config", "faultdiag.wsgi"]
    beat = ["beat", "--schedule", str(beat_folder / "schedule"), "--pidfile", ""]
    children = [
        Child("web server", web, logs / "web.log"),
        Child("clock", [*python, "celery", "-A", "faultdiag", *beat], logs / "beat.log"),
    ]
    for name, queues in WORKERS.items():
        # Prefork: the network is loaded after the fork, and a killed child costs one repeated task.
        options = [
            "--queues",
            ",".join(queues),
            "--pool",
            "prefork",
            "--concurrency",
            "2" if name == "default" else "1",
        ]
        names = ["--hostname", f"{name}@%h", "--without-gossip", "--without-mingle"]
        children.append(
            Child(
                f"{name} worker",
                [*python, "celery", "-A", "faultdiag", "worker", *options, *names],
                logs / f"worker-{name}.log",
                before_restart=lambda queues=queues: unacknowledged_restore(queues),
            )
        )
    return children


def _address(env: Environment) -> str:
    host = "127.0.0.1" if env.host in {"0.0.0.0", "::"} else env.host  # noqa: S104 (compared, not bound)
    return f"http://[{host}]:{env.port}" if ":" in host else f"http://{host}:{env.port}"


def _unready(env: Environment) -> str | None:
    """What /readyz still misses, None when nothing."""
    request = urllib.request.Request(f"{_address(env)}/readyz", headers={"Host": "localhost"})
    try:
        with urllib.request.urlopen(request, timeout=10):
            return None
    except urllib.error.HTTPError as error:
        checks = json.loads(error.read()).get("checks", {}) if error.code == 503 else {}
        return next((text for text in checks.values() if text != "ok"), f"status {error.code}")
    except OSError:
        return "the web server does not answer yet"


def _stop(number, frame):
    raise Stopped


def _ignore_signals() -> None:
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sent, signal.SIG_IGN)
