#!/bin/sh
# Writes what iproute2 sends for the commands in cases.txt: `tests/netlink/capture.sh > tests/netlink/iproute2.txt`.
# Needs root, strace and tc; the kernel may refuse the messages, their bytes count. The empty namespace has `lo` as device 1.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" != inside ]; then
    echo "# made by tests/netlink/capture.sh with $(tc -V)"
    exec unshare -n "$0" inside
fi
trace=$(mktemp)
while read -r name command; do
    case $name in ''|'#'*) continue ;; esac
    # shellcheck disable=SC2086
    strace -e trace=sendmsg -e write=all -o "$trace" tc $command >/dev/null 2>&1 || true
    echo "$name $command"
    # Lines of the hex dump are ` | 00010  00 00 ...  text |`.
    sed -n 's/^ | [0-9a-f]*  \(.\{48\}\).*/\1/p' "$trace" | tr -d ' \n'
    echo
done < "$here/cases.txt"
rm -f "$trace"
