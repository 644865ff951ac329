#!/usr/bin/env bash
# Runs the tests under several Pythons, with the lowest and with the newest dependencies that pyproject.toml allows.
#
#   tests/matrix.sh 3.11-lowest 3.13-newest [-- arguments of pytest]
#
# Needs uv, which finds or fetches each Python. Environments stay in .matrix/, about 8 GB each with torch's CUDA packages.
# "lowest" is the lowest version of each direct dependency; what only the tests need is newest that goes with them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

variants=()
while [ $# -gt 0 ] && [ "$1" != "--" ]; do variants+=("$1"); shift; done
[ $# -gt 0 ] && shift
arguments=("$@")
[ ${#arguments[@]} -gt 0 ] || arguments=(-n 2)

install() { # python, resolution, environment
  uv venv --quiet --clear --python "$1" "$3" || return 1
  case "$2" in
    lowest)
      VIRTUAL_ENV="$3" uv pip install --quiet --resolution lowest-direct -e . || return 1
      VIRTUAL_ENV="$3" uv pip freeze --exclude-editable >"$3/lowest.txt" || return 1
      VIRTUAL_ENV="$3" uv pip install --quiet --constraint "$3/lowest.txt" -e '.[dev]' ;;
    newest) VIRTUAL_ENV="$3" uv pip install --quiet --resolution highest -e '.[dev]' ;;
    *) echo "matrix: '$2' is neither lowest nor newest" >&2; return 1 ;;
  esac
}

failed=0
results=()
for variant in "${variants[@]}"; do
  python=${variant%%-*}
  resolution=${variant#*-}
  environment="$PWD/.matrix/$variant"
  mkdir -p .matrix
  echo "== $variant"
  if ! install "$python" "$resolution" "$environment"; then
    results+=("$variant: could not be installed")
    failed=1
    continue
  fi
  OMP_NUM_THREADS=1 "$environment/bin/python" -m pytest -p no:cacheprovider "${arguments[@]}" 2>&1 | tee ".matrix/$variant.log"
  status=${PIPESTATUS[0]}
  [ "$status" = 0 ] || failed=1
  results+=("$variant: exit code $status, $(grep -E '(passed|failed|error|no tests ran)' ".matrix/$variant.log" | tail -n 1)")
done
printf '%s\n' "== results" "${results[@]}"
exit "$failed"
