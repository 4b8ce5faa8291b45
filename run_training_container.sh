#!/usr/bin/env bash
# Trains a memory agent end to end: data, policy, warm start, GRPO, and a before/after table.
#
#   ./run_training_container.sh [LOCOMO.json] [--profile local|cluster] [--max-hours H] [--dry-run] [-- hydra.key=value ...]
#
# Without a GPU it uses the local profile with a tiny policy. With a GPU it uses the cluster profile with
# Qwen2.5-3B-Instruct; for several nodes, start Ray on them and set RAY_ADDRESS. The corpus is the given file, or
# $LOCOMO_JSON, or a generated one. Outside the image of docker/Dockerfile, it installs into a venv in this folder.
# MEMUPDATE_PROFILE, MEMUPDATE_VENV and MEMUPDATE_RUNS set the profile, the venv's folder and the folder of runs.
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
    --max-hours) arguments+=(--max-hours "${2:?--max-hours needs a number}"); shift 2 ;;
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
  python=python3 # the image has everything installed
else
  install_into "${MEMUPDATE_VENV:-.venv}" run
  python=${MEMUPDATE_VENV:-.venv}/bin/python
fi

exec "$python" -m memupdate run --profile "$profile" --runs "${MEMUPDATE_RUNS:-runs}" ${arguments[@]+"${arguments[@]}"} "$@"
