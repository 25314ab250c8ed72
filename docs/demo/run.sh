#!/usr/bin/env bash
# The main job, end to end, on a checkpoint made the way a user would have made it. Run it with `make demo`.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model='docs/demo/model.py:LanguageModel'
args='{width: 64, depth: 4}'

run() {
  expected=$1; shift
  printf '\n$'
  for word in "${@//$work\//}"; do
    case $word in *[\ \{]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
  done
  printf '\n'
  code=0
  output=$("$@" 2>&1) || code=$?
  printf '%s\n' "${output//$work\//}"
  if [ "$code" != "$expected" ]; then echo "exit code $code, expected $expected" >&2; exit 1; fi
}

echo "# A checkpoint of last year: DataParallel, optimizer and a config object in it."
python docs/demo/legacy/train.py "$work/legacy.pt"
run 0 ckptlint inspect "$work/legacy.pt"
echo; echo "# Does it fit this year's model?"
run 1 ckptlint lint "$work/legacy.pt" --model "$model" --args "$args"
run 0 ckptlint explain CKK101
echo; echo "# What the migration does, proved from the header alone."
run 0 ckptlint prove -m docs/demo/migration.yaml --source "$work/legacy.pt" --target "$model" --args "$args"
run 0 ckptlint migrate "$work/legacy.pt" -m docs/demo/migration.yaml -o "$work/new.pt" --dry-run
run 0 ckptlint migrate "$work/legacy.pt" -m docs/demo/migration.yaml -o "$work/new.pt" --model "$model" --args "$args"
run 0 ckptlint lint "$work/new.pt" --model "$model" --args "$args"
echo; echo "# And torch agrees."
run 0 python docs/demo/load.py "$work/legacy.pt" "$work/new.pt"
