#!/usr/bin/env bash
# Evaluate a checkpoint: bash scripts/eval.sh DATASET model.load_model_path FOLDER [k v | k=v ...]
# DATASET is the name of a file in configs/latent_memory/ without .yaml. model.mode=never evaluates the vanilla model.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/latent_command.sh" evaluate -- "$@"
