#!/usr/bin/env bash
# Reinforcement learning of the trigger: bash scripts/trigger_train.sh DATASET [k v | k=v ...]
# DATASET is a file of configs/latent_memory/ without .yaml. The same command goes on with a run that was stopped.
set -euo pipefail
if [[ $# -lt 1 || $1 == -* ]]; then
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
fi
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
trigger=(run.stage=trigger run.method=grpo model.mode=learned)
exec python -m memgen.cli train --cfg-path "$root/configs/latent_memory/$1.yaml" --options "${trigger[@]}" "${@:2}"
