#!/usr/bin/env bash
# Runs real servers into real failures and records what their metrics looked like before. See --help.
set -euo pipefail
cd "$(dirname "$0")/../.."
case " $* " in
  *" --help "*|*" -h "*|*" --build-dir "*) ;;
  *)
    deploy/install_packages.sh
    cmake --preset release >/dev/null
    cmake --build --preset release --target understudyd understudy-cli understudy-predictor-host resp_kv
    ;;
esac
exec /usr/bin/python3 -B tests/recipes/run.py "$@"
