#!/usr/bin/env bash
# Reinforcement learning of the trigger: bash scripts/trigger_train.sh DATASET [k v | k=v ...]
# DATASET is a file of configs/latent_memory/ without .yaml. The same command goes on with a run that was stopped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/latent_command.sh" train run.stage=trigger run.method=grpo model.mode=learned -- "$@"
