#!/usr/bin/env bash
# Train the trigger by reinforcement learning: bash scripts/trigger_train.sh DATASET [k v | k=v ...]
# DATASET is the name of a file in configs/latent_memory/ without .yaml. Run the same command to continue a stopped run.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/latent_command.sh" train run.stage=trigger run.method=grpo model.mode=learned -- "$@"
