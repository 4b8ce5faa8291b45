"""Malformed requests to a server with latents, drawn by seed. Each is the body of a request to SGLang's /generate."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

Body = dict[str, Any]


class Malformed:
    """Draws malformed requests for a model.

    Attributes:
        prompt, inference: ids of the two kinds of block.
        delimiters: ids after which a block may stand.
        texts: ids that are neither reserved nor delimiters.
        most: number of blocks after delimiters that a response may hold.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        inference: Sequence[int],
        delimiters: Sequence[int],
        texts: Sequence[int],
        vocabulary: int,
        context: int,
        most: int,
    ) -> None:
        self.prompt, self.inference, self.delimiters = list(prompt), list(inference), list(delimiters)
        self.texts, self.vocabulary, self.context, self.most = list(texts), vocabulary, context, most
        self.streams = [getattr(self, name) for name in dir(self) if name.startswith("stream_")]
        self.sampling = [getattr(self, name) for name in dir(self) if name.startswith("sampling_")]
        self.bodies = [getattr(self, name) for name in dir(self) if name.startswith("body_")]

    def draw(self, seed: int) -> tuple[str, Body]:
        """Returns the kind of a malformed request, and its body. Kinds come in turn; the rest is by seed."""
        source = random.Random(seed)
        kinds: list[Callable[[random.Random], Any]] = [*self.streams, *self.sampling, *self.bodies]
        kind = kinds[seed % len(kinds)]
        made = kind(source)
        body = {"input_ids": self.text(source), "sampling_params": {"max_new_tokens": 2, "temperature": 1.0}}
        if kind in self.streams:
            body["input_ids"] = made
        elif kind in self.sampling:
            body["sampling_params"] = {"max_new_tokens": 2, "temperature": 1.0, **made}
        else:
            body |= made
        return kind.__name__, body

    def text(self, source: random.Random) -> list[int]:
        """Text without a delimiter at its end."""
        before = source.choices(self.texts + self.delimiters, k=source.randint(0, 12))
        return [*before, source.choice(self.texts)]

    # Streams that are wrong wherever they are sent.

    def stream_lone_tail(self, source: random.Random) -> list[int]:
        block = source.choice([self.prompt, self.inference])
        return self.text(source) + block[source.randint(1, len(block) - 1) :] + self.maybe_text(source)

    def stream_tail_alone(self, source: random.Random) -> list[int]:
        return source.choice([self.prompt, self.inference])[-source.randint(1, 2) :]

    def stream_cut_block(self, source: random.Random) -> list[int]:
        block = source.choice([self.prompt, self.inference])
        head = block[: source.randint(1, len(block) - 1)]
        return [*self.text(source), source.choice(self.delimiters), *head, *self.maybe_text(source)]

    def stream_block_first(self, source: random.Random) -> list[int]:
        return source.choice([self.prompt, self.inference]) + self.maybe_text(source)

    def stream_block_after_block(self, source: random.Random) -> list[int]:
        second = source.choice([self.prompt, self.inference])
        return self.text(source) + self.prompt + second + self.text(source)

    def stream_shuffled_block(self, source: random.Random) -> list[int]:
        return self.text(source) + self.prompt[::-1] + self.text(source)

    def stream_block_after_no_delimiter(self, source: random.Random) -> list[int]:
        return self.text(source) + self.inference + self.text(source)

    def stream_too_many_blocks(self, source: random.Random) -> list[int]:
        one = [*self.text(source), source.choice(self.delimiters), *self.inference]
        return one * (self.most + 1) + self.text(source)

    def stream_second_prompt_block(self, source: random.Random) -> list[int]:
        return (self.text(source) + self.prompt) * 2 + self.text(source)

    def stream_out_of_range(self, source: random.Random) -> list[int]:
        wrong = source.choice([-1, -(2**40), self.vocabulary, self.vocabulary + source.randint(1, 10**6), 2**62])
        stream = self.text(source)
        stream.insert(source.randint(0, len(stream)), wrong)
        return stream

    def stream_empty(self, source: random.Random) -> list[int]:
        return []

    def stream_too_long(self, source: random.Random) -> list[int]:
        return source.choices(self.texts, k=self.context + source.randint(0, 100))

    def stream_of_wrong_types(self, source: random.Random) -> Any:
        return source.choice([[1, "two", 3], [None], [1.5, 2], "12", 7, {"a": 1}, [[1], 2], [2**70], [[]]])

    # Sampling parameters that are wrong with any stream.

    def sampling_temperature(self, source: random.Random) -> Body:
        wrong = [float("nan"), float("inf"), -1.0, 1e30, 1e-300, "hot", [1.0], 2.0**200]
        return {"temperature": source.choice(wrong)}

    def sampling_max_new_tokens(self, source: random.Random) -> Body:
        return {"max_new_tokens": source.choice([-1, -(2**40), 1.5, "many", [3], float("nan")])}

    def sampling_bias(self, source: random.Random) -> Body:
        value = source.choice([float("nan"), float("inf"), float("-inf"), 1e38, "high", [1.0], None])
        token = str(source.choice(self.texts))
        wrong_ids = {source.choice(["-1", str(self.vocabulary), "two", "1.5", str(2**70)]): 1.0}
        return {"logit_bias": source.choice([{token: value}, wrong_ids, [1.0], "high"])}

    def sampling_stop_ids(self, source: random.Random) -> Body:
        return {"stop_token_ids": source.choice([["a"], 5, "5", [None, "x"], [1.5], {"1": 2}, [[1]]])}

    def sampling_seed(self, source: random.Random) -> Body:
        return {"sampling_seed": source.choice(["one", 1.5, 2**80, [1]])}

    # What only SGLang's /generate takes.

    def body_n(self, source: random.Random) -> Body:
        return {"sampling_params": {"max_new_tokens": 2, "n": source.choice([10**9, 10**6, 0, -1, 1.5, "two"])}}

    def body_sampling(self, source: random.Random) -> Body:
        wrong = [{"top_p": float("nan")}, {"top_k": 1.5}, {"min_p": 7}, {"stream_interval": 0}, {"ignore_eos": True}]
        wrong += [{"repetition_penalty": 1e-9}, {"frequency_penalty": float("inf")}, {"min_new_tokens": 3}]
        wrong += [{"no_such": 1}, {"logit_bias": {str(self.inference[1]): 100.0}}]
        return {"sampling_params": source.choice([*wrong, [], "greedy", [{}, {}]])}

    def body_block_without_start(self, source: random.Random) -> Body:
        """A whole block at the end: its computation would start at its last id, or inside another block."""
        ids = self.text(source) + self.prompt
        inside = len(ids) - source.randint(1, len(self.prompt) - 1)
        starts: list[Body] = [{}, {"return_logprob": True}, {"return_logprob": False, "logprob_start_len": 0}]
        return {"input_ids": ids, **source.choice([*starts, {"return_logprob": True, "logprob_start_len": inside}])}

    def body_start(self, source: random.Random) -> Body:
        ids = self.text(source) + self.prompt + self.text(source)
        inside = ids.index(self.prompt[0]) + source.randint(1, len(self.prompt) - 1)
        wrong = source.choice([-2, -(2**40), len(ids) + 1, 10**9, inside, "start", 1.5, [1, 2]])
        return {"input_ids": ids, "return_logprob": True, "logprob_start_len": wrong}

    def body_batch(self, source: random.Random) -> Body:
        """One malformed prompt in a batch."""
        kinds = [self.stream_lone_tail, self.stream_cut_block, self.stream_out_of_range]
        prompts = [self.text(source), source.choice(kinds)(source), self.text(source)]
        return {"input_ids": source.sample(prompts, 3)}

    def body_log_probs(self, source: random.Random) -> Body:
        return {"return_logprob": True, "top_logprobs_num": source.choice([-1, self.vocabulary + 1, 10**9, "all", 1.5])}

    def body_unsupported(self, source: random.Random) -> Body:
        wrong: list[Body] = [{"session_params": {"id": "1"}}, {"return_hidden_states": True}, {"text": "so"}]
        wrong += [{"return_routed_experts": True}, {"bootstrap_host": "h"}, {"image_data": "x"}]
        return source.choice(wrong)

    def maybe_text(self, source: random.Random) -> list[int]:
        return self.text(source) if source.random() < 0.5 else []
