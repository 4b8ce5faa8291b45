"""What generation returns: responses as streams, and what was decided in them."""

from __future__ import annotations

from dataclasses import dataclass, field

# Values of a decision mask.
NOT_ASKED, SKIPPED, INSERTED = -100, 0, 1


@dataclass
class Generated:
    """One row's response.

    Attributes:
        prompt_ids: the prompt.
        response_ids: the response as a stream: text and whole blocks.
        log_probs: log-prob of each response id under the policy; exactly 0 where it was forced.
        decisions: for each response id, whether it was drawn where the trigger was asked: -100 not asked, 0 skipped,
            1 inserted. Where a block is forced by mode ``always``, 1.
        text_ids: the response without latents.
        finish_reason: ``stop`` (an end id was drawn) or ``length``.
    """

    prompt_ids: list[int]
    response_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    decisions: list[int] = field(default_factory=list)
    text_ids: list[int] = field(default_factory=list)
    finish_reason: str = "length"

    @property
    def stream(self) -> list[int]:
        """Prompt and response: what determines the run, and what the training forward takes."""
        return self.prompt_ids + self.response_ids

    @property
    def blocks(self) -> int:
        """How many blocks were inserted."""
        return self.decisions.count(INSERTED)

    @property
    def asked(self) -> int:
        """How often the trigger was asked."""
        return len(self.decisions) - self.decisions.count(NOT_ASKED)


@dataclass
class GeneratedBatch:
    """The rows in the order of their prompts, and the positions that each part computed for all of them.

    ``positions`` has ``reasoner`` (prompt, latents and text; the last id drawn is not fed), ``weaver`` (what it read
    and its queries) and ``trigger``.
    """

    rows: list[Generated]
    positions: dict[str, int]
