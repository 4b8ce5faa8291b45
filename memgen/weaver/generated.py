"""The results of generation: responses as streams, and the trigger's decisions in them."""

from __future__ import annotations

from dataclasses import dataclass, field

# Values of a decision: the trigger was not asked, no block was inserted, a block was inserted.
NOT_ASKED, SKIPPED, INSERTED = -100, 0, 1


@dataclass
class Generated:
    """One row's response.

    Attributes:
        prompt_ids: ids of the prompt.
        response_ids: ids of the response as a stream: text and whole blocks.
        log_probs: log-prob of each response id under the policy; exactly 0 for an id that was forced.
        decisions: for each response id, the decision that it represents: -100 if the trigger was not asked, 0 if it
            skipped the block, 1 if it inserted the block. The first id of a block that mode ``always`` forces also
            has 1.
        text_ids: ids of the response without latents.
        finish_reason: ``stop`` if an end id was sampled, else ``length``.
    """

    prompt_ids: list[int]
    response_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    decisions: list[int] = field(default_factory=list)
    text_ids: list[int] = field(default_factory=list)
    finish_reason: str = "length"

    @property
    def stream(self) -> list[int]:
        """Ids of the prompt and the response, as the training forward pass takes them."""
        return self.prompt_ids + self.response_ids

    @property
    def blocks(self) -> int:
        """Number of inserted blocks."""
        return self.decisions.count(INSERTED)

    @property
    def asked(self) -> int:
        """Number of times the trigger was asked."""
        return len(self.decisions) - self.decisions.count(NOT_ASKED)


@dataclass
class GeneratedBatch:
    """The results of a batch.

    Attributes:
        rows: the responses, in the order of their prompts.
        positions: number of positions that each part computed, summed over the rows. ``reasoner`` counts prompt,
            latents and text, except the last sampled id, which is not fed. ``weaver`` counts the items that the weaver
            read and its queries. ``trigger`` counts the text that the trigger read.
    """

    rows: list[Generated]
    positions: dict[str, int]
