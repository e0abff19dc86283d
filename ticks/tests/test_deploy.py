"""The sample files in deploy/: each is read by its own program, and nginx's is used.

Where its program cannot be installed, by `tools/setup.sh --deploy`, a test is skipped.
"""

import getpass
import grp
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time

import pytest
from django.conf import settings

from ticks.tests.served import TIMEOUT_SECONDS, booking, dial, free_port, wait_until

DEPLOY = settings.BASE_DIR / "deploy"
HOST = "tickets.example.org"
# Debian keeps servers in /usr/sbin, which is not in everybody's PATH.
PATH = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}:/usr/local/sbin:/usr/sbin"

pytestmark = pytest.mark.embedded


def program(name):
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is missing; tools/setup.sh --deploy installs it")
    return found


def run(*command, **kwargs):
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False, **kwargs)
    return ended.returncode, ended.stdout + ended.stderr


def sample(name, *changes):
    """A sample file with what belongs to one host replaced; each of the texts must be there."""
    text = (DEPLOY / name).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, str(new))
    return text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    place = tmp_path_factory.mktemp("certificate")
    files = place / "fullchain.pem", place / "privkey.pem"
    name = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name, "-out", files[0], "-keyout", files[1]]
    code, output = run(program("openssl"), *map(str, made))
    assert code == 0, output
    return files


@pytest.fixture
def nginx_config(tmp_path, port, certificate):
    """Gives a function that writes a configuration of nginx with the sample in it. nginx writes to our directory."""

    def write(*, http_port, https_port):
        ours = tmp_path / "nginx"
        ours.mkdir(mode=0o755)
        site = sample(
            "nginx.conf",
            ("    listen [::]:80;\n", ""),
            ("    listen [::]:443 ssl http2;\n", ""),
            ("listen 80;", f"listen 127.0.0.1:{http_port};"),
            ("listen 443 ssl http2;", f"listen 127.0.0.1:{https_port} ssl http2;"),
            ("server 127.0.0.1:8000;", f"server 127.0.0.1:{port};"),
            ("/var/log/nginx/access.log", ours / "access.log"),
            (f"/etc/ssl/{HOST}/fullchain.pem", certificate[0]),
            (f"/etc/ssl/{HOST}/privkey.pem", certificate[1]),
        )
        (ours / "ticks.conf").write_text(site)
        places = "\n".join(
            f"{kind}_temp_path {ours}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = f"user {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name};" if os.geteuid() == 0 else ""
        config = ours / "nginx.conf"
        config.write_text(
            f"{user} daemon off; pid {ours}/pid; error_log {ours}/error.log;\nevents {{}}\n"
            f"http {{ access_log off; {places}\ninclude {ours}/ticks.conf; }}\n"
        )
        return ours, config

    return write


@pytest.fixture
def nginx(nginx_config):
    """Starts nginx with the sample, for a server that may not run. Gives its ports for https and http."""
    binary = program("nginx")
    ports = {"http_port": free_port(), "https_port": free_port()}
    ours, config = nginx_config(**ports)
    process = subprocess.Popen([binary, "-p", ours, "-e", ours / "error.log", "-c", config])
    try:
        await_port(ports["https_port"])
        yield ports | {"logs": ours}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=TIMEOUT_SECONDS)


@pytest.fixture
def served(start, nginx):
    """The port of nginx in front of a server whose callers without an account have four requests a minute."""
    start(HTTPS="on", TRUSTED_PROXIES="1", ALLOWED_HOSTS=HOST, THROTTLE_GUEST="4/min", WORKERS="1")
    return nginx["https_port"]


def await_port(port):
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            dial(port).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nginx does not listen")


