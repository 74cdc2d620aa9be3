#!/bin/bash
# Four key-value services and one spare on this machine, under load: three are moved off before a memory leak, an exhaustion
# of file descriptors and a creeping disk end them, one is killed and taken over, one is left alone. No acknowledged write may
# be lost, and the exit status says whether one was.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

usage() {
  cat <<'END'
usage: deploy/demo.sh [options]

  --summary FILE   write the result as JSON
  --predictor NAME who forecasts: threshold (default), gbt (a model trained on recorded failures), or trend (growth)
  --no-install     do not install Debian packages (they are only installed when some are missing)
  --no-build       use the programs in the build folder as they are
  --build-dir DIR  build folder (default: build)
  --data-dir DIR   where the demo keeps its data (default: a new folder inside the build folder, removed at the end)
  --keep           leave the data, with the logs of all processes, when it ends
  --help           print this

Exit status: 0 when all four moves happened as they should, the fourth service was never touched, and every acknowledged
write could be read back; 1 otherwise; 2 for a wrong command line.
END
}

install=yes build=yes build_dir=$root/build arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --help|-h) usage; exit 0 ;;
    --no-install) install=no ;;
    --no-build) build=no ;;
    --build-dir) [ $# -ge 2 ] || { echo "demo.sh: --build-dir needs a folder" >&2; exit 2; }; build_dir=$2; shift ;;
    --summary|--data-dir|--predictor) [ $# -ge 2 ] || { echo "demo.sh: $1 needs a value" >&2; exit 2; }; arguments+=("$1" "$2"); shift ;;
    --keep) arguments+=("$1") ;;
    *) echo "demo.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

[ "$install" = no ] || "$here/install_packages.sh"
if [ "$build" = yes ]; then
  echo "Building ..."
  (cd "$root" && cmake --preset release -B "$build_dir" >/dev/null &&
    cmake --build "$build_dir" --target understudyd understudy-cli understudy-predictor-host resp_kv resp_check predictor_threshold predictor_trend predictor_gbt)
fi
# Debian's own Python: nothing but its standard library is used.
exec /usr/bin/python3 -B "$here/demo.py" --build-dir "$build_dir" "${arguments[@]}"
