#!/bin/sh
# Installs the servers that the tests start for themselves (redis-server, MariaDB) where they are missing.
# Nothing is asked: apt-get as root or by sudo without a password, or Homebrew. Where all is there it does nothing.
set -eu

# Debian hides servers from normal users in sbin; Homebrew keeps a keg of its own.
PATH=$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/opt/mariadb/bin:/usr/local/opt/mariadb/bin

has() { command -v "$1" >/dev/null 2>&1; }

missing() { # missing REDIS_PACKAGE MARIADB_PACKAGE: the packages still to install
    has redis-server || printf '%s ' "$1"
    { has mariadbd && has mariadb-install-db; } || printf '%s ' "$2"
}

fail() {
    echo "setup: $*" >&2
    exit 1
}

if [ -z "$(missing redis mariadb)" ]; then
    exit 0
fi

if has apt-get; then
    packages=$(missing redis-server mariadb-server)
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif has sudo && sudo -n true 2>/dev/null; then
        as_root=sudo
    else
        fail "the tests need servers, and installing them needs root. Mend: sudo apt-get install $packages"
    fi
    echo "setup: installing $packages(apt-get)"
    # shellcheck disable=SC2086 # several packages, and no sudo as root
    {
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update </dev/null
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
            install --yes --no-install-recommends $packages </dev/null >/dev/null
    }
elif has brew; then
    packages=$(missing redis mariadb)
    echo "setup: installing $packages(brew)"
    # shellcheck disable=SC2086 # several packages
    brew install --quiet $packages </dev/null
else
    fail "the tests need $(missing redis-server mariadb-server)and neither apt-get nor brew is here to install them." \
        "Mend: install them with this system's package manager, so that redis-server and mariadbd are on PATH"
fi

if [ -n "$(missing redis mariadb)" ]; then
    fail "installed, but still not on PATH: $(missing redis-server mariadb-server)"
fi
