#!/usr/bin/env bash
# Training of the weaver, run.method=sft or grpo: bash scripts/weaver_train.sh DATASET [k v | k=v ...]
# DATASET is a file of configs/latent_memory/ without .yaml. The same command goes on with a run that was stopped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/latent_command.sh" train -- "$@"
