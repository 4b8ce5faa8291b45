"""verl's config of a reinforcement-learning run: it composes, verl accepts it, and it says what the settings say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from tiny_models import tiny_memgen
from verl.trainer.ppo.core_algos import agg_loss

from memgen.data.questions import QUESTIONS, Question
from memgen.example import chat_tokenizer
from memgen.settings import Settings, read_settings
from memgen.training.policy_job import check_questions, verl_config
from memupdate.errors import DataError, FieldError
from memupdate.platform import config as run_config
from memupdate.platform.checking.run import check_run

INSTRUCTION = Path(__file__).resolve().parents[3] / "configs" / "latent_memory" / "instruction.yaml"
NEEDED = ["model.reasoner=base", "dataset.train_file=train.jsonl", "run.output_dir=out", "run.method=grpo"]


@pytest.fixture
def composed_once(configs: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests change a config that hydra composed once."""
    monkeypatch.setattr(run_config, "compose", lambda name, overrides: configs(name, *overrides))


def settings(*options: str) -> Settings:
    return read_settings(INSTRUCTION, [*NEEDED, "model.mode=learned", *options])


def config(*options: str, held_out: bool = False, ranks: int = 1) -> Any:
    return verl_config(settings(*options), Path("/runs/r/initial"), 20, held_out, longest_prompt=30, most_latents=48)


def test_a_config_that_is_composed_once_is_hydras(configs: Callable[..., DictConfig]) -> None:
    composed: list[list[str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_config, "compose", lambda name, overrides: composed.append(overrides))
        config("run.grpo.kl_beta=0.02", held_out=True)
    assert configs("latent_grpo", *composed[0]) == run_config.compose("latent_grpo", composed[0])


@pytest.mark.usefixtures("composed_once")
@pytest.mark.parametrize("stage", ["weaver", "trigger", "both"])
def test_g18_g20_g42_verl_accepts_every_stage(stage: str) -> None:
    found = config(f"run.stage={stage}", "run.grpo.lr.trigger=3e-4", "run.grpo.batch_size=4", "run.grpo.epochs=2")
    check_run(found, "memgen", "latent_grpo")
    assert OmegaConf.missing_keys(found) == {"reward.reward_model.rollout.name"}  # of a reward model, which is off
    assert found.memgen.stage == stage
    trainable = {"weaver": ["weaver"], "trigger": ["trigger"], "both": ["weaver", "trigger"]}
    assert found.actor_rollout_ref.model.override_config.trainable == trainable[stage]
    assert found.actor_rollout_ref.actor.optim.lr == (3e-4 if stage == "trigger" else 1e-5)
    assert found.trainer.total_training_steps == 2 * 5


@pytest.mark.usefixtures("composed_once")
def test_the_rollout_is_the_policy_and_nothing_pays_for_indecision() -> None:
    """One temperature, no filters, no entropy bonus, one update a step, room for text and latents."""
    found = config("run.stage=trigger", "run.grpo.temperature=0.7", "run.grpo.max_new_tokens=100")
    rollout, actor = found.actor_rollout_ref.rollout, found.actor_rollout_ref.actor
    assert (rollout.temperature, rollout.val_kwargs.temperature, rollout.top_p, rollout.top_k) == (0.7, 0.7, 1.0, -1)
    assert actor.entropy_coeff == 0
    assert actor.ppo_mini_batch_size == found.data.train_batch_size
    assert found.data.max_response_length == 148
    assert found.data.max_prompt_length == 30


@pytest.mark.usefixtures("composed_once")
def test_g18_clip_group_and_divergence() -> None:
    found = config("run.grpo.clip=0.3", "run.grpo.group_size=6", "run.grpo.kl_beta=0.02", "run.grpo.updates=3")
    check_run(found, "memgen", "latent_grpo")
    actor = found.actor_rollout_ref.actor
    assert (actor.clip_ratio, actor.clip_ratio_low, actor.clip_ratio_high) == (0.3, 0.3, 0.3)
    assert found.actor_rollout_ref.rollout.n == 6
    assert (actor.use_kl_loss, actor.kl_loss_coef, actor.ppo_epochs) == (True, 0.02, 3)
    engines = actor.fsdp_config, found.actor_rollout_ref.ref.fsdp_config
    assert [engine.mixed_precision.param_dtype for engine in engines] == ["fp32", "fp32"]  # or it would not start at 0
    assert config().actor_rollout_ref.actor.use_kl_loss is False


# Two answers with 1 and 3 actions, losses 6 and (1, 2, 3); answers have up to 148 ids.
LOSSES = torch.tensor([[6.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
ACTIONS = torch.tensor([[1, 0, 0], [1, 1, 1]])


@pytest.mark.usefixtures("composed_once")
@pytest.mark.parametrize(
    ("loss_type", "expected", "by_deviation"),
    [
        ("grpo", (6 + 2) / 2, True),
        ("bnpo", 12 / 4, True),
        ("dr_grpo", (6 + 6) / 2 / 148, False),
    ],
)
def test_g18_loss_types_are_what_their_formulas_say(loss_type: str, expected: float, by_deviation: bool) -> None:
    found = config(f"run.grpo.loss_type={loss_type}", "run.grpo.max_new_tokens=100")
    actor = found.actor_rollout_ref.actor
    loss = agg_loss(LOSSES, ACTIONS, actor.loss_agg_mode, loss_scale_factor=actor.loss_scale_factor)
    assert float(loss) == pytest.approx(expected)
    assert found.algorithm.norm_adv_by_std_in_grpo is by_deviation


@pytest.mark.usefixtures("composed_once")
def test_validation_runs_where_questions_are_held_out() -> None:
    without, with_some = config().trainer, config("run.grpo.batch_size=4", held_out=True).trainer
    assert (without.val_before_train, without.test_freq) == (False, -1)
    assert (with_some.val_before_train, with_some.test_freq) == (True, 5)
    assert config("run.grpo.valid_steps=2", held_out=True).trainer.test_freq == 2


def test_questions_are_written_and_read(tmp_path: Path) -> None:
    questions = [Question([{"role": "user", "content": "what?"}], "that"), Question([], "")]
    QUESTIONS.write(tmp_path / "a" / "q.parquet", questions)
    assert QUESTIONS.read(tmp_path / "a" / "q.parquet") == questions
    with pytest.raises(DataError, match="expected questions"):
        QUESTIONS.read(tmp_path / "none.parquet")


def test_questions_that_cannot_be_asked_are_refused() -> None:
    model, tokenizer = tiny_memgen().config, chat_tokenizer()
    model.text_config.vocab_size = len(tokenizer)
    question = Question([{"role": "user", "content": "red blue"}], "red")
    with pytest.raises(FieldError, match=r"at least run\.grpo\.batch_size, 8"):
        check_questions(settings(), model, tokenizer, [question] * 7, [])
    wanted = settings("run.grpo.batch_size=1", "run.grpo.max_new_tokens=2000")
    with pytest.raises(FieldError, match="max_new_tokens"):
        check_questions(wanted, model, tokenizer, [question], [])
