"""What a dry run refuses before anything starts: numbers, sizes, names and folders of verl's own sections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from memupdate.errors import FieldError, MemupdateError
from memupdate.platform.checking.run import check_run

ACTOR = "actor_rollout_ref.actor"
ROLLOUT = "actor_rollout_ref.rollout"
Configs = Callable[..., DictConfig]


def validate(config: DictConfig) -> None:
    check_run(config, "memory", "memory_grpo_base")


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize("profile", ["local", "cluster"])
def test_the_profiles_pass(configs: Configs, profile: str) -> None:
    validate(configs(profile))


# For each override: the field, the value and a part of what is allowed, as the message says them.
REFUSED = [
    ("trainer.nnodes=2", "trainer.nnodes: got 2; allowed: 1, or set RAY_ADDRESS"),
    ("trainer.nnodes=0", "trainer.nnodes: got 0; allowed: a whole number from 1"),
    ("trainer.n_gpus_per_node=-1", "trainer.n_gpus_per_node: got -1; allowed: a whole number from 1"),
    ("trainer.n_gpus_per_node=true", "trainer.n_gpus_per_node: got True; allowed: a whole number from 1"),
    (f"{ROLLOUT}.name=sglan", f"{ROLLOUT}.name: got 'sglan'; allowed: one of sglang_cpu, torch"),
    (f"{ROLLOUT}.tensor_model_parallel_size=3", "tensor_model_parallel_size: got 3; allowed: a divisor of"),
    (f"{ACTOR}.ulysses_sequence_parallel_size=3", "sequence_parallel_size: got 3; allowed: a divisor of 8, the GPUs"),
    (f"{ROLLOUT}.data_parallel_size=3", "times pipeline_model_parallel_size divides 8, the GPUs of the run"),
    (f"{ROLLOUT}.gpu_memory_utilization=1.5", f"{ROLLOUT}.gpu_memory_utilization: got 1.5; allowed: a number above 0"),
    (f"{ROLLOUT}.gpu_memory_utilization=0", "gpu_memory_utilization: got 0; allowed: a number above 0 and at most 1"),
    (f"{ACTOR}.ppo_mini_batch_size=64", "ppo_mini_batch_size: got 64; allowed: a divisor of data.train_batch_size, 32"),
    (f"{ACTOR}.ppo_mini_batch_size=5", "ppo_mini_batch_size: got 5; allowed: a divisor of data.train_batch_size, 32"),
    (f"{ACTOR}.ppo_mini_batch_size=0", f"{ACTOR}.ppo_mini_batch_size: got 0; allowed: a whole number from 1"),
    ("data.train_batch_size=-8", "data.train_batch_size: got -8; allowed: a whole number from 1"),
    ("data.gen_batch_size=5", "data.gen_batch_size: got 5; allowed: null, or a divisor of data.train_batch_size, 32"),
    ("data.seed=null", "data.seed: got None; allowed: a whole number"),
    (f"{ROLLOUT}.n=1", f"{ROLLOUT}.n: got 1; allowed: 2 or more: a group of one has no baseline"),
    (f"{ROLLOUT}.n=eight", f"{ROLLOUT}.n"),
    (f"{ROLLOUT}.max_model_len=6143", f"{ROLLOUT}.max_model_len: got 6143; allowed: null, or 6,144 or more"),
    (f"{ACTOR}.ppo_max_token_len_per_gpu=6000", "ppo_max_token_len_per_gpu: got 6000; allowed: 6,144 or more"),
    (f"{ROLLOUT}.temperature=0", f"{ROLLOUT}.temperature: got 0; allowed: a finite number above 0"),
    (f"{ROLLOUT}.temperature=.nan", f"{ROLLOUT}.temperature: got nan"),
    (f"{ROLLOUT}.top_p=1.2", f"{ROLLOUT}.top_p: got 1.2; allowed: a number above 0 and at most 1"),
    (f"{ROLLOUT}.top_k=0", f"{ROLLOUT}.top_k: got 0; allowed: -1 for all ids, or a whole number from 1"),
    (f"{ROLLOUT}.val_kwargs.temperature=-1", "val_kwargs.temperature: got -1; allowed: a finite number of at least 0"),
    (f"{ROLLOUT}.agent.num_workers=0", f"{ROLLOUT}.agent.num_workers: got 0; allowed: a whole number from 1"),
    ("reward.num_workers=0", "reward.num_workers: got 0; allowed: a whole number from 1"),
    (f"{ACTOR}.optim.lr=-1e-6", f"{ACTOR}.optim.lr: got -1e-06; allowed: a finite number of at least 0"),
    (f"{ACTOR}.optim.lr=fast", f"{ACTOR}.optim.lr: got 'fast'"),
    (f"{ACTOR}.grad_clip=0", f"{ACTOR}.grad_clip: got 0; allowed: a finite number above 0"),
    (f"{ACTOR}.kl_loss_type=k9", f"{ACTOR}.kl_loss_type: got 'k9'; allowed: one of kl, k1"),
    (f"{ACTOR}.policy_loss.loss_mode=dpo", f"{ACTOR}.policy_loss.loss_mode: got 'dpo'; allowed: one of vanilla"),
    (f"{ACTOR}.loss_agg_mode=mean", "Invalid loss_agg_mode: mean"),
    ("algorithm.adv_estimator=grop", "algorithm.adv_estimator: got 'grop'; allowed: one of "),
    ("algorithm.adv_estimator=gae", "algorithm.adv_estimator: got 'gae'; allowed: one of "),
    ("trainer.save_freq=0", "trainer.save_freq: got 0; allowed: -1 for never, or a whole number from 1"),
    ("trainer.save_freq=often", "trainer.save_freq: got 'often'; allowed: -1 for never"),
    ("trainer.test_freq=-5", "trainer.test_freq: got -5; allowed: -1 for never, or a whole number from 1"),
    ("trainer.total_training_steps=0", "trainer.total_training_steps: got 0; allowed: a whole number from 1"),
    ("trainer.total_epochs=1.5", "trainer.total_epochs: got 1.5; allowed: a whole number from 1"),
    ("trainer.logger=[console,wnadb]", "trainer.logger: got 'wnadb'; allowed: one of wandb, mlflow"),
    ("trainer.logger=swanlab", "trainer.logger: got 'swanlab'; allowed: a logger whose package is installed"),
    ("trainer.v1.trainer_mode=async", "trainer.v1.trainer_mode: got 'async'; allowed: one of sync"),
    ("trainer.v1.trainer_mode=separate_async", "trainer.v1.trainer_mode: got 'separate_async'; allowed: one of sync"),
    ("trainer.device=gpu", "trainer.device: got 'gpu'; allowed: one of cpu, cuda"),
    ("trainer.resume_mode=always", "trainer.resume_mode: got 'always'; allowed: one of auto, disable, resume_path"),
    ("trainer.resume_mode=resume_path", "trainer.resume_from_path: got None; allowed: a folder global_step_N"),
    (
        f"{ROLLOUT}.agent.default_agent_loop=memory_agnet",
        "agent.default_agent_loop: got 'memory_agnet'; allowed: one of",
    ),
    (f"{ROLLOUT}.agent.agent_loop_config_path=/nowhere.yaml", "agent.agent_loop_config_path: got '/nowhere.yaml'"),
    (f"{ROLLOUT}.multi_turn.format=hermse", f"{ROLLOUT}.multi_turn.format: got 'hermse'; allowed: one of "),
    (f"{ROLLOUT}.multi_turn.max_assistant_turns=0", "multi_turn.max_assistant_turns: got 0; allowed: a whole number"),
    ("reward.reward_manager.name=MemoryManager", "reward.reward_manager: got 'pkg://memupdate.rewards.manager:Memory"),
    (
        "reward.reward_manager.source=registry",
        "reward.reward_manager.source: got 'registry'; allowed: one of importlib",
    ),
    ("trainer.v1.sampler.custom_sampler.name=Ordered", "custom_sampler: got 'pkg://memupdate.platform.replay:Ordered'"),
    ("memory.mismatch.stop=yes please", "memory.mismatch.stop: got 'yes please'; allowed: true or false"),
    ("memory.trace.every=-1", "memory.trace.every: got -1; allowed: a whole number from 0"),
    ("memory.batch_invariant=true", "memory.batch_invariant: got True; allowed: false with trainer.device=cuda"),
    ("memory.seed=one", "memory.seed: got 'one'; allowed: a whole number"),
]


@pytest.mark.parametrize(("override", "message"), REFUSED, ids=[override for override, _ in REFUSED])
def test_a_value_with_which_a_run_would_fail_later(configs: Configs, override: str, message: str) -> None:
    with pytest.raises(MemupdateError) as refused:
        validate(configs("cluster", override))
    assert message in str(refused.value)


def test_a_node_more_needs_the_address_of_a_cluster(configs: Configs, monkeypatch: pytest.MonkeyPatch) -> None:
    validate(configs("cluster", "trainer.nnodes=2", "+ray_kwargs.ray_init.address=10.0.0.1:6379"))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    validate(configs("cluster", "trainer.nnodes=2"))
    monkeypatch.setenv("RAY_ADDRESS", "local")
    with pytest.raises(FieldError, match="RAY_ADDRESS"):
        validate(configs("cluster", "trainer.nnodes=2"))


@pytest.mark.parametrize(
    "override",
    [
        *(f"{ROLLOUT}.tensor_model_parallel_size=4", f"{ACTOR}.optim.lr=0", f"{ROLLOUT}.val_kwargs.temperature=0"),
        *("trainer.save_freq=-1", "trainer.logger=console", f"{ROLLOUT}.max_model_len=6144", "memory.trace.every=0"),
        *(f"{ROLLOUT}.agent.default_agent_loop=tool_agent", f"{ROLLOUT}.agent.num_workers=3"),
        *("data.train_batch_size=64", f"{ROLLOUT}.multi_turn.max_assistant_turns=null"),
    ],
)
def test_a_value_that_is_allowed(configs: Configs, override: str) -> None:
    validate(configs("cluster", override))


def test_the_torch_server_is_one_process(configs: Configs) -> None:
    wide = ("trainer.n_gpus_per_node=2", f"{ROLLOUT}.tensor_model_parallel_size=2")
    with pytest.raises(FieldError, match=r"parallel_size: got 2; allowed: 1, with rollout\.name=torch"):
        validate(configs("local", f"{ROLLOUT}.name=torch", *wide))
    with pytest.raises(FieldError, match=r"ray_init\.num_gpus: got 1; allowed: null, or 2 or more"):
        validate(configs("local", wide[0], "ray_kwargs.ray_init.num_gpus=1"))


def test_the_workers_divide_the_rollouts_of_an_update(configs: Configs) -> None:
    odd = ("data.train_batch_size=9", f"{ACTOR}.ppo_mini_batch_size=3", f"{ROLLOUT}.n=3")
    with pytest.raises(FieldError, match=r"ppo_mini_batch_size: got 3; .* a multiple of the 8 training workers"):
        validate(configs("cluster", *odd))


@pytest.mark.parametrize("text", ["memory_agent: [", "- name: memory_agent\n", "memory_agent\n", ""])
def test_a_file_of_agent_loops_of_another_shape(configs: Configs, tmp_path: Path, text: str) -> None:
    path = tmp_path / "loops.yaml"
    path.write_text(text)
    with pytest.raises(FieldError, match=r"^actor_rollout_ref\.rollout\.agent\.agent_loop_config_path: got .*loops"):
        validate(configs("cluster", f"{ROLLOUT}.agent.agent_loop_config_path={path}"))


def test_a_sampler_whose_file_does_not_load(configs: Configs, tmp_path: Path) -> None:
    path = tmp_path / "sampler.py"
    for text in ("def (", "raise RuntimeError('no')", None):
        path.unlink() if text is None else path.write_text(text)
        with pytest.raises(FieldError, match=r"^trainer\.v1\.sampler\.custom_sampler: got .*sampler\.py:Sampler"):
            sampler = (f"trainer.v1.sampler.custom_sampler.{key}" for key in ("path", "name"))
            validate(configs("cluster", f"{next(sampler)}={path}", f"{next(sampler)}=Sampler"))


def test_an_added_key_of_our_section_must_be_one_that_we_read(configs: Configs) -> None:
    with pytest.raises(
        FieldError, match=r"^memory\.trace\.evry: got 2; allowed: no such key; did you mean memory\.trace\.every\?"
    ):
        validate(configs("local", "+memory.trace.evry=2"))
    with pytest.raises(FieldError, match=r"^memory\.xyzzy: got 2; allowed: no such key; one of run_dir, "):
        validate(configs("local", "+memory.xyzzy=2"))
    with pytest.raises(MemupdateError, match="tempature"):  # verl's own sections are verl's dataclasses
        validate(configs("local", f"+{ROLLOUT}.tempature=0.5"))


@pytest.mark.parametrize("name", ["memory.run_dir", "trainer.default_local_dir"])
def test_a_folder_that_is_a_file(configs: Configs, tmp_path: Path, name: str) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    for place in (file, file / "below"):
        with pytest.raises(FieldError, match=rf"^{name}: got .*{place.name}'; allowed: .*notes\.txt is a file"):
            validate(configs("local", f"{name}={place}"))
    assert file.read_text() == "mine"
