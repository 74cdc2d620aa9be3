#!/usr/bin/env bash
# Other systems on this machine, beside understudy in the same run. Installs them (Debian packages); see --help of peers.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
case " $* " in
  *" --help "*|*" -h "*) exec /usr/bin/python3 -B tests/bench/peers.py --help ;;
esac
deploy/install_packages.sh
tests/bench/install_peers.sh
case " $* " in
  *" --build-dir "*) exec /usr/bin/python3 -B tests/bench/peers.py "$@" ;;  # programs that are there already
esac
cmake --preset release >/dev/null
cmake --build --preset release -j "$(nproc)" --target \
  understudyd understudy-cli understudy-predictor-host resp_kv predictor_threshold floor peer_load
exec /usr/bin/python3 -B tests/bench/peers.py --build-dir build "$@"
