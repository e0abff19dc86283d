import http.client
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from django.conf import settings
from django.core.management import CommandError
from django.db import connection

from ticks.management.commands import serve
from ticks.server.process import GRACE_SECONDS
from ticks.tests.served import TIMEOUT_SECONDS, booking, children_of, dial, request, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
MEMORY_LINE = re.compile(r"(\w+): +(\d+) kB")


@pytest.mark.parametrize("database", ["empty"], indirect=True)
def test_serve_prepares_says_where_and_stops(start, port):
    process = start()
    status, body = request(port, "POST", "/api/v1/booking", booking(2))
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)

    assert status == 201
    assert json.loads(body)["data"]["bookingStatus"] == "completed"
    assert process.returncode == 0
    for path in ("/", "/api/docs", "/api/v1/event", "/admin/"):
        assert f"http://127.0.0.1:{port}{path}\n" in said
    assert re.search(r"^Demo data: 12 events made, 0 were there\.$", said, re.MULTILINE)


@pytest.mark.parametrize("database", ["empty"], indirect=True)
def test_serve_loads_no_demo_data_unasked(start, port, tmp_path):
    process = start("--prepare", SECRET_KEY="")
    status, _ = request(port, "POST", "/api/v1/booking", booking(2))
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)

    assert status == 404
    assert "Demo data" not in said
    assert (
        "There is no account yet: `.venv/bin/python manage.py createsuperuser` makes the first admin, and `make demo` "
        "loads demo data.\n"
    ) in said
    generated = tmp_path / ".local" / "secret_key"
    assert stat.S_IMODE(generated.stat().st_mode) == 0o600
    told = (
        f"SECRET_KEY is not set, so Ticks generated one, which it keeps in {generated}. "
        "Servers on other hosts must have the same SECRET_KEY.\n"
    )
    # The embedded database has one host alone.
    assert (told in said) == (connection.vendor == "mysql")


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("given", "is_default"),
    [
        ({}, True),
        ({"DATABASE_URL": "sqlite:///db.sqlite3"}, True),
        ({"DATABASE_URL": "sqlite:///other.sqlite3"}, False),
    ],
)
def test_only_the_embedded_default_has_demo_data_unasked(tmp_path, given, is_default):
    names = ("PATH", "LOG_DIR", "LOCAL_DIR")
    environment = {"PATH": os.environ["PATH"], "TICKS_ENV_FILE": "", **dict.fromkeys(names[1:], str(tmp_path)), **given}
    script = "from django.conf import settings; print(settings.EMBEDDED_DEFAULT)"

    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=settings.BASE_DIR,
        env=environment | {"LOCAL_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "ticks.settings"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout == f"{is_default}\n"


def test_serve_starts_again_at_once(start):
    first = start()
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=TIMEOUT_SECONDS)

    again = start()

    again.send_signal(signal.SIGTERM)
    said, _ = again.communicate(timeout=TIMEOUT_SECONDS)
    assert "Demo data" not in said


@pytest.mark.embedded
@pytest.mark.parametrize(
    "stop", ["SIGTERM to the server", "SIGINT to all of its processes", "SIGHUP to all of its processes"]
)
def test_stop_answers_the_request_in_flight(start, port, tmp_path, stop):
    process = start()
    lock = sqlite3.connect(tmp_path / "served.sqlite3", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    answers = []
    in_flight = threading.Thread(target=lambda: answers.append(request(port, "POST", "/api/v1/booking", booking(3))))
    in_flight.start()
    time.sleep(0.5)

    if stop.startswith("SIGTERM"):
        process.send_signal(signal.SIGTERM)
    else:
        os.killpg(process.pid, signal.Signals[stop.partition(" ")[0]])
    time.sleep(0.5)
    assert answers == []
    lock.execute("ROLLBACK")
    in_flight.join(TIMEOUT_SECONDS)
    process.communicate(timeout=TIMEOUT_SECONDS)

    assert [status for status, _ in answers] == [201]
    assert process.returncode == 0
    [tickets] = lock.execute("SELECT tickets_reserved FROM bookings_booking ORDER BY id DESC LIMIT 1").fetchone()
    lock.close()
    assert tickets == 3


@pytest.mark.embedded
@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6, 1.0, 1.5])
def test_stop_while_starting_ends_it(start, seconds):
    process = start(is_awaited=False)
    time.sleep(seconds)

    os.killpg(process.pid, signal.SIGINT)

    process.communicate(timeout=GRACE_SECONDS + 5)


def test_chunked_body_is_read_and_limited(start, port):
    start()
    body = json.dumps(booking(1)).encode()

    def send(*chunks):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/v1/booking", iter(chunks), headers, encode_chunked=True)
        response = connection.getresponse()
        answer = response.status, json.loads(response.read()).get("code")
        connection.close()
        return answer

    assert send(body[:10], body[10:]) == (201, None)
    assert send(*[b" " * 100_000] * 11, body) == (413, "too_large")


