#!/bin/bash
# Installs what deploy/packages.txt lists, on Debian 12. Does nothing, and needs neither root nor a network, when all of it is there.
#   --list   print the packages, one a line
#   --check  print what is missing; exit status 1 when anything is
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mapfile -t packages < <(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$here/packages.txt")

missing=()
for package in "${packages[@]}"; do
  # grep without -q: it reads to the end, so that dpkg-query does not die of SIGPIPE under pipefail.
  dpkg-query -W -f='${db:Status-Abbrev}\n' "$package" 2>/dev/null | grep '^ii' >/dev/null || missing+=("$package")
done

case "${1:-}" in
  --list) printf '%s\n' "${packages[@]}"; exit 0 ;;
  --check) [ ${#missing[@]} -eq 0 ] || { printf '%s\n' "${missing[@]}"; exit 1; }; exit 0 ;;
  "") ;;
  *) echo "install_packages.sh: unknown option '$1' (--list, --check, or none)" >&2; exit 2 ;;
esac

[ ${#missing[@]} -eq 0 ] && exit 0
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install_packages.sh: not root and no sudo; install them yourself: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
# A tool that came another way (a newer cmake in /usr/local, say) stays; Debian's is added beside it.
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q
"${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"
