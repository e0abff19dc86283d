#!/usr/bin/env bash
# Everything that must hold: `make check`, the tests on SQLite, the same tests on MariaDB, and the tests on a Galera
# cluster.
# All of it runs even when something fails; the exit code remembers.
#   TEST_DATABASE_URL=mysql://...  a server to use instead of a private one
#   tools/test.sh suite [OPTIONS]  only the tests, on DATABASE_URL; options are pytest's
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == suite ]]; then
    # Asked of the connection, not of the settings: .ci/run looks for this line.
    .venv/bin/python manage.py shell --no-imports -c '
from django.db import connection
connection.ensure_connection()
version = getattr(connection, "mysql_version", None) or connection.Database.sqlite_version_info
print("Database:", connection.display_name, ".".join(map(str, version)))'
    exec .venv/bin/python -m pytest "${@:2}"
fi

tools/setup.sh --test
[[ -n ${TEST_DATABASE_URL:-} ]] || tools/setup.sh --db || true
tools/setup.sh --browser || true
tools/setup.sh --galera || true
tools/setup.sh --deploy || true

# Neither the developer's shell nor .env may decide what is tested.
unset DATABASE_URL HYPOTHESIS_PROFILE BROWSER_TESTS GALERA_TESTS "${!DB_@}"
export TICKS_ENV_FILE=
# Hundreds of processes load the same modules. Where this variable is set, each process would compile them again.
unset PYTHONDONTWRITEBYTECODE

UPGRADES=bookings/tests/models/test_upgrades.py
logs=$(mktemp -d)
beside=()
# Ctrl-C does not reach the process groups of what runs beside, so this ends them. The parts end by exit code on Ctrl-C,
# and bash would go on.
trap '((${#beside[@]} == 0)) || kill -- "${beside[@]/#/-}" 2>/dev/null; rm -rf "$logs"' EXIT
trap 'exit 130' INT TERM

report=()
skipped=()
status=0

# What could not be tested is said loudly at the end. Where CI is set it fails.
skip() {
    report+=("$(printf '%-17s SKIPPED' "$1")")
    skipped+=("$2")
    [[ -z ${CI:-} ]] || status=1
}

result() {
    local name=$1 code=$2 seconds=$3 outcome=passed
    ((code == 0)) || { outcome=FAILED && status=1; }
    report+=("$(printf '%-17s %s in %d s' "$name" "$outcome" "$seconds")")
}

part() {
    local name=$1 code=0 began=$SECONDS
    shift
    printf '\n=== %s ===\n' "$name"
    "$@" 2>&1 | tee "$logs/$name" || code=$?
    result "$name" "$code" "$((SECONDS - began))"
}

has_mariadb() {
    PATH=$PATH:/usr/local/sbin:/usr/sbin command -v mariadbd >/dev/null && .venv/bin/python -c 'import MySQLdb' 2>/dev/null
}

on_sqlite() {
    # Without batches and without the fast path, so that both ways of booking are tested; `make nightly` tests each on
    # the other database.
    GROUP_BOOKING=off FAST_PATH=off tools/test.sh suite "$@"
}

on_mariadb() {
    # Ticks makes secrets for itself on SQLite only.
    SECRET_KEY=$(.venv/bin/python -c 'import secrets; print(secrets.token_hex(32))')
    JWT_SECRET=$(.venv/bin/python -c 'import secrets; print(secrets.token_hex(32))')
    # The browser tests take a minute, and this suite takes longer than the other already; `make nightly` has them on both.
    export SECRET_KEY JWT_SECRET BROWSER_TESTS=off
    if [[ -n ${TEST_DATABASE_URL:-} ]]; then
        DATABASE_URL=$TEST_DATABASE_URL tools/test.sh suite "$@"
        return
    fi
    .venv/bin/python tools/private_mariadb.py -- tools/test.sh suite "$@"
}

# Starts a part in the background, in a process group of its own; `finish` shows what it wrote.
start() {
    local name=$1
    shift
    set -m
    {
        local code=0 began=$SECONDS
        "$@" >"$logs/$name" 2>&1 </dev/null || code=$?
        echo "$code $((SECONDS - began))" >"$logs/$name.result"
    } &
    set +m
    beside+=($!)
}

finish() {
    local name=$1 code seconds
    printf '\n=== %s ===\n' "$name"
    cat "$logs/$name"
    read -r code seconds <"$logs/$name.result"
    result "$name" "$code" "$seconds"
}

part 'check' make --no-print-directory check

has_database=
if [[ -n ${TEST_DATABASE_URL:-} ]] || has_mariadb; then
    has_database=1
fi

servers() {
    local code=0
    on_sqlite -m served || code=$?
    [[ -z $has_database ]] || (on_mariadb -m served) || code=$?
    return "$code"
}

# Beside each other: each suite uses a core, and the tests that start servers mostly wait for them. The upgrades on
# MariaDB wait for its disk, and would be the last to end.
start 'servers' servers
if [[ -n $has_database ]]; then
    start 'upgrades' on_mariadb "$UPGRADES"
    start 'tests on MariaDB' on_mariadb -m 'not served' --ignore "$UPGRADES"
fi
part 'tests on SQLite' on_sqlite -m 'not served'
wait "${beside[@]}" || true
beside=()
finish 'servers'
if [[ -n $has_database ]]; then
    finish 'upgrades'
    finish 'tests on MariaDB'
else
    skip 'tests on MariaDB' 'NOT TESTED ON MARIADB. SQLite knows no row locks, so nothing of what happens when many
    people book at once has been tested. What to install: tools/setup.sh --db
    or use a server of yours: TEST_DATABASE_URL=mysql://... make test'
fi

# By itself: it measures how long nobody books, and three nodes take all that the machine has.
if has_mariadb && [[ -x .venv/galera/wsrep_sst_rsync ]]; then
    part 'tests on Galera' env GALERA_TESTS=on .venv/bin/python -m pytest bookings/tests/galera
else
    skip 'tests on Galera' 'NOT TESTED ON A GALERA CLUSTER, where a transaction can fail as late as at its COMMIT, so
    nobody knows whether bookings get lost. What to install: tools/setup.sh --db --galera'
fi

command -v chromium google-chrome >/dev/null ||
    skip 'tests in a browser' 'NOT TESTED IN A BROWSER: there is no Chromium, so nobody has seen whether the pages of the
    staff'\''s site work. What to install: tools/setup.sh --browser'

printf '\n'
# The parts wrote thousands of lines, so the tests that failed are named again.
(cd "$logs" && grep -HE '^(FAILED|ERROR) [^ ]+\.py' -- *) || true
printf '%s\n' "${report[@]}"
((${#skipped[@]} == 0)) || printf '\n*** %s ***\n' "${skipped[@]}" >&2
exit "$status"
