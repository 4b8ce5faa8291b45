#!/usr/bin/env bash
# Evaluation of a checkpoint: bash scripts/eval.sh DATASET model.load_model_path FOLDER [k v | k=v ...]
# DATASET is a file of configs/latent_memory/ without .yaml; model.mode=never measures the vanilla model.
set -euo pipefail
if [[ $# -lt 1 || $1 == -* ]]; then
  sed -n '2,3s/^# //p' "$0" >&2
  exit 2
fi
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec python -m memgen.cli evaluate --cfg-path "$root/configs/latent_memory/$1.yaml" --options "${@:2}"
