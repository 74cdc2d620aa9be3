#!/usr/bin/env bash
# The systems that peers.py measures, from Debian's packages. Does nothing when they are there.
set -euo pipefail
packages=(etcd-server redis-server redis-sentinel postgresql-15 patroni python3-etcd python3-psycopg2 nats-server)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${db:Status-Abbrev}\n' "$package" 2>/dev/null | grep '^ii' >/dev/null || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  # Debian may start some of them with settings and ports of its own: they are idle, and none of ours.
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
fi
