#!/bin/bash
# Installs the database servers that the demo, the tests and the benchmarks run on, where they are missing:
#   - MariaDB (server and client programs) from this machine's own Debian sources;
#   - MySQL server, client and router from Debian's unstable suite, unpacked with their own libraries into a
#     prefix of their own: the rest of the machine stays on the suite it has.
# Safe to run again: what is there is left alone, and a run with nothing to do takes a few milliseconds.
#
#   tests/engines/install.sh [--bench] [--no-mariadb] [--no-mysql]
#     --bench       also what the benchmarks compare with: haproxy and sysbench
#     --no-mariadb  leave MariaDB out;  --no-mysql  leave MySQL out
#   SHARDGATE_ENGINES        where the prefix goes (default ~/.cache/shardgate/engines)
#   SHARDGATE_DEBIAN_MIRROR  the Debian mirror (default: the one in this machine's apt sources)
#
# A machine that cannot have MySQL is no failure: the reason goes to the file mysql.unavailable beside the
# prefix, the exit code stays 0, and the tests say that half of the matrix was left out.
set -euo pipefail

readonly ENGINES="${SHARDGATE_ENGINES:-$HOME/.cache/shardgate/engines}"
readonly PREFIX="$ENGINES/mysql"
readonly UNAVAILABLE="$ENGINES/mysql.unavailable"
# Raise this when the layout of the prefix or a wrapper changes: older prefixes are then replaced.
readonly LAYOUT=1
readonly PROGRAMS=(mysqld mysql mysqladmin mysqlbinlog mysqldump mysqlslap mysqlrouter)

say() { printf 'engines: %s\n' "$*"; }
warn() { printf 'engines: %s\n' "$*" >&2; }

main() {
    local bench=no mariadb=yes mysql=yes argument
    for argument in "$@"; do
        case "$argument" in
            --bench) bench=yes ;;
            --no-mariadb) mariadb=no ;;
            --no-mysql) mysql=no ;;
            *) warn "unknown argument '$argument' (known: --bench, --no-mariadb, --no-mysql)"; exit 2 ;;
        esac
    done
    # /usr/sbin is not in everybody's PATH, and servers live there.
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    if [ "$mariadb" = yes ]; then install_mariadb; fi
    if [ "$bench" = yes ]; then install_bench_tools; fi
    if [ "$mysql" = yes ]; then install_mysql; fi
}

# --- packages of this machine's own suite ---------------------------------------------------------------

install_mariadb() {
    if command -v mariadbd >/dev/null && command -v mariadb >/dev/null; then return; fi
    # The core packages hold the programs without a system service, so nothing starts to listen on 3306.
    install_packages "MariaDB" mariadb-server-core mariadb-client
    say "MariaDB is ready: $(mariadbd --version)"
}

install_bench_tools() {
    if command -v haproxy >/dev/null && command -v sysbench >/dev/null; then return; fi
    install_packages "the benchmark tools" haproxy sysbench
}

# install_packages WHAT PACKAGE...
install_packages() {
    local what="$1"; shift
    local -a become=()
    if ! command -v apt-get >/dev/null; then
        warn "$what is missing and this machine has no apt-get: please install it ($*) and try again"
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null && [ ! -t 0 ]; then
            warn "$what is missing; as root, run: apt-get install --no-install-recommends $*"
            exit 1
        fi
        become=(sudo)
    fi
    say "installing $what ($*)"
    "${become[@]}" apt-get -q -o Acquire::Retries=3 update >/dev/null || warn "apt-get update failed; trying with the lists at hand"
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 \
        install --no-install-recommends "$@" >/dev/null
}

# --- MySQL in a prefix of its own ------------------------------------------------------------------------

install_mysql() {
    if [ "$(cat "$PREFIX/.layout" 2>/dev/null)" = "$LAYOUT" ] && [ -x "$PREFIX/bin/mysqld" ]; then
        rm -f "$UNAVAILABLE"
        return
    fi
    mkdir -p "$ENGINES"
    # Two runs at once would do the same work twice; the second waits here and finds it done.
    exec 9>"$ENGINES/.lock"
    if command -v flock >/dev/null; then flock 9; fi
    if [ "$(cat "$PREFIX/.layout" 2>/dev/null)" = "$LAYOUT" ]; then return; fi

    local reason
    reason="$(mktemp)"
    STAGE="$(mktemp -d "$ENGINES/.mysql.XXXXXX")"
    trap 'rm -rf "$STAGE"' EXIT
    say "fetching MySQL from Debian unstable into $PREFIX (about 60 MB)"
    # In a subshell of its own, because `set -e` does not reach a function that is called in a condition.
    set +e
    ( set -e; build_prefix "$STAGE" ) 2>"$reason"
    local status=$?
    set -e
    if [ "$status" != 0 ]; then
        mysql_unavailable "$(tail -n 5 "$reason")"
        rm -f "$reason"
        return
    fi
    rm -f "$reason" "$UNAVAILABLE"
    rm -rf "$PREFIX"
    mv "$STAGE/prefix" "$PREFIX"
    say "MySQL is ready: $("$PREFIX/bin/mysqld" --version)"
}

mysql_unavailable() {
    printf '%s\n' "$1" >"$UNAVAILABLE"
    warn "*********************************************************************************"
    warn "MySQL could not be installed: HALF OF THE ENGINE MATRIX IS LEFT OUT. The reason:"
    warn "$1"
    warn "*********************************************************************************"
}

