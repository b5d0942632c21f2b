#!/usr/bin/env bash
# All that is measured on a GPU, in under ten minutes: tests on the device, kernels and steps beside PyTorch, as JSON
# in $OUT (or bench/results). Without a GPU, `DEVICE=cuda-sim bench/gpu.sh` rehearses it at small sizes.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" -m rawgan.bench.gpu
