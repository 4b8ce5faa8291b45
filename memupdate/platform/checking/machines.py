"""Checks of nodes, GPUs and the processes that share them."""

from __future__ import annotations

import os

from omegaconf import DictConfig

from memupdate.checks import check_positive_int
from memupdate.errors import FieldError
from memupdate.platform.checking.fields import ROLLOUT, SERVER, value_of

RAY = "ray_kwargs.ray_init"


def check_machines(config: DictConfig) -> None:
    """Checks that rollout servers divide the GPUs, and that more than one node can be reached.

    The numbers must have been checked one by one.

    Raises:
        FieldError: a number is not allowed, or there is no address of a Ray cluster.
    """
    nodes, per_node = config.trainer.nnodes, config.trainer.n_gpus_per_node
    _check_address(config, nodes)
    _check_server(config, nodes, per_node)


def _check_address(config: DictConfig, nodes: int) -> None:
    address = value_of(config, f"{RAY}.address") or os.environ.get("RAY_ADDRESS")
    if address and address != "local":
        return
    if nodes > 1:
        allowed = "1, or set RAY_ADDRESS or ray_kwargs.ray_init.address to a Ray cluster of that many nodes"
        raise FieldError("trainer.nnodes", nodes, allowed)
    offered, needed = value_of(config, f"{RAY}.num_gpus"), config.trainer.n_gpus_per_node
    if isinstance(offered, int | float) and offered < needed:
        raise FieldError(f"{RAY}.num_gpus", offered, f"null, or {needed} or more, which is trainer.n_gpus_per_node")


def _check_server(config: DictConfig, nodes: int, per_node: int) -> None:
    rollout = config.actor_rollout_ref.rollout
    tensor, data, pipeline = (check_positive_int(name, value_of(config, name)) for name in SERVER)
    if rollout.name == "torch":  # its server is one process
        for name, size in zip(SERVER, (tensor, data, pipeline), strict=True):
            if size != 1:
                raise FieldError(name, size, "1, with rollout.name=torch")
    if per_node % tensor and tensor % per_node:
        raise FieldError(SERVER[0], tensor, f"a divisor of trainer.n_gpus_per_node, {per_node}, or a multiple of it")
    if rollout.disaggregation.enabled:
        return  # verl checks its sizes
    if nodes * per_node % (tensor * data * pipeline):
        product = " times ".join(name.removeprefix(f"{ROLLOUT}.") for name in SERVER)
        allowed = f"a number with which {product} divides {nodes * per_node}, the GPUs of the run"
        raise FieldError(SERVER[0], tensor, allowed)
