#!/usr/bin/env bash
# The long runs that `make test` has no time for. Each part is a function; all of them run even when one
# fails, and the exit code remembers.
#   SEED=N  the walks of an earlier run
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z ${1:-} ]]; then
    tools/setup.sh --test --db --browser
    # Neither the developer's shell nor .env may decide what is tested.
    unset DATABASE_URL "${!DB_@}"
fi
export TICKS_ENV_FILE= HYPOTHESIS_PROFILE=nightly
# Ticks makes secrets for itself on SQLite only.
secret() { .venv/bin/python -c 'import secrets; print(secrets.token_hex(32))'; }
SECRET_KEY=$(secret) JWT_SECRET=$(secret)
export SECRET_KEY JWT_SECRET
export SEED=${SEED:-$(date +%s)}

# The parts end by exit code on Ctrl-C, and bash would go on to the next one.
trap 'exit 130' INT TERM

report=()
status=0

part() {
    local name=$1 outcome=passed
    shift
    printf '\n=== %s ===\n' "$name"
    SECONDS=0
    "$@" || { outcome=FAILED && status=1; }
    report+=("$(printf '%-22s %s in %d s' "$name" "$outcome" "$SECONDS")")
}

# Not captured: it takes a while, and says how far it is and what it came to.
walks() { .venv/bin/python -m pytest -q -s --hypothesis-seed="$SEED" bookings/tests/stateful/test_stateful.py; }
conformance() { .venv/bin/python -m pytest -q bookings/tests/api/test_conformance.py; }
# As `make test` does not: each database the other way.
suite() { tools/test.sh suite; }
on_mariadb() { .venv/bin/python tools/private_mariadb.py -- "$0" "$@"; }

# `tools/nightly.sh walks`, `conformance` or `suite` is one part by itself, on DATABASE_URL.
if [[ -n ${1:-} ]]; then
    "$1"
    exit
fi

part 'tests on SQLite' suite
part 'tests on MariaDB' env GROUP_BOOKING=off FAST_PATH=off .venv/bin/python tools/private_mariadb.py -- "$0" suite
part 'walks on SQLite' walks
part 'walks on MariaDB' on_mariadb walks
part 'conformance on SQLite' conformance
part 'conformance on MariaDB' on_mariadb conformance

printf '\nSEED=%s\n' "$SEED"
printf '%s\n' "${report[@]}"
exit "$status"
