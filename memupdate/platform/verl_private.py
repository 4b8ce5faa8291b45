"""The private names of verl that this project overrides or uses, with the signatures that it relies on.

verl has no public hook for them and does not guarantee them. The list is complete: a test searches all classes of the
project for private names of verl. It fails if one is missing here, or has a different signature in the installed verl.
``memupdate doctor`` compares the signatures too.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from functools import reduce
from importlib import import_module
from typing import cast

_LOOP = "verl.experimental.agent_loop.tool_agent_loop:ToolAgentLoop."
_WORKER = "verl.experimental.agent_loop.agent_loop:AgentLoopWorker."
_REPLAY = "verl.trainer.ppo.v1.replay_buffer:ReplayBuffer."
_TRAINER = "verl.trainer.ppo.v1.trainer_base:PPOTrainer."
_SFT = "verl.trainer.sft_trainer:SFTTrainer."
_FSDP = "verl.workers.engine.fsdp.transformer_impl:FSDPEngine."

# module:Class.method -> its signature in the source of verl 0.9.1.
OVERRIDDEN_METHODS: dict[str, str] = {
    _LOOP + "_call_tool": (
        "(self, tool_call: FunctionCall, tools_kwargs: dict[str, Any], agent_data: AgentData)"
        " -> tuple[ToolResponse, float, dict]"
    ),
    "verl.experimental.agent_loop.agent_loop:AgentLoopBase._cap_text_prompt_length": (
        "(self, prompt_ids: list[int]) -> list[int]"
    ),
    _LOOP + "_handle_generating_state": (
        "(self, agent_data: AgentData, sampling_params: dict[str, Any], ignore_termination: bool=False) -> AgentState"
    ),
    _LOOP + "_handle_pending_state": "(self, agent_data: AgentData, sampling_params: dict[str, Any]) -> AgentState",
    _LOOP + "_handle_processing_tools_state": "(self, agent_data: AgentData) -> AgentState",
    _WORKER + "_run_agent_loop": (
        "(self, sampling_params: dict[str, Any], trajectory: dict[str, Any], *, agent_name: str, trace: bool=True,"
        " **kwargs) -> _InternalAgentLoopOutput"
    ),
    _REPLAY + "_materialize_batch": (
        "(self, partition_id: str, selected_prompt_uids: list[str], partition_snapshot: dict[str, dict]) -> KVBatchMeta"
    ),
    _REPLAY + "_select_prompt_uids": (
        "(self, partition_id: str, sampleable_keys: set[str], batch_size: int)"
        " -> tuple[list[str], dict[str, dict], dict[str, int]]"
    ),
    _REPLAY + "_wait_for_next_poll": "(self, partition_id: str, last_debug_time: float) -> float",
    _TRAINER + "_balance_batch": (
        "(self, batch: KVBatchMeta, metrics, logging_prefix='global_seqlen', keep_minibatch=False)"
    ),
    _TRAINER + "_compute_advantage": "(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta",
    _TRAINER + "_compute_metrics": "(self, batch: KVBatchMeta, metrics, timing_raw, global_steps, epoch)",
    _TRAINER + "_compute_old_log_prob": "(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta",
    _TRAINER + "_fetch_one_gen_batch": "(self) -> TensorDict",
    _TRAINER + "_init_dataloader": "(self)",
    _TRAINER + "_init_resource_pool_mgr": "(self)",
    _TRAINER + "_load_checkpoint": "(self)",
    _TRAINER + "_save_checkpoint": "(self)",
    _TRAINER + "_validate": "(self) -> dict[str, float]",
    _SFT + "_build_dataloader": "(self)",
    _SFT + "_build_engine": "(self)",
    _FSDP + "_build_fsdp_module": "(self, module)",
    _FSDP + "_build_module": "(self)",
}

# module:name -> how the project uses it.
TOUCHED_NAMES: dict[str, str] = {
    "verl.experimental.agent_loop.agent_loop:_agent_loop_registry": "a check reads the names of verl's agent loops",
    "verl.experimental.agent_loop.tool_parser:ToolParser._registry": "a check reads the names of tool parsers",
    "verl.trainer.ppo.v1.agent_loop_tq:AgentLoopWorkerTQ.__ray_metadata__": (
        "the agent loop workers derive from the class inside the Ray actor"
    ),
    "verl.trainer.main_ppo:TaskRunnerV1.__ray_metadata__": "the launcher derives from the class inside the Ray actor",
    "verl.workers.rollout.base:_ROLLOUT_REGISTRY": "the plug-in adds rollout engines, and a check reads their names",
    "verl.workers.rollout.replica:RolloutReplica._server_address": "a replica says where its server listens",
    "verl.workers.rollout.replica:RolloutReplica._server_handle": "a replica names its server actor",
}


def signature_of(name: str) -> str:
    """Returns the signature of a method in the source of the installed verl.

    Args:
        name: ``module:Class.method``.

    Raises:
        ImportError: there is no such module.
        AttributeError: there is no such class or method.
    """
    module, _, path = name.partition(":")
    method = cast(Callable[..., object], reduce(getattr, path.split("."), import_module(module)))
    definition = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0]
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    returns = "" if definition.returns is None else f" -> {ast.unparse(definition.returns)}"
    return f"({ast.unparse(definition.args)}){returns}"


def changed_signatures(expected: Mapping[str, str] = OVERRIDDEN_METHODS) -> list[str]:
    """Compares signatures with the installed verl and returns one line for each difference.

    Args:
        expected: the expected signatures by ``module:Class.method``.
    """
    changes = []
    for name, signature in expected.items():
        try:
            found = signature_of(name)
        except (ImportError, AttributeError) as error:
            found = str(error)
        if found != signature:
            changes.append(f"{name}: expected {signature}, found {found}")
    return changes
