"""A trajectory on stage: verl's real loop, a small Qwen-like tokenizer, and a server that plays a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, DictConfigWrap, ToolListWrap
from verl.tools.schemas import OpenAIFunctionToolSchema
from verl.workers.rollout.replica import TokenOutput

from memupdate.agents.loop import MemoryAgentLoop
from memupdate.broker import MemoryStoreManager
from memupdate.tools import TOOLS, load_tool, verl_tools

CHAT_TEMPLATE = """\
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user' if loop.first or messages[loop.index0 - 1].role != 'tool' }}
{{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
{{- '<|im_end|>\n' if loop.last or messages[loop.index0 + 1].role != 'tool' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and Qwen's markup as single tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in ("<tool_call>", "</tool_call>")])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHAT_TEMPLATE
    )
    return wrapped


@dataclass
class ScriptedServer:
    """Plays one completion after the other; each ends with the end-of-turn token unless it is to be cut.

    A completion that is an exception is raised.
    """

    tokenizer: Any
    script: Iterator[str | BaseException]
    cut: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[list[int]] = field(default_factory=list)

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any], **kwargs: Any
    ) -> TokenOutput:
        self.requests.append({"request_id": request_id, "prompt_ids": list(prompt_ids), **sampling_params})
        completion = next(self.script)
        if isinstance(completion, BaseException):
            raise completion
        ids = self.tokenizer.encode(completion, add_special_tokens=False)
        if not self.cut:
            ids.append(self.tokenizer.eos_token_id)
        self.outputs.append(ids)
        return TokenOutput(token_ids=ids, log_probs=[-1.0] * len(ids), extra_fields={"global_steps": 1})


@dataclass
class Played:
    """A loop after its run."""

    loop: MemoryAgentLoop
    server: ScriptedServer
    output: AgentLoopOutput
    tool_texts: list[str]


def row(**changes: Any) -> dict[str, Any]:
    """What verl hands to ``run`` besides the sampling parameters."""
    extra_info = {
        "split": "train",
        "index": 3,
        "sample_id": "conv-a",
        "bank": "conv-a",
        "namespace": "conv-a-qa0-01234567",
        "tools_kwargs": {},
    }
    extra_info |= changes.pop("extra_info", {})
    kwargs: dict[str, Any] = {
        "raw_prompt": [{"role": "system", "content": "Edit."}, {"role": "user", "content": "Who is afraid?"}],
        "extra_info": extra_info,
        "tools_kwargs": {name: {"create_kwargs": {"namespace": "of the dataset", "sample_id": "x"}} for name in TOOLS},
        "global_steps": 1,
        "session_id": 0,
        "uid": "d7",
        "index": 3,
    }
    return kwargs | changes


class Stage:
    """Makes loops as verl's worker does."""

    def __init__(self, tokenizer: Any, broker: MemoryStoreManager) -> None:
        self.tokenizer = tokenizer
        self.broker = broker
        self.tools = [self._tool(name) for name in TOOLS]

    @staticmethod
    def _tool(name: str) -> verl_tools.MemoryTool:
        declared = load_tool(name).parameters
        parameters = {
            "type": "object",
            "properties": {parameter.name: {"type": parameter.kind} for parameter in declared},
            "required": [parameter.name for parameter in declared if parameter.required],
        }
        function = {"name": name, "description": name, "parameters": parameters}
        return verl_tools.verl_class(name)(
            {}, OpenAIFunctionToolSchema.model_validate({"type": "function", "function": function})
        )

    def loop(self, server: ScriptedServer, **changes: Any) -> MemoryAgentLoop:
        multi_turn = {
            "format": "memory_hermes",
            "max_user_turns": None,
            "max_assistant_turns": 30,
            "max_parallel_calls": 8,
            "max_tool_response_length": 10,
            "tool_response_truncate_side": "middle",
        }
        rollout = {"prompt_length": 4000, "response_length": 100_000, "full_determinism": False}
        memory = {"broker_name": "test_broker", "tool_response_tokens": 400, "seed": 11}
        for section in (multi_turn, rollout, memory):
            section |= {name: changes.pop(name) for name in list(changes) if name in section}
        assert not changes
        config = OmegaConf.create(
            {
                "actor_rollout_ref": {"rollout": {**rollout, "multi_turn": multi_turn}},
                "data": {},
                "memory": memory,
            }
        )
        return MemoryAgentLoop(
            trainer_config=DictConfigWrap(config),
            server_manager=server,
            tokenizer=self.tokenizer,
            processor=None,
            dataset_cls=None,
            data_config=DictConfigWrap(config.data),
            hf_model_type="qwen2",
            tools=ToolListWrap(self.tools),
        )

    async def play(
        self, script: Sequence[str | BaseException] | Iterator[str | BaseException], **changes: Any
    ) -> Played:
        kwargs = changes.pop("row", None) or row()
        server = ScriptedServer(self.tokenizer, iter(script), cut=changes.pop("cut", False))
        loop = self.loop(server, **changes)
        output = await loop.run({"temperature": 1.0}, **kwargs)
        return Played(loop, server, output, self.tool_texts(output))

    def tool_texts(self, output: AgentLoopOutput) -> list[str]:
        """The tools' answers that the policy was shown."""
        shown = [token for token, mask in zip(output.response_ids, output.response_mask, strict=True) if not mask]
        answers = self.tokenizer.decode(shown).split("<tool_response>\n")[1:]
        return [answer.split("\n</tool_response>")[0] for answer in answers]