# build_prefix STAGE: makes STAGE/prefix; a message on stderr and a failure when it cannot.
build_prefix() {
    local stage="$1" tool
    for tool in apt-get dpkg; do
        command -v "$tool" >/dev/null || { echo "this machine has no $tool" >&2; return 1; }
    done
    mkdir -p "$stage"/{state/lists/partial,cache/archives/partial,debs,prefix/bin}
    # An empty status file: nothing of this machine counts as installed, so the whole closure is fetched.
    : >"$stage/status"
    printf 'deb %s %s unstable main\n' "$(signed_by)" "$(debian_mirror)" >"$stage/sources.list"

    private_apt "$stage" update >/dev/null
    local -a packages
    mapfile -t packages < <(closure "$stage")
    if [ "${#packages[@]}" -lt 10 ]; then
        echo "Debian unstable at this mirror has no installable mysql-server-core" >&2
        return 1
    fi
    (cd "$stage/debs" && private_apt "$stage" download "${packages[@]}" >/dev/null)
    local deb
    for deb in "$stage"/debs/*.deb; do dpkg -x "$deb" "$stage/prefix"; done
    rm -rf "$stage"/prefix/usr/share/{doc,man,gdb,lintian,locale,bug,gcc} "$stage/prefix/etc"

    local program
    for program in "${PROGRAMS[@]}"; do write_wrapper "$stage/prefix" "$program"; done
    # What cannot run is not installed.
    "$stage/prefix/bin/mysqld" --version >/dev/null
    "$stage/prefix/bin/mysql" --version >/dev/null
    echo "$LAYOUT" >"$stage/prefix/.layout"
}

private_apt() {
    local stage="$1"; shift
    apt-get -q \
        -o Dir::Etc::SourceList="$stage/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State="$stage/state" -o Dir::State::status="$stage/status" \
        -o Dir::Cache="$stage/cache" \
        -o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache=srcpkgcache.bin \
        -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o APT::Sandbox::User="$(id -un)" -o APT::Update::Post-Invoke::= -o APT::Install-Recommends=false \
        "$@"
}

# Names of the packages to unpack: what apt would install, less Perl, which only the packages' scripts use.
closure() {
    private_apt "$1" --simulate install mysql-server-core mysql-client-core mysql-router |
        awk '$1 == "Inst" { print $2 }' | grep -vE '^(perl|libperl|libdb5|libgdbm|gcc-)'
}

# The mirror this machine already uses for Debian itself.
debian_mirror() {
    if [ -n "${SHARDGATE_DEBIAN_MIRROR:-}" ]; then echo "$SHARDGATE_DEBIAN_MIRROR"; return; fi
    local mirror
    # Column 2 is the label: security archives carry another and have no unstable suite. Before the first
    # `apt-get update` no label is known, so the sources themselves are read then.
    mirror="$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "Debian" { print $1; exit }')"
    if [ -z "$mirror" ]; then
        mirror="$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
            grep -E '^(URIs:|deb )' | grep -oE '[a-z+]+://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ')"
    fi
    if [ -z "$mirror" ]; then
        echo "no Debian mirror in this machine's apt sources; name one in SHARDGATE_DEBIAN_MIRROR" >&2
        return 1
    fi
    echo "$mirror"
}

signed_by() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    if [ -r "$keyring" ]; then echo "[signed-by=$keyring]"; fi
}

# write_wrapper PREFIX PROGRAM: a script that runs the program with the prefix's own loader and libraries.
# Paths are worked out when it runs, so that the finished prefix can be renamed into place.
write_wrapper() {
    local prefix="$1" program="$2" binary loader libraries
    binary="$(cd "$prefix" && find usr/sbin usr/bin -maxdepth 1 -name "$program" | head -n 1)"
    if [ -z "$binary" ]; then echo "the packages have no $program" >&2; return 1; fi
    loader="$(cd "$prefix" && find usr/lib usr/lib64 -name 'ld-linux*.so.*' | head -n 1)"
    libraries="\$prefix/$(dirname "$loader"):\$prefix/usr/lib/mysql-router:\$prefix/usr/lib/mysqlrouter/plugin"
    {
        echo '#!/bin/sh'
        echo "# Written by tests/engines/install.sh."
        echo 'prefix="$(dirname "$(dirname "$(readlink -f "$0")")")"'
        case "$program" in
            mysqld)
                # The server takes --no-defaults and its like only as its very first argument.
                echo 'case "${1:-}" in --no-defaults|--defaults-*|--print-defaults) first="$1"; shift ;; *) first="" ;; esac'
                echo "set -- \${first:+\"\$first\"} --basedir=\"\$prefix/usr\" --lc-messages-dir=\"\$prefix/usr/share/mysql\" \\"
                echo "    --character-sets-dir=\"\$prefix/usr/share/mysql/charsets\" --plugin-dir=\"\$prefix/usr/lib/mysql/plugin\" \\"
                # Debian's built-in default is a directory that exists only where the package is installed.
                echo "    --secure-file-priv=NULL \"\$@\""
                ;;
            mysqlrouter)
                echo "set -- \"\$@\" --DEFAULT.plugin_folder=\"\$prefix/usr/lib/mysqlrouter/plugin\""
                ;;
        esac
        echo "export OPENSSL_MODULES=\"\$prefix/$(dirname "$loader")/ossl-modules\""
        echo "exec \"\$prefix/$loader\" --argv0 \"\$0\" --library-path \"$libraries\" \"\$prefix/$binary\" \"\$@\""
    } >"$prefix/bin/$program"
    chmod 755 "$prefix/bin/$program"
}

main "$@"
