#!/usr/bin/env bash
# Installs what the tests need and this machine lacks. Says nothing when nothing is missing.
# The tests that need these programs also need root; the others run without them.
set -euo pipefail

# program:package
needs=(
    ip:iproute2 bridge:iproute2 iptables:iptables nft:nftables modprobe:kmod fping:fping
    shellcheck:shellcheck promtool:prometheus # for deploy.sh and the alert rules
    chromium:chromium npm:npm # for the page
    gcc:gcc # for the race detector, together with the C library's headers
)

PATH=$PATH:/usr/sbin:/sbin
packages=()
for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || packages+=("${need##*:}")
done
[[ -e /usr/include/stdlib.h ]] || packages+=(libc6-dev)

# What the tests of the page judge accessibility by; its version is in the lock file.
axe() {
    local dir
    dir=$(dirname "$0")/web/testdata/axe
    [[ $dir/node_modules/axe-core/axe.min.js -nt $dir/package-lock.json ]] && return
    command -v npm >/dev/null || return 0
    npm --prefix "$dir" ci --ignore-scripts --no-audit --no-fund --silent
    touch "$dir/node_modules/axe-core/axe.min.js"
}

((${#packages[@]})) || { axe; exit 0; }

missing=$(printf '%s\n' "${packages[@]}" | sort -u | tr '\n' ' ')
if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    echo "missing for some tests, which will be skipped or run without the race detector: ${missing% }" \
        "(as root on Debian: apt-get install ${missing% })"
    exit 0
fi

echo "installing ${missing% }"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of words
if ! { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt-get could not install ${missing% }" >&2
    exit 1
fi
axe
