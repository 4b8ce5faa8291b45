#!/usr/bin/env bash
# Trains a memory agent end to end: data, policy, warm start, GRPO, a before/after table.
#
#   ./run_training_container.sh [LOCOMO.json] [--profile local|cluster] [--dry-run] [-- hydra.key=value ...]
#
# Without a GPU: a venv in this folder, a tiny policy, a corpus that the project generates (or LOCOMO_JSON, or the file
# given). With a GPU, or inside the image of docker/Dockerfile: the cluster profile, Qwen2.5-3B-Instruct on LoCoMo; for
# several nodes start Ray on them and set RAY_ADDRESS. MEMUPDATE_PROFILE, MEMUPDATE_VENV and MEMUPDATE_RUNS set the
# profile, the venv's folder and the folder of runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source docker/install.sh

usage() { sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

profile=${MEMUPDATE_PROFILE:-}
arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) usage; exit 0 ;;
    --profile) profile=${2:?--profile needs local or cluster}; shift 2 ;;
    --dry-run) arguments+=(--dry-run); shift ;;
    --) break ;;
    -*) echo "run_training_container.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
    *) arguments+=(--locomo "$1"); shift ;;
  esac
done

if [ -z "$profile" ]; then
  if has_gpu; then profile=cluster; else profile=local; fi
fi

if [ "${MEMUPDATE_IMAGE:-0}" = 1 ]; then
  python=python3 # the image holds everything
else
  install_into "${MEMUPDATE_VENV:-.venv}" run
  python=${MEMUPDATE_VENV:-.venv}/bin/python
fi

exec "$python" -m memupdate run --profile "$profile" --runs "${MEMUPDATE_RUNS:-runs}" ${arguments[@]+"${arguments[@]}"} "$@"
