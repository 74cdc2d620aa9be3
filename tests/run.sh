#!/usr/bin/env bash
# Installs what the build needs, builds, and runs every test. On a fresh Debian 12, as root or with sudo.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: tests/run.sh [PRESET] [CTEST ARGUMENTS...]

  PRESET   release (default), asan or tsan: how the code is built
  the rest is handed to ctest, for example: tests/run.sh release -R replica

UNDERSTUDY_SIM_MINUTES (default 2) is how long the simulator hunts: 0.1 for a quick round.

Installs missing packages (deploy/packages.txt), configures, builds, runs the tests. Exit status 0 only if all passed and, with
asan or tsan, no process that a test started was reported.
TEXT
}

case "${1:-}" in
  -h|--help) usage; exit 0 ;;
esac
preset=release
case "${1:-}" in
  release|asan|tsan) preset=$1; shift ;;
esac

cd "$(dirname "$0")/.."
deploy/install_packages.sh
cmake --preset "$preset"
cmake --build --preset "$preset" -j "$(nproc)"
# Tests start servers and applications of their own and bind ports they are given, so they may run side by side; those
# that fill the machine say RUN_SERIAL.
if [ "$preset" = release ]; then
  exec ctest --preset "$preset" -j "$(nproc)" --no-tests=error "$@"
fi
# A server that a sanitizer ended is replaced as after any crash, so that a test of the whole cluster may pass all the same.
reports=$PWD/build/$preset/reports
rm -rf "$reports"
mkdir "$reports"
export ASAN_OPTIONS=log_path=$reports/asan UBSAN_OPTIONS=log_path=$reports/ubsan:print_stacktrace=1
export TSAN_OPTIONS=log_path=$reports/tsan:suppressions=$PWD/tests/tsan.supp
status=0
ctest --preset "$preset" -j "$(nproc)" --no-tests=error "$@" || status=$?
for report in "$reports"/*; do
  [ -e "$report" ] || break  # none
  cat "$report"
  status=1
done
exit "$status"
