"""The client of a server with latent memory. The server is SGLang or the project's torch server.

The first id of a block is a stop id, so a request ends when the server samples it. The client then appends the whole
block and sends the next request. The server has two gates, one for each kind of block. The client knows the stream
rules and closes a gate with ``logit_bias`` wherever it must not be taken: the prompt's gate everywhere except at the
end of the prompt, and the other gate after the maximum number of blocks. The result is one stream, as from
``MemGenModel.generate``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memgen.base.server import Send, ServerAnswer
from memgen.weaver.generated import INSERTED, NOT_ASKED, SKIPPED, Generated
from memgen.weaver.stream import INFERENCE, PROMPT, StreamRules
from memupdate.errors import FieldError

# Logit biases that close a gate or force it. The logits of a row with an open gate are normalised, so these values
# are far outside their range.
CLOSE, FORCE = -1.0e4, 5.0e3


class LatentClient:
    """Generates responses on a server. One client can generate any number of responses at the same time.

    Attributes:
        requests: number of requests sent so far.
    """

    def __init__(self, rules: StreamRules, mode: str, transport: Send) -> None:
        """Sets up the client.

        Args:
            rules: the model's stream rules.
            mode: ``learned``, ``always`` or ``never``. Clients with different modes can use the same server.
            transport: function that sends one request.
        """
        self.rules, self.mode, self.transport = rules, mode, transport
        self.requests = 0

    async def generate(
        self,
        prompt: Sequence[int],
        max_new_tokens: int,
        temperature: float = 1.0,
        stop_ids: Iterable[int] = (),
        turn: int = 0,
    ) -> Generated:
        """Generates one response.

        Args:
            prompt: text ids of the prompt.
            max_new_tokens: maximum number of text ids in the response; latents do not count.
            temperature: sampling temperature; 0 means greedy decoding.
            stop_ids: ids that end the response.
            turn: 0-based index of the turn in its conversation.

        Returns:
            The response. Its log-probs come from the server.

        Raises:
            FieldError: the prompt is empty or holds a reserved id, or ``max_new_tokens`` is below 1.
        """
        if not prompt or max_new_tokens < 1:
            raise FieldError("prompt, max_new_tokens", (list(prompt), max_new_tokens), "at least one id each")
        self.rules.reserved.reject_in(prompt, "prompt")
        result = Generated(list(prompt))
        stops = frozenset(stop_ids)
        at_prompt_end = self.mode != "never" and self.rules.asked_at_prompt_end(turn) is not None
        if at_prompt_end and self.mode == "always":
            self._insert(result, PROMPT, 0.0)
            at_prompt_end = False
        # A delimiter at the end of the prompt is not a delimiter of the response, but the server cannot know that.
        hides_delimiter = self.mode != "never" and self.rules.delimiters.counts(_before_last(prompt), prompt[-1])
        inserted = 0
        while len(result.text_ids) < max_new_tokens:
            alone = not result.response_ids and (at_prompt_end or hides_delimiter)
            left = 1 if alone else max_new_tokens - len(result.text_ids)
            closed = alone or self.mode == "never" or inserted >= self.rules.max_inference_aug_num
            answer = await self._ask(result.stream, left, temperature, stops, self._bias(at_prompt_end, closed))
            for token, log_prob in zip(answer.token_ids, answer.log_probs, strict=True):
                kind = self.rules.reserved.places.get(token, (None, 0))[0]
                if kind is not None:
                    self._insert(result, kind, log_prob)
                    inserted += kind == INFERENCE
                else:
                    self._append(result, token, log_prob, at_prompt_end, inserted)
                at_prompt_end = False
            if answer.stopped and result.text_ids[-1:] == answer.token_ids[-1:]:
                result.finish_reason = "stop"
                break
        return result

    def _bias(self, at_prompt_end: bool, closed: bool) -> dict[str, float]:
        """Returns the logit bias of a request.

        Args:
            at_prompt_end: whether the prompt's gate is open.
            closed: whether the gate after delimiters is closed.
        """
        prompt_first, inference_first = self.rules.reserved.prompt[0], self.rules.reserved.inference[0]
        bias = {} if at_prompt_end else {str(prompt_first): CLOSE}
        if closed:
            bias[str(inference_first)] = CLOSE
        elif self.mode == "always":
            bias[str(inference_first)] = FORCE
        return bias

    async def _ask(
        self,
        stream: list[int],
        max_new_tokens: int,
        temperature: float,
        stops: frozenset[int],
        bias: dict[str, float],
    ) -> ServerAnswer:
        firsts = (self.rules.reserved.prompt[0], self.rules.reserved.inference[0])
        start = -1
        if stream[-1] in self.rules.reserved.places:
            # The server's cached prefix must not end inside the block. It ends at the latest where log-probs start.
            start = max(i for i, token in enumerate(stream) if token in firsts)
        self.requests += 1
        sampling = {
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "stop_token_ids": sorted({*firsts, *stops}),
            "logit_bias": bias,
        }
        return await self.transport(stream, sampling, start)

    def _insert(self, result: Generated, kind: int, log_prob: float) -> None:
        block = self.rules.reserved.block(kind)
        result.response_ids += block
        result.log_probs += [log_prob] + [0.0] * (len(block) - 1)
        result.decisions += [INSERTED] + [NOT_ASKED] * (len(block) - 1)

    def _append(self, result: Generated, token: int, log_prob: float, at_prompt_end: bool, inserted: int) -> None:
        asked = at_prompt_end
        if result.response_ids and result.response_ids[-1] not in self.rules.reserved.places:
            asked = self.rules.asked_after(_before_last(result.stream), result.response_ids[-1], inserted) is not None
        result.response_ids.append(token)
        result.text_ids.append(token)
        result.log_probs.append(log_prob)
        result.decisions.append(SKIPPED if asked and self.mode != "never" else NOT_ASKED)


def _before_last(ids: Sequence[int]) -> int | None:
    return ids[-2] if len(ids) > 1 else None