def test_workers_end_with_a_killed_server(start, port):
    process = start()

    process.kill()

    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            dial(port).close()
        except ConnectionError:
            break
        time.sleep(0.05)
    with pytest.raises(OSError, match="refused"):
        dial(port)


def test_readme_tour_ends_with_the_guest_promoted(start, port, tmp_path):
    start()
    readme = (settings.BASE_DIR / "README.md").read_text()
    [tour] = re.findall(r"^```bash\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    script = tour.replace("127.0.0.1:8000", f"127.0.0.1:{port}")

    ended = subprocess.run(["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ended.stderr == ""
    answers = [json.loads(line) for line in ended.stdout.splitlines() if line]
    assert [answer["error"] for answer in answers] == [False] * len(answers)
    registered, me, events, booked, tickets, waiting, *rest = (answer.get("data") for answer in answers)
    sold_out, cancelled, promoted, status = rest
    assert (registered["username"], me["username"], len(events)) == ("rosalind", "rosalind", 3)
    assert (booked["bookingStatus"], [ticket["seat"] for ticket in tickets]) == ("completed", [1, 2, 3])
    assert (waiting["bookingStatus"], waiting["waitlistPosition"]) == ("waitlisted", 1)
    assert sold_out == {"availableTickets": 0, "waitlistedCount": 1}
    assert cancelled is None
    assert (promoted["id"], promoted["bookingStatus"]) == (waiting["id"], "completed")
    assert status == {"availableTickets": 0, "waitlistedCount": 0}


def connections_of(process, port):
    """How many connections each worker has, by /proc."""
    local = f":{port:04X}"
    established = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()
        if line.split()[1].endswith(local) and line.split()[3] == "01"
    }
    counts = []
    for worker in children_of(process):
        held = []
        for descriptor in Path(f"/proc/{worker}/fd").iterdir():
            with suppress(OSError):
                held.append(descriptor.readlink().name)
        counts.append(sum(f"socket:[{inode}]" in held for inode in established))
    return [count for count in counts if count]


def private_part_of_memory(pid):
    sizes = {name: int(size) for name, size in MEMORY_LINE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())}
    return (sizes["Private_Clean"] + sizes["Private_Dirty"]) / sizes["Rss"]


@pytest.mark.skipif(sys.platform != "linux", reason="It reads /proc.")
def test_workers_share_what_the_main_process_has_loaded(start, port):
    workers = children_of(start("--prepare"))

    assert len(workers) == 2
    assert max(map(private_part_of_memory, workers)) < 0.5


def listening_sockets(port):
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere the workers share one queue.")
def test_connections_of_a_crowd_are_dealt_out_to_all_workers(start, port):
    process = start()
    # A worker that starts a moment later misses the first of them.
    wait_until(lambda: listening_sockets(port) == 2)

    with ExitStack() as crowd:
        for _ in range(200):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
            crowd.callback(client.close)
            client.request("GET", "/healthz")
            client.getresponse().read()
        counts = connections_of(process, port)

    # The kernel deals them out evenly.
    assert len(counts) == 2
    assert min(counts) >= 20


def test_second_server_on_the_port_is_refused(start, port):
    start()

    second = start(is_awaited=False)
    said, _ = second.communicate(timeout=TIMEOUT_SECONDS)

    assert second.returncode == 1
    assert f"HOST 127.0.0.1, PORT {port} cannot be served (Address already in use); set another." in said
    assert "Ticks runs" not in said


@pytest.mark.embedded
@pytest.mark.parametrize(("host", "address"), [("localhost", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("::1", "::1")])
def test_address_to_serve_is_that_of_the_host(settings, port, host, address):
    settings.HOST, settings.PORT = host, port

    assert serve.free_address() == address


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("https", "hosts", "site"),
    [
        (True, ["tickets.example.org", "127.0.0.1"], "https://tickets.example.org"),
        (True, [".example.org"], "https://example.org"),
        (True, ["*"], None),
        (False, ["tickets.example.org"], None),
    ],
)
def test_site_is_named_as_browsers_reach_it(settings, https, hosts, site):
    settings.HTTPS, settings.ALLOWED_HOSTS = https, hosts

    assert serve.public_site() == site


@pytest.mark.embedded
@pytest.mark.parametrize("host", ["nonsense.invalid", "999.1.1.1", "127.0.0.1:80", "192.0.2.1"])
def test_host_that_is_no_address_of_this_machine_is_refused(settings, port, host):
    settings.HOST, settings.PORT = host, port

    with pytest.raises(CommandError, match=rf"^HOST {host}, PORT {port} cannot be served \(.+\); set another\.$"):
        serve.free_address()


def errors_without_database(directory, *arguments):
    """What `manage.py` writes to stderr, line by line, if there is no server at its database's address."""
    secrets = {"SECRET_KEY": "s" * 32, "JWT_SECRET": "j" * 32}
    url = f"mysql://root@localhost/ticks?unix_socket={directory}/none.sock"
    environment = os.environ | secrets | {"TICKS_ENV_FILE": "", "DATABASE_URL": url}

    ended = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 1
    return ended.stderr.splitlines()


@pytest.mark.embedded
def test_serve_without_its_database_says_so_in_one_sentence(tmp_path, monkeypatch, port):
    monkeypatch.setenv("PORT", str(port))

    [sentence] = errors_without_database(tmp_path, "serve")

    assert sentence.startswith("CommandError: The database cannot be reached (")
    assert sentence.endswith("); check DATABASE_URL or DB_*.")


@pytest.mark.embedded
@pytest.mark.parametrize("command", ["migrate", "prune", "verify_inventory", "seed_demo"])
def test_command_without_its_database_ends_without_traceback_unless_asked_for(tmp_path, command):
    [sentence] = errors_without_database(tmp_path, command)
    lines = errors_without_database(tmp_path, command, "--traceback")

    assert sentence.startswith("The database failed: (2002, ")
    assert sentence.endswith("). What was not reported as done may be missing; run the command again.")
    assert lines[0].startswith("Traceback ")


def refusal_of_limits(monkeypatch, max_connections, max_user_connections):
    """The message of `serve` if the database has these limits; None if it would start."""
    cursor = MagicMock()
    cursor.__enter__.return_value.fetchone.return_value = (max_connections, max_user_connections)
    monkeypatch.setattr(serve, "connection", SimpleNamespace(vendor="mysql", cursor=lambda: cursor))
    try:
        serve.refuse_too_few_connections()
    except CommandError as error:
        return str(error)


@pytest.mark.parametrize(("workers", "needed"), [(2, 29), (3, 41)])
def test_serve_refuses_a_database_that_lets_too_few_connections_in(settings, monkeypatch, workers, needed):
    settings.WORKERS, settings.THREADS = workers, 8

    said = refusal_of_limits(monkeypatch, needed - 1, 0)

    assert said == (
        f"The database lets {needed - 1} connections in (max_connections), and {needed} may be needed: {workers} "
        "workers (WORKERS) of 8 threads (THREADS) and 4 more each, and 5 for commands; lower WORKERS or THREADS, "
        f"or raise max_connections to {needed}."
    )
    assert refusal_of_limits(monkeypatch, needed, 0) is None
    assert refusal_of_limits(monkeypatch, 9999, needed) is None
    assert f"lets {needed - 1} connections in (max_user_connections)" in refusal_of_limits(
        monkeypatch, 9999, needed - 1
    )


@pytest.mark.mariadb
def test_serve_does_not_start_with_more_threads_than_connections(start):
    ended = start(is_awaited=False, WORKERS="100", THREADS="200")
    said, _ = ended.communicate(timeout=TIMEOUT_SECONDS)

    assert ended.returncode == 1
    assert "(max_connections), and 20405 may be needed: 100 workers (WORKERS) of 200 threads (THREADS)" in said
    assert "Ticks runs" not in said


@pytest.mark.embedded
def test_serve_without_the_default_socket_names_the_port(tmp_path, port, monkeypatch):
    parts = {"DB_HOST": "localhost", "DB_USER": "root", "DB_NAME": "ticks", "JWT_SECRET": "j" * 32}
    environment = os.environ | parts | {"TICKS_ENV_FILE": "", "PORT": str(port), "LOCAL_DIR": str(tmp_path)}
    # The driver's default socket, where no database listens.
    environment |= {"MYSQL_UNIX_PORT": str(tmp_path / "none.sock")}

    ended = subprocess.run(
        [sys.executable, "manage.py", "serve"], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True
    )

    assert ended.returncode == 1
    [sentence] = ended.stderr.splitlines()
    assert sentence.endswith("); check DATABASE_URL or DB_*. Set DB_PORT to connect to localhost by its port.")


@pytest.mark.embedded
def test_serve_refuses_a_wrong_setting_in_one_sentence(tmp_path):
    environment = os.environ | {"TICKS_ENV_FILE": "", "PORT": "eighty"}

    ended = subprocess.run(
        [sys.executable, "manage.py", "serve"], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True
    )

    assert ended.returncode == 1
    assert ended.stderr == ("Ticks cannot start: PORT is 'eighty'; set it to a whole number from 1 to 65535.\n")
