#!/usr/bin/env bash
# Evaluation of a checkpoint: bash scripts/eval.sh DATASET model.load_model_path FOLDER [k v | k=v ...]
# DATASET is a file of configs/latent_memory/ without .yaml; model.mode=never measures the vanilla model.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/latent_command.sh" evaluate -- "$@"
