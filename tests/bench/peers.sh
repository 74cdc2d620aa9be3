#!/usr/bin/env bash
# Other systems on this machine, beside understudy in the same run. Installs them (Debian packages); see --help of peers.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
case " $* " in
  *" --help "*|*" -h "*) exec /usr/bin/python3 -B tests/bench/peers.py --help ;;
esac
deploy/install_packages.sh
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
cmake --preset release >/dev/null
cmake --build --preset release -j "$(nproc)" --target \
  understudyd understudy-cli understudy-predictor-host resp_kv predictor_threshold floor peer_load
exec /usr/bin/python3 -B tests/bench/peers.py --build-dir build "$@"
