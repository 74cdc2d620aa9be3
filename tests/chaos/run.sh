#!/usr/bin/env bash
# Runs chaos.py in namespaces of its own (process ids, mounts, network), so that every host, process and mount of a run is
# gone when it ends, however it ends. Needs root and /dev/net/tun; exit status 77 where these are missing.
#   tests/chaos/run.sh --minutes M --seed S [--keep] [--build DIR] [--scenario NAME] [--list]
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for tool in ip unshare setpriv nsenter mount etcd python3; do
  command -v "$tool" > /dev/null || { echo "chaos: no '$tool' here, skipped" >&2; exit 77; }
done
if [ "$(id -u)" != 0 ] || [ ! -c /dev/net/tun ] || ! unshare --mount --net --pid --fork true 2> /dev/null; then
  echo "chaos: needs root, namespaces and /dev/net/tun, skipped" >&2
  exit 77
fi

# What runs left behind that were killed outright.
for old in "${TMPDIR:-/tmp}"/us-chaos.*; do
  owner=$(cat "$old/owner" 2> /dev/null) || continue
  kill -0 "$owner" 2> /dev/null || [ -e "$old/keep" ] || rm -rf "$old"
done

folder=$(mktemp -d "${TMPDIR:-/tmp}/us-chaos.XXXXXX")
echo $$ > "$folder/owner"
mkdir -p /run/netns

# Process 1 of the namespace takes in the orphans; when it goes, the kernel ends all the others. It goes when unshare goes,
# and that when this script does, however it ends.
# shellcheck disable=SC2016
setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child --mount-proc bash -c '
  mount -t tmpfs none /run/netns && ip link set lo up && python3 "$@"
  exit $?' chaos "$here/chaos.py" --folder "$folder" "$@" &
child=$!
clean_up() {
  kill -9 "$child" 2> /dev/null
  wait "$child" 2> /dev/null
  if [ -e "$folder/keep" ]; then
    echo "chaos: logs, histories and data are in $folder"
  else
    rm -rf "$folder"
  fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
wait "$child"
