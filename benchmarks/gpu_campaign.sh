#!/bin/sh
# The GPU campaign on a machine that reaches no network (docs/experiments/gpu-campaign.md):
#     sh benchmarks/gpu_campaign.sh --minutes 12 --out "$OUT"
# Installs the wheels that were carried along in .campaign/wheels, if any, and runs.
set -eu
cd "$(dirname "$0")/.."
if ls .campaign/wheels/*.whl >/dev/null 2>&1; then
  "${PYTHON:-python3}" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target .campaign/site .campaign/wheels/*.whl || echo "the wheels could not be installed: going on without" >&2
  PYTHONPATH="$PWD/.campaign/site${PYTHONPATH:+:$PYTHONPATH}"
  export PYTHONPATH
fi
export PYTHONUNBUFFERED=1
exec "${PYTHON:-python3}" benchmarks/gpu_campaign.py run "$@"
