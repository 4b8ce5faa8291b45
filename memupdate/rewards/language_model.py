"""A frozen Hugging Face causal language model that writes answers and says how likely given answers are.

Shapes: B rows, S tokens of the longest row, T tokens of the longest continuation, V vocabulary. Rows are padded on the
left, so that every row ends in the last column; positions count from each row's first real token.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memupdate.checks import check_choice, check_text
from memupdate.errors import FieldError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


def check_model_options(model: object, device: object, dtype: object) -> None:
    """Checks the fields that name a local model.

    Raises:
        FieldError: a value that is not allowed. The error's field is ``reward.scorer.<name>``.
    """
    check_text("reward.scorer.model", model, "a Hugging Face model's name or folder")
    check_text("reward.scorer.device", device, "a torch device, such as cpu or cuda:0")
    check_choice("reward.scorer.dtype", dtype, DTYPES)


class FrozenLanguageModel:
    """A causal language model with its tokenizer, in evaluation mode, without gradients.

    If the tokenizer has a chat template, a prompt is put into it as one user message, with thinking off. If it has
    none, the prompt is used as it is. Only one call runs at a time, because fast tokenizers are not safe for threads.

    Args:
        model: a Hugging Face causal language model.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self._lock = threading.Lock()

    @classmethod
    def load(cls, name: str, device: str = "cpu", dtype: str = "float32") -> FrozenLanguageModel:
        """Loads a model and its tokenizer.

        Args:
            name: the model's name on the Hugging Face hub, or its folder.
            device: a torch device.
            dtype: one of ``DTYPES``.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=getattr(torch, dtype))
        return cls(model.to(device), AutoTokenizer.from_pretrained(name))

    def prompt_ids(self, prompt: str) -> list[int]:
        """Returns the token ids of a prompt, after which the answer can follow."""
        if self.tokenizer.chat_template is None:
            return list(self.tokenizer(prompt)["input_ids"])
        messages = [{"role": "user", "content": prompt}]
        text = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def continuation_ids(self, text: str) -> list[int]:
        """Returns the token ids of an answer. It is tokenised on its own, so the ids do not depend on the prompt."""
        lead = " " if self.tokenizer.chat_template is None else ""
        return list(self.tokenizer(lead + text.strip(), add_special_tokens=False)["input_ids"])

    def mean_log_probs(self, prompts: Sequence[str], continuations: Sequence[str]) -> list[float]:
        """Returns, per row, the mean of log p(token | prompt, tokens before it) over the continuation's tokens.

        Args:
            prompts: one prompt per row.
            continuations: the text that follows each prompt.

        Returns:
            One mean per row, in nats per token.

        Raises:
            FieldError: a row is longer than the model's positions, or a continuation has no tokens.
        """
        import torch

        with self._lock, torch.inference_mode():
            targets = [self.continuation_ids(text) for text in continuations]
            for text, ids in zip(continuations, targets, strict=True):
                if not ids:
                    raise FieldError("answer", text, "a text with at least one token")
            rows = [self.prompt_ids(prompt) + ids for prompt, ids in zip(prompts, targets, strict=True)]
            longest = max(len(ids) for ids in targets)
            # The logits that predict the last T tokens: one column earlier, and the last column predicts nothing here.
            logits_BTV = self.model(**self._padded(rows), use_cache=False, logits_to_keep=longest + 1).logits[:, :-1]
            log_probs_BTV = logits_BTV.float().log_softmax(dim=-1)
            means = []
            for row, ids in enumerate(targets):
                columns = torch.arange(longest - len(ids), longest, device=log_probs_BTV.device)
                chosen = log_probs_BTV[row, columns, torch.tensor(ids, device=log_probs_BTV.device)]
                means.append(float(chosen.double().mean()))
            return means

    def generate(self, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
        """Writes greedy answers.

        Args:
            prompts: the prompts of one batch.
            max_new_tokens: length of the longest answer, in tokens.

        Returns:
            One answer per prompt, without special tokens.

        Raises:
            FieldError: a prompt and its answer could be longer together than the model's positions.
        """
        import torch
        from transformers import GenerationConfig

        with self._lock, torch.inference_mode():
            rows = [self.prompt_ids(prompt) for prompt in prompts]
            inputs = self._padded(rows, room=max_new_tokens)
            # The model's own generation config fills whatever is left unset here, and some models ship a repetition
            # penalty, which would change what greedy decoding says.
            greedy = GenerationConfig.from_dict(
                {
                    "max_new_tokens": max_new_tokens,
                    "do_sample": False,
                    "num_beams": 1,
                    "repetition_penalty": 1.0,
                    "temperature": 1.0,
                    "top_p": 1.0,
                    "top_k": 50,
                    "pad_token_id": self._pad_id(),
                }
            )
            del inputs["position_ids"]  # generate derives them from the mask
            output_BS = self.model.generate(**inputs, generation_config=greedy)
            new_BT = output_BS[:, inputs["input_ids"].shape[1] :]
            return [str(self.tokenizer.decode(ids, skip_special_tokens=True)) for ids in new_BT]

    def _pad_id(self) -> int:
        """The id that fills padded columns. Any id does, because they are masked."""
        return self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0

    def _padded(self, rows: Sequence[Sequence[int]], room: int = 0) -> dict[str, torch.Tensor]:
        """Ids, mask and positions (B, S), padded on the left."""
        import torch

        longest = max(len(ids) for ids in rows)
        limit = getattr(self.model.config, "max_position_embeddings", None)
        if limit is not None and longest + room > limit:
            raise FieldError(
                "scorer's context", f"{longest + room} tokens", f"at most {limit} tokens, the model's positions"
            )
        ids_BS = torch.full((len(rows), longest), self._pad_id(), dtype=torch.long)
        mask_BS = torch.zeros_like(ids_BS)
        for row, ids in enumerate(rows):
            ids_BS[row, longest - len(ids) :] = torch.tensor(ids, dtype=torch.long)
            mask_BS[row, longest - len(ids) :] = 1
        positions_BS = (mask_BS.cumsum(dim=-1) - 1).clamp(min=0)
        tensors: Mapping[str, torch.Tensor] = {
            "input_ids": ids_BS,
            "attention_mask": mask_BS,
            "position_ids": positions_BS,
        }
        return {name: tensor.to(self.model.device) for name, tensor in tensors.items()}
