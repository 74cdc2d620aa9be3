#!/bin/bash
# Checks docs/model/log.pml with spin: every correct configuration exhaustively, without error; every NO_... switch with an
# error. Prints a table; exit status 1 when anything else comes out, 2 when it cannot run.
#
#   check.sh            about half a minute, two processes of at most 700 MiB each: what CI runs
#   check.sh --full     larger configurations as well: up to 8 GiB, one process at a time (README.md has the times)
#   check.sh --trail "-DNO_FREEZE -DMOVES=1 -DTAKEOVERS=1"
#                       prints the shortest counterexample of one configuration, step by step
set -u
here=$(cd "$(dirname "$0")" && pwd)
for tool in spin gcc; do
  command -v $tool >/dev/null || { echo "check.sh: $tool is missing (Debian packages: spin, gcc)" >&2; exit 2; }
done
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
depth=1000000
memory_mib=700

# name | switches
correct=(
  "two takeovers, two records|-DLSNS=2"
  "disks crash, one is lost|-DCRASH=1 -DLOSSES=1"
  "disks crash, one is lost, two records|-DCRASH=1 -DLOSSES=1 -DLSNS=2 -DTAKEOVERS=1"
  "four disks, one is lost|-DDISKS=4 -DLOSSES=1 -DTAKEOVERS=1"
  "a move and two takeovers|-DMOVES=1"
  "a move, edits, barriers|-DMOVES=1 -DEDITS=1 -DBARRIERS=1 -DTAKEOVERS=1"
  "a move, four disks, one is lost|-DMOVES=1 -DDISKS=4 -DLOSSES=1 -DTAKEOVERS=1"
  "a move, a reader, two records|-DMOVES=1 -DREADER=1 -DLSNS=2 -DTAKEOVERS=1"
  "barriers, one disk is lost|-DBARRIERS=1 -DLOSSES=1 -DTAKEOVERS=1 -DCRASH=1"
)
full=(
  "full: four disks, one is lost|-DDISKS=4 -DLOSSES=1"
  "full: crashes, two records|-DCRASH=1 -DLSNS=2"
  "full: a move, edits, two takeovers|-DMOVES=1 -DEDITS=1"
  "full: a move, barriers, crashes, loss|-DMOVES=1 -DBARRIERS=1 -DCRASH=1 -DLOSSES=1 -DTAKEOVERS=1"
  "full: a move, crashes, loss, two records|-DMOVES=1 -DCRASH=1 -DLOSSES=1 -DLSNS=2 -DTAKEOVERS=1"
  "full: a move, loss, two takeovers|-DMOVES=1 -DLOSSES=1"
)
# switch | configuration | what it must break
#   lost: an acknowledged record. content: a closed epoch is incomplete, or what was promised is on no disk.
#   history: an LSN acknowledged twice. applied: something that is no part of the log. barrier: of a deposed writer.
#   stuck: a takeover never ends.
broken=(
  "NO_DISK_ID|-DLOSSES=1 -DTAKEOVERS=1|lost"
  "NO_SETTLE|-DMOVES=1 -DTAKEOVERS=1|lost"
  "NO_FSYNC|-DCRASH=1 -DTAKEOVERS=1|content"
  "NO_COMMIT_OF_EPOCH|-DREADER=1|applied"
  "NO_SEAL_SYNC|-DCRASH=1 -DTAKEOVERS=1|lost"
  "NO_SEAL_ORDER|-DCRASH=1 -DTAKEOVERS=1|lost"
  "NO_SEAL_UNHEARD|-DTAKEOVERS=1|lost"
  "NO_LEAVE|-DLOSSES=1 -DTAKEOVERS=1|lost"
  "NO_NEW_T|-DLOSSES=1 -DTAKEOVERS=1|stuck"
  "NO_UNKNOWN|-DLOSSES=1 -DTAKEOVERS=1|lost"
  "NO_MAX|-DTAKEOVERS=1|lost"
  "NO_COPY|-DLOSSES=1 -DTAKEOVERS=1|content"
  "NO_LIST|-DLOSSES=1 -DTAKEOVERS=1 -DDISKS=4|content"
  "NO_APPLY_AFTER_CAS||applied"
  "NO_ACK_AFTER_CAS||lost"
  "NO_FREEZE|-DMOVES=1 -DTAKEOVERS=1|lost"
  "NO_BARRIER_FREEZE|-DMOVES=1 -DTAKEOVERS=1 -DBARRIERS=1|barrier"
  "NO_RETIRE_APPEND|-DLOSSES=1 -DTAKEOVERS=1|lost"
  "NO_RETIRE_SEAL|-DLOSSES=1 -DTAKEOVERS=1|lost"
  "NO_RETIRE_BARRIER|-DLOSSES=1 -DTAKEOVERS=1 -DBARRIERS=1|barrier"
)

