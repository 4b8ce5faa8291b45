"""Which groups a step trains on: verl's selection and refill, in an order that depends on the trajectories alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from verl.trainer.ppo.v1 import replay_buffer
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from memupdate.errors import FieldError
from memupdate.platform.checking.batches import check_batches
from memupdate.platform.replay import OrderedReplayBuffer, trajectory_order

Configs = Callable[..., DictConfig]
STOCK = ("trainer.v1.sampler.custom_sampler.path=null", "trainer.v1.sampler.custom_sampler.name=null")
FILTER = "algorithm.filter_groups.enable=true"
REFILL = "trainer.v1.sampler.sync_refill_failed_groups=true"
SETTINGS = (
    *("filter_groups_metric", "sync_refill_failed_groups", "max_inflight_gen_batches"),
    *("train_batch_size", "gen_batch_size", "max_off_policy_threshold", "max_off_policy_strategy"),
)


def test_trajectories_are_ordered_by_prompt_rollout_and_segment() -> None:
    keys = ["d000000010_2_0", "d000000002_10_0", "d000000002_2_1", "d000000002_2_0"]
    assert sorted(keys, key=trajectory_order) == [
        "d000000002_2_0",
        "d000000002_2_1",
        "d000000002_10_0",
        "d000000010_2_0",
    ]


def built(config: DictConfig) -> ReplayBuffer:
    """The buffer that verl's own trainer builds of a config."""
    trainer = object.__new__(PPOTrainerSync)
    trainer.config, trainer.trainer_mode = config, "sync"
    OmegaConf.resolve(config)
    return trainer._build_replay_buffer()


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        (FILTER,),
        (FILTER, "algorithm.filter_groups.metric=qa_after", "algorithm.filter_groups.max_inflight_gen_batches=3"),
        (REFILL,),
        (FILTER, REFILL),
    ],
)
def test_our_buffer_has_the_settings_of_verls_own(configs: Configs, overrides: tuple[str, ...]) -> None:
    ours, verls = built(configs("local", *overrides)), built(configs("local", *overrides, *STOCK))
    assert (type(ours), type(verls)) == (OrderedReplayBuffer, ReplayBuffer)
    assert {name: getattr(ours, name) for name in SETTINGS} == {name: getattr(verls, name) for name in SETTINGS}
    assert ours.refill_fn.__name__ == verls.refill_fn.__name__ == "_add_prompts_to_generate"


class Queue:
    """The part of the TransferQueue that a buffer reads. A prompt is finished as soon as it is asked for.

    Attributes:
        rewards: the rewards of each prompt's rollouts; none if all rollouts failed.
    """

    def __init__(self, rewards: Mapping[str, list[float]]) -> None:
        self.rewards = rewards
        self.fresh = iter(rewards)
        self.tags: dict[str, dict[str, Any]] = {}
        self.asked: list[int] = []

    def refill(self, count: int) -> None:
        self.asked.append(count)
        for uid in [next(self.fresh) for _ in range(count)]:
            scores = self.rewards[uid]
            status = "finished" if scores else "failure"
            self.tags[uid] = {"is_prompt": True, "status": status, "global_steps": 1}
            for rollout in reversed(range(len(scores))):
                self.tags[f"{uid}_{rollout}_0"] = {"seq_len": 1}

    def kv_list(self) -> dict[str, dict[str, dict[str, Any]]]:
        return {"train": {key: dict(tag) for key, tag in self.tags.items()}}

    def kv_batch_get(self, keys: list[str], partition_id: str, select_fields: list[str]) -> dict[str, list[Any]]:
        assert (partition_id, select_fields) == ("train", ["rm_scores"])
        rollouts = [key.split("_")[:2] for key in keys]
        return {"rm_scores": [torch.tensor([0.0, self.rewards[uid][int(rollout)]]) for uid, rollout in rollouts]}

    def kv_clear(self, keys: list[str], partition_id: str) -> None:
        assert partition_id == "train"
        for key in keys:
            del self.tags[key]


# Of the first eight prompts three are without signal and one failed. Two of those that replace them are, too.
SIGNAL, NONE, FAILED = [0.0, 1.0], [0.5, 0.5], list[float]()
FIRST = [SIGNAL, NONE, SIGNAL, NONE, FAILED, SIGNAL, NONE, SIGNAL]
MORE = [NONE, SIGNAL, NONE, SIGNAL, *[SIGNAL] * 30]


def sampled(config: DictConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[int], dict[str, Any]]:
    """Returns the keys of a step's batch, the numbers of prompts that were asked for, and the metrics."""
    queue = Queue({f"d{number:09d}": rewards for number, rewards in enumerate([*FIRST, *MORE])})
    monkeypatch.setattr(replay_buffer, "tq", queue)
    buffer = built(config)
    buffer.refill_fn, buffer.poll_interval = queue.refill, 0.0
    queue.refill(8)
    batch, metrics = buffer.sample(1, "train", 8)
    return list(batch.keys), queue.asked, metrics


@pytest.mark.parametrize("overrides", [(), (FILTER,), (REFILL,), (FILTER, REFILL)])
def test_our_buffer_selects_and_refills_as_verls_own(
    configs: Configs, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = sampled(configs("local", *overrides), monkeypatch)
    verls = sampled(configs("local", *overrides, *STOCK), monkeypatch)
    assert ours[0] == sorted(ours[0], key=trajectory_order)
    assert ours[1:] == verls[1:]
    kept = {key.split("_")[0] for key in ours[0]}
    # verl takes any eight of the groups that it may take, in the order of a set; ours takes the first eight.
    unwanted = ([NONE] if FILTER in overrides else []) + ([FAILED] if REFILL in overrides else [])
    may = [f"d{number:09d}" for number, rewards in enumerate([*FIRST, *MORE]) if rewards not in unwanted]
    assert kept == set(may[:8]) - {"d000000004"}  # a failed group has no trajectories
    if not overrides:
        assert set(ours[0]) == set(verls[0])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((FILTER, "algorithm.filter_groups.metric=null"), r"^algorithm\.filter_groups\.metric: got None"),
        ((FILTER, "data.gen_batch_size=4"), r"^data\.gen_batch_size: got 4; allowed: null or 1"),
        ((REFILL, "data.gen_batch_size=4"), r"^data\.gen_batch_size: got 4; allowed: null or 1"),
        ((FILTER, "algorithm.filter_groups.max_inflight_gen_batches=0"), r"max_inflight_gen_batches: got 0"),
        ((FILTER, "algorithm.filter_groups.max_num_gen_batches=3"), r"max_num_gen_batches: got 3; allowed: 0"),
        ((FILTER, "reward.reward_model.enable=true"), r"^reward\.reward_model\.enable: got True"),
        (("algorithm.filter_groups.enable=yes please",), r"filter_groups\.enable: got 'yes please'"),
    ],
)
def test_a_filter_that_could_not_work(configs: Configs, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        check_batches(configs("local", *overrides))


def test_settings_that_would_switch_the_filter_off_silently(configs: Configs) -> None:
    without = configs("local", FILTER)
    without.trainer.v1.sampler.sampler_kwargs = {}
    with pytest.raises(FieldError, match=r"^trainer\.v1\.sampler\.sampler_kwargs: got \{\}; allowed: filter_groups"):
        built(without)