def ask(method, path, *, https_port, body=None, **headers):
    """Status, headers and text of an answer over TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", https_port, timeout=TIMEOUT_SECONDS, context=context)
    try:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": HOST, "Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def test_nginx_reads_its_sample(nginx_config):
    ours, config = nginx_config(http_port=free_port(), https_port=free_port())

    code, output = run(program("nginx"), "-t", "-p", ours, "-e", ours / "error.log", "-c", config)

    assert code == 0, output
    assert "warn" not in output


@pytest.mark.django_db(transaction=True)
def test_booking_through_nginx(served):
    wanted = json.dumps(booking(2))
    large = ask("POST", "/api/v1/booking", https_port=served, body="x" * (1024 * 1024 + 1))
    first = ask("POST", "/api/v1/booking", https_port=served, body=wanted, Idempotency_Key="one")
    again = ask("POST", "/api/v1/booking", https_port=served, body=wanted, Idempotency_Key="one")
    page = ask("GET", "/admin/login/", https_port=served)

    # The text is the API's, not nginx's.
    assert (large[0], json.loads(large[2])["code"]) == (413, "too_large")
    assert (first[0], again[0]) == (201, 201)
    assert first[2] == again[2]
    assert again[1]["Idempotent-Replayed"] == "true"
    # Ticks sends these by https alone, which X-Forwarded-Proto says.
    assert page[1]["Strict-Transport-Security"] == "max-age=31536000"
    assert page[1]["Set-Cookie"].startswith("__Host-csrftoken=")


@pytest.mark.django_db(transaction=True)
def test_caller_behind_nginx_cannot_choose_an_address(served):
    statuses = [
        ask("GET", "/api/v1/booking/status/1", https_port=served, X_Forwarded_For=f"10.0.0.{number}")[0]
        for number in range(6)
    ]

    assert statuses == [200, 200, 200, 200, 429, 429]


KEY = "k" * 43
LINK = f"/my/open/QQQQQ-QQQQQQ?key={KEY}"


@pytest.mark.django_db(transaction=True)
def test_key_of_a_link_is_in_no_log(nginx, served, tmp_path):
    status, headers, _ = ask("GET", LINK, https_port=served, Referer=f"https://{HOST}{LINK}")
    page = ask("GET", headers["Location"], https_port=served, Cookie=headers["Set-Cookie"].partition(";")[0])

    assert (status, headers["Location"], page[0]) == (303, "/my/QQQQQ-QQQQQQ/", 404)
    assert headers["Set-Cookie"].startswith("__Secure-ticks_link=")
    logs = (nginx["logs"] / "access.log", tmp_path / "logs" / "combined.log")
    # Log lines are written a moment later.
    for path in ("/my/open/QQQQQ-QQQQQQ", "/my/QQQQQ-QQQQQQ/"):
        wait_until(lambda path=path: all(path in log.read_text() for log in logs))
    assert [log for log in logs if KEY in log.read_text()] == []


def test_key_of_a_link_is_in_no_log_of_a_proxy_without_a_server(nginx):
    """nginx writes the whole request to its log of errors, for any other path."""
    of_account = LINK.replace("/my/open/", "/account/").replace("k", "p")
    for path in (LINK, LINK.replace("/my/open/", "/other/").replace("k", "o"), of_account):
        assert ask("GET", path, https_port=nginx["https_port"])[0] == 502

    access, errors = ((nginx["logs"] / name).read_text() for name in ("access.log", "error.log"))
    assert "/my/open/QQQQQ-QQQQQQ" in access
    assert "o" * 43 in errors
    assert [text for text in (access, errors) if KEY in text or "p" * 43 in text] == []


def test_plain_http_is_sent_to_https(nginx):
    connection = http.client.HTTPConnection("127.0.0.1", nginx["http_port"], timeout=TIMEOUT_SECONDS)
    connection.request("GET", "/admin/?a=1", headers={"Host": HOST})
    response = connection.getresponse()
    connection.close()

    assert (response.status, response.headers["Location"]) == (308, f"https://{HOST}/admin/?a=1")


def test_server_that_is_away_is_reported_in_the_shape_of_the_api(nginx):
    status, headers, text = ask("GET", "/api/v1/event", https_port=nginx["https_port"])

    assert (status, headers["Retry-After"], headers["Content-Type"]) == (503, "2", "application/json")
    answer = json.loads(text)
    assert (answer["error"], answer["code"]) == (True, "outcome_unknown")


@pytest.mark.parametrize("name", ["ticks.service", "ticks-deliver.service"])
def test_systemd_reads_its_sample(tmp_path, name):
    unit = tmp_path / name
    changes = [("/opt/ticks/.venv/bin/python", sys.executable), ("file:///opt/ticks/docs", f"file://{tmp_path}")]
    unit.write_text(sample(name, *changes))

    code, output = run(program("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", unit)

    assert (code, output) == (0, "")


@pytest.mark.parametrize("wrong", ["RestartSec=soon", "KillMod=mixed", "SystemCallFilter=@nothing"])
def test_systemd_would_refuse_a_wrong_line(tmp_path, wrong):
    unit = tmp_path / "ticks.service"
    changes = [("/opt/ticks/.venv/bin/python", sys.executable), ("KillMode=mixed", wrong)]
    unit.write_text(sample("ticks.service", *changes))

    code, output = run(program("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", unit)

    assert (code, output) != (0, "")


def test_logrotate_moves_the_log_away(tmp_path):
    log = tmp_path / "combined.log"
    log.write_text("{}\n")
    config = tmp_path / "ticks.logrotate"
    owner = f"su {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}"
    config.write_text(sample("ticks.logrotate", ("/var/log/ticks/combined.log", log), ("su ticks ticks", owner)))
    config.chmod(0o644)

    debugged = run(program("logrotate"), "-d", config)
    code, output = run(program("logrotate"), "--force", "--state", tmp_path / "state", config)

    assert debugged[0] == 0, debugged[1]
    assert "error" not in debugged[1]
    assert (code, output) == (0, "")
    # Ticks makes the new file itself.
    assert not log.exists()
    assert (tmp_path / "combined.log.1").read_text() == "{}\n"


def test_compose_reads_its_sample(tmp_path):
    shutil.copy(DEPLOY / "compose.yaml", tmp_path)
    filled = re.sub(r"^(\w+)=$", r"\1=geheim", (DEPLOY / "compose.env.example").read_text(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(filled)

    code, output = run(*compose(), "config", cwd=tmp_path)

    assert code == 0, output
    assert "MARIADB_PASSWORD: geheim" in output
    assert "condition: service_healthy" in output
    deliver = output.partition("  deliver:")[2].partition("\n  ticks:")[0]
    # The versions of Compose write lists in other ways.
    assert re.search(r"command:\s+(- )?deliver\b", deliver)
    assert re.search(r"disable: true|- NONE", deliver)
    # Two services cannot have one port.
    assert "8000" not in deliver


def test_compose_refuses_to_start_without_a_password(tmp_path):
    shutil.copy(DEPLOY / "compose.yaml", tmp_path)
    shutil.copy(DEPLOY / "compose.env.example", tmp_path / ".env")

    code, output = run(*compose(), "config", cwd=tmp_path)

    assert code != 0
    assert "DB_PASSWORD" in output


def compose():
    docker = shutil.which("docker", path=PATH)
    if docker and run(docker, "compose", "version")[0] == 0:
        return [docker, "compose"]
    return [program("docker-compose")]


def test_hadolint_finds_nothing_in_the_dockerfile():
    # DL3008: the versions of Debian's packages are pinned by Debian's release.
    code, output = run(program("hadolint"), "--ignore", "DL3008", DEPLOY / "Dockerfile")

    assert (code, output) == (0, "")


def test_haproxy_reads_its_sample(tmp_path):
    config = tmp_path / "haproxy.cfg"
    user, group = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    changes = [("    user haproxy\n", f"    user {user}\n"), ("    group haproxy\n", f"    group {group}\n")]
    config.write_text(sample("galera/haproxy.cfg", *changes))

    code, output = run(program("haproxy"), "-c", "-f", config)

    assert code == 0, output
