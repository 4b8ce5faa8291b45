"""A run of reinforcement learning: it checks and writes questions, builds verl's config and starts the trainer."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from memgen.base.chat import prompt_ids
from memgen.data.questions import QUESTIONS, Question
from memgen.methods import method_of
from memgen.sections import Settings
from memupdate.errors import FieldError
from memupdate.platform import config as run_config
from memupdate.platform.checking.run import check_run
from memupdate.platform.stages import TrainingProgress, run_stage
from memupdate.platform.stopping import STOP_FILE

logger = logging.getLogger(__name__)

CONFIG = "latent_grpo"
# For each loss type: verl's loss_agg_mode, and whether advantages are divided by the standard deviation of the group.
LOSSES = {
    "grpo": ("seq-mean-token-mean", True),
    "bnpo": ("token-mean", True),
    "dr_grpo": ("seq-mean-token-sum-norm", False),
}
# For each dtype of the run: the dtype of the rollout server, and the largest log-prob difference due to rounding.
# In float64 the shape of a batch cannot change a sampled token, so a run can be repeated exactly.
PRECISIONS = {"fp32": ("float64", 1e-4), "bf16": ("bfloat16", 1e-1)}


def check_questions(
    settings: Settings,
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    train: list[Question],
    valid: list[Question],
) -> int:
    """Checks that there are enough questions and that an answer to each can be generated.

    Args:
        settings: the run's settings.
        config: the model's config.
        tokenizer: the model's tokenizer.
        train: the questions to train on.
        valid: the questions to validate on; may be empty.

    Returns:
        Number of ids in the longest prompt.

    Raises:
        FieldError: there are fewer training questions than one batch, or the method rejects a prompt.
    """
    grpo = settings.run.grpo
    if len(train) < grpo.batch_size:
        raise FieldError(
            "dataset.train_file", f"{len(train)} questions", f"at least run.grpo.batch_size, {grpo.batch_size}"
        )
    prompts = [prompt_ids(tokenizer, question.messages) for question in train + valid]
    method_of(settings.model.method).check_prompts(config, prompts, grpo.max_new_tokens)
    return max(map(len, prompts))


def train_policy(
    settings: Settings,
    initial: Path,
    most_latents: int,
    longest_prompt: int,
    train: list[Question],
    valid: list[Question],
) -> Path:
    """Trains in a separate process. If an earlier call was stopped, training continues from its last checkpoint.

    Args:
        settings: the run's settings.
        initial: folder of the model that training starts from, inside the run's folder.
        most_latents: maximum number of latents in a response.
        longest_prompt: number of ids in the longest prompt, from :func:`check_questions`.
        train: the questions to train on.
        valid: the questions to validate on; may be empty.

    Returns:
        Folder of the trained model: ``model/`` next to ``initial``.

    Raises:
        StageError: a training process failed. The message holds the end of its log.
        RunStoppedError: the run was asked to stop. It has written a checkpoint.
        FieldError: a value is not allowed, see :func:`memupdate.platform.checking.run.check_run`.
        ConfigError: verl refuses the config.
    """
    folder = initial.parent
    config = verl_config(settings, initial, len(train), bool(valid), longest_prompt, most_latents)
    check_run(config, "memgen", CONFIG)
    QUESTIONS.write(folder / "questions" / "train.parquet", train)
    if valid:
        QUESTIONS.write(folder / "questions" / "valid.parquet", valid)
    run_config.save(config, folder / "verl.yaml")
    steps = int(config.trainer.total_training_steps)
    stage = settings.run.stage
    logger.info("stage %s: training in %s: %d questions, %d steps (log: train.log)", stage, folder, len(train), steps)
    command = [sys.executable, "-m", "memgen.training.grpo", str(folder / "verl.yaml")]
    run_stage(command, folder / "train.log", {}, TrainingProgress(folder, steps, "memgen"), folder / STOP_FILE)
    return folder / "model"


def verl_config(
    settings: Settings, initial: Path, questions: int, held_out: bool, longest_prompt: int, most_latents: int
) -> DictConfig:
    """Returns verl's config of a run: ``configs/latent_grpo.yaml`` with the run's settings filled in.

    Args:
        settings: the run's settings.
        initial: folder of the initial model, inside the run's folder.
        questions: number of training questions.
        held_out: whether there are validation questions.
        longest_prompt: number of ids in the longest prompt.
        most_latents: maximum number of latents in a response.
    """
    run, grpo, method = settings.run, settings.run.grpo, method_of(settings.model.method)
    folder = initial.parent
    steps = grpo.epochs * (questions // grpo.batch_size)
    aggregation, by_deviation = LOSSES[grpo.loss_type]
    rollout_dtype, alarm = PRECISIONS[run.dtype]
    micro_batch = min(grpo.micro_batch_size, grpo.batch_size * grpo.group_size // run.ranks)
    train_file, valid_file = (folder / "questions" / f"{side}.parquet" for side in ("train", "valid"))
    response = grpo.max_new_tokens + most_latents
    actor, rollout = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
    values: dict[str, Any] = {
        "memgen.run_dir": folder,
        "memgen.stage": run.stage,
        "memgen.reward": settings.dataset.reward_name,
        "memgen.seed": run.seed,
        "memgen.max_new_tokens": grpo.max_new_tokens,
        "memgen.penalty_weight": method.penalty_weight(run),
        "memgen.threads": run.threads,
        "memgen.trainer_threads": run.threads,
        "memgen.trajectory_deadline_s": grpo.trajectory_deadline_s,
        "memgen.step_deadline_s": grpo.step_deadline_s,
        "memgen.max_failed_rollouts": grpo.max_failed_rollouts,
        "memgen.batch_invariant": (run.device, run.dtype) == ("cpu", "fp32"),
        "memgen.mismatch.alarm": alarm,
        "algorithm.norm_adv_by_std_in_grpo": by_deviation,
        "data.train_files": train_file,
        "data.val_files": valid_file if held_out else train_file,
        "data.train_batch_size": grpo.batch_size,
        "data.max_prompt_length": longest_prompt,
        "data.max_response_length": response,
        "data.seed": run.seed,
        "actor_rollout_ref.model.path": initial,
        "actor_rollout_ref.model.override_config.trainable": list(method.stages[run.stage]),
        "actor_rollout_ref.model.enable_gradient_checkpointing": grpo.gradient_checkpointing,
        f"{actor}.use_kl_loss": grpo.kl_beta > 0,
        f"{actor}.kl_loss_coef": grpo.kl_beta,
        f"{actor}.clip_ratio": grpo.clip,
        f"{actor}.clip_ratio_low": grpo.clip,
        f"{actor}.clip_ratio_high": grpo.clip,
        f"{actor}.loss_agg_mode": aggregation,
        f"{actor}.loss_scale_factor": response,
        f"{actor}.ppo_mini_batch_size": grpo.batch_size,
        f"{actor}.ppo_epochs": grpo.updates,
        f"{actor}.ppo_micro_batch_size_per_gpu": micro_batch,
        f"{actor}.grad_clip": grpo.clip_grad,
        f"{actor}.optim.lr": grpo.lr[run.stage],
        f"{actor}.optim.weight_decay": grpo.weight_decay,
        f"{actor}.fsdp_config.seed": run.seed,
        f"{actor}.fsdp_config.mixed_precision.param_dtype": run.dtype,
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": micro_batch,
        f"{rollout}.dtype": rollout_dtype,
        f"{rollout}.n": grpo.group_size,
        f"{rollout}.temperature": grpo.temperature,
        f"{rollout}.log_prob_micro_batch_size_per_gpu": micro_batch,
        f"{rollout}.val_kwargs.temperature": grpo.temperature,
        "trainer.experiment_name": f"{run.stage}-grpo",
        "trainer.device": run.device,
        "trainer.n_gpus_per_node": run.ranks,
        "trainer.total_epochs": grpo.epochs,
        "trainer.total_training_steps": steps,
        "trainer.save_freq": grpo.save_steps,
        "trainer.test_freq": (steps if grpo.valid_steps == -1 else grpo.valid_steps) if held_out else -1,
        "trainer.val_before_train": held_out,
    }
    return run_config.compose(CONFIG, [f"{key}={value}" for key, value in values.items()])