# build DIR OPTIMISATION SWITCHES...
build() {
  local dir=$1 optimise=$2
  shift 2
  mkdir -p "$dir"
  (cd "$dir" && spin -a "$@" "$here/log.pml" >spin.out 2>&1 &&
    gcc "$optimise" -w -DSAFETY -DCOLLAPSE -DMEMLIM=$memory_mib ${EXTRA:-} -o pan pan.c >gcc.out 2>&1)
}

# The property that an error names, by the text of its assertion in log.pml.
property() {
  case $(grep -m1 -E '^pan:[0-9]+: ' "$1") in
    *"invalid end state"*) echo stuck ;;
    *fresh*) echo barrier ;;
    *applied*) echo applied ;;
    *"found>0"*) echo content ;;
    *"==0)"*) echo history ;;
    *acknowledged*|*"<=chain"*) echo lost ;;
    *) echo "?" ;;
  esac
}

# One line of the table into $work/N.line; $work/N.bad when it is not what it must be.
run_correct() {
  local n=$1 name=${2%%|*} switches=${2#*|} dir=$work/$1
  build "$dir" -O1 $switches || { echo "$name: spin or gcc failed" >"$dir.line"; touch "$dir.bad"; return; }
  (cd "$dir" && ./pan -m$depth >out 2>&1)
  local verdict=complete
  if grep -q 'errors: [1-9]' "$dir/out"; then
    verdict="ERROR: $(property "$dir/out")"
  elif ! grep -q 'errors: 0' "$dir/out" ||
    grep -qE 'Search not completed|max search depth too small|out of memory|truncated|aborted' "$dir/out"; then
    verdict="NOT COMPLETE"
  fi
  grep -q 'Full statespace search' "$dir/out" || verdict="NOT RUN"
  [ "$verdict" = complete ] || touch "$dir.bad"
  printf '%-42s %12s states  depth %6s  %5s MiB %5s s  %s\n' "$name" "$(sed -nE 's/^ *([0-9]+) states, stored.*/\1/p' "$dir/out")" \
    "$(sed -nE 's/.*depth reached ([0-9]+),.*/\1/p' "$dir/out")" \
    "$(sed -nE 's/^ *([0-9]+)\.[0-9]+\ttotal actual memory usage.*/\1/p' "$dir/out")" \
    "$(sed -nE 's/^pan: elapsed time ([0-9]+).*/\1/p' "$dir/out")" "$verdict" >"$dir.line"
  rm -rf "$dir"
}

run_broken() {
  local n=$1 switch rest switches wanted dir=$work/$1 broke=nothing
  IFS='|' read -r switch switches wanted <<<"$2"
  build "$dir" -O0 "-D$switch" $switches || { echo "$switch: spin or gcc failed" >"$dir.line"; touch "$dir.bad"; return; }
  local no_stuck=-E  # end states count only where being stuck is the point
  [ "$wanted" = stuck ] && no_stuck=
  (cd "$dir" && ./pan -m$depth $no_stuck >out 2>&1)
  if grep -q 'errors: [1-9]' "$dir/out"; then broke=$(property "$dir/out"); fi
  [ "$broke" = "$wanted" ] || { touch "$dir.bad"; broke="$broke, not $wanted"; }
  printf '%-20s %-42s breaks: %s\n' "$switch" "$switches" "$broke" >"$dir.line"
  rm -rf "$dir"
}

if [ "${1:-}" = --trail ]; then
  [ $# -eq 2 ] || { sed -n '2,9p' "$0"; exit 2; }
  memory_mib=4000
  EXTRA=-DREACH build "$work/trail" -O1 $2 || { cat "$work"/trail/*.out; exit 2; }
  cd "$work/trail" && ./pan -m100000 -i >out 2>&1
  ls ./*.trail >/dev/null 2>&1 || { echo "no error"; exit 0; }
  spin -T -k ./*.trail $2 "$here/log.pml" | sed '/^#processes/,$d' 
  exit 1
elif [ $# -gt 0 ] && [ "$1" != --full ]; then
  sed -n '2,9p' "$0"
  exit 2
fi

slots=2
start=$SECONDS
n=0
# runs "$@" in the background, at most $slots at a time
spawn() {
  while [ "$(jobs -rp | wc -l)" -ge $slots ]; do wait -n; done
  "$@" &
}
for row in "${broken[@]}"; do spawn run_broken $((n++)) "$row"; done
for row in "${correct[@]}"; do spawn run_correct $((n++)) "$row"; done
wait
if [ "${1:-}" = --full ]; then
  slots=1 memory_mib=8000
  for row in "${full[@]}"; do spawn run_correct $((n++)) "$row"; done
  wait
fi

for ((k = ${#broken[@]}; k < n; k++)); do cat "$work/$k.line"; done
for ((k = 0; k < ${#broken[@]}; k++)); do cat "$work/$k.line"; done
bad=$(find "$work" -name '*.bad' | wc -l)
lines=$(find "$work" -name '*.line' | wc -l)
echo "$lines checks in $((SECONDS - start)) s, $bad of them wrong"
[ "$bad" -eq 0 ] && [ "$lines" -eq "$n" ]
