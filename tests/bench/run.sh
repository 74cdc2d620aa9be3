#!/usr/bin/env bash
# Every benchmark beside its floor, in one table. See --help of run.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
case " $* " in
  *" --help "*|*" -h "*) exec /usr/bin/python3 -B tests/bench/run.py --help ;;
esac
deploy/install_packages.sh
case " $* " in
  *" --peers "* | *" --peers-quick "*) tests/bench/install_peers.sh ;;
esac
case " $* " in
  *" --build-dir "*) exec /usr/bin/python3 -B tests/bench/run.py "$@" ;;  # programs that are there already
esac
cmake --preset release >/dev/null
cmake --build --preset release -j "$(nproc)" --target \
  understudyd understudy-cli understudy-predictor-host resp_kv predictor_threshold floor replay_floor peer_load
exec /usr/bin/python3 -B tests/bench/run.py --build-dir build "$@"
