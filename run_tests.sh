#!/usr/bin/env bash
# Installs what the tests need and runs them: lint, types, then pytest.
#   ./run_tests.sh                  everything, as CI does
#   ./run_tests.sh quick            leaves out the integration tests that are marked slow
#   ./run_tests.sh tests/unit -n 2  pytest with these arguments; this one takes a minute and starts no Ray
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source docker/install.sh
venv=${MEMUPDATE_VENV:-.venv}
install_into "$venv" test
export PATH="$PWD/$venv/bin:$PATH" OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false RAY_USAGE_STATS_ENABLED=0 WANDB_MODE=offline HF_HUB_OFFLINE=1
ruff check .
ruff format --check .
mypy
integration=(tests/integration)
if [ "${1:-}" = quick ] && [ $# = 1 ]; then
  integration+=(-m "not slow")
elif [ $# -gt 0 ]; then
  exec python -m pytest "$@"
fi
python -m pytest -n 2 tests/unit
exec python -m pytest "${integration[@]}"
