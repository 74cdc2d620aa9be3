#!/usr/bin/env bash
# Every benchmark beside its floor, in one table. See --help of run.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
case " $* " in
  *" --help "*|*" -h "*) exec /usr/bin/python3 -B tests/bench/run.py --help ;;
esac
deploy/install_packages.sh
cmake --preset release >/dev/null
cmake --build --preset release -j "$(nproc)" --target \
  understudyd understudy-cli understudy-predictor-host resp_kv predictor_threshold floor replay_floor
exec /usr/bin/python3 -B tests/bench/run.py --build-dir build "$@"
