"""The tokenizer of the tiny policy: byte-level BPE whose pre-tokens are the units that the policy copies.

Copying is hardest for a very small model, so everything that it copies is one token: a memory id (``m12``), a search
score (`` 0.83``), the name of a tool or of a parameter (``merge_memory``), a run of JSON punctuation (``": ["``). So is
the beginning of each call up to the first text that the policy chooses (``{"name": "search_memory", "arguments":
{"query": "``): this leaves less to get wrong, and a turn of five notes is a third shorter. The rest is ordinary
byte-level BPE: any text can be encoded, and decoding gives the same text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from memupdate.errors import FieldError
from memupdate.policy.template import CHAT_TEMPLATE

END_OF_TURN = "<|im_end|>"
PADDING = "<|endoftext|>"
SPECIAL_TOKENS = (PADDING, "<|im_start|>", END_OF_TURN)
# Single tokens that a parser of tool calls must still see in the decoded text, as in Qwen's own tokenizer.
MARKUP_TOKENS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
# LoCoMo banks hold up to 324 memories, and a trajectory adds a few.
MEMORY_IDS = tuple(f"m{number}" for number in range(1, 400))
SCORES = tuple(f" {number / 100:.2f}" for number in range(101))

# How calls begin and end, between <tool_call> and </tool_call>.
CALL_FRAMES = (
    '\n{"name": "search_memory", "arguments": {"query": "',
    '\n{"name": "manage_memory", "arguments": {"operation": "create", "content": "',
    '\n{"name": "manage_memory", "arguments": {"operation": "update", "memory_id": "',
    '", "content": "',
    '\n{"name": "delete_memory", "arguments": {"memory_id": "',
    '\n{"name": "merge_memory", "arguments": {"memory_ids": ["',
    '"], "strategy": "',
    '\n{"name": "split_memory", "arguments": {"memory_id": "',
    '", "split_criteria": "',
    '"}}\n',
)
# The line break inside of a JSON string.
LINE_BREAK = "\\n"

# In order: the frames of calls; JSON punctuation with the quotes that follow it; an id; a score; a word or a name with
# the blank before it; the end of a contraction; a number; a sign; white space. A sign of prose ("?") never sticks to
# the JSON after it, so a question has the same tokens in the prompt and inside a query.
PRE_TOKENS = (
    "|".join(map(re.escape, (*CALL_FRAMES, LINE_BREAK))) + "|"
    r'["{}]["{}\[\],:]*(?: ["{\[]+)*'
    r"|m\d+(?![\p{L}_\d])"
    r"| [01]\.\d\d(?!\d)"
    r"| ?[\p{L}_]+"
    r"|'[a-z]+"
    r"| ?\d+"
    r"| ?[^\s\p{L}\p{N}]"
    r"|\s"
)


def train_tokenizer(texts: Iterable[str], protocol: Iterable[str], vocab_size: int = 2048) -> PreTrainedTokenizerFast:
    """Trains the tokenizer.

    Args:
        texts: the texts that the merges are learnt from, mainly questions and memories.
        protocol: texts whose pre-tokens all become single tokens, however rare they are: the frame of the prompt, tool
            calls, and tool results.
        vocab_size: number of entries, special tokens included.

    Returns:
        A fast tokenizer with the chat template. A turn ends with ``<|im_end|>``, and ``<|endoftext|>`` is the padding.

    Raises:
        FieldError: ``vocab_size`` is too small for the bytes, the ids, the scores and the protocol.
    """
    splitter = Tokenizer(models.BPE())
    splitter.pre_tokenizer = _pre_tokenizer()
    pieces = [piece for text in protocol for piece, _ in splitter.pre_tokenizer.pre_tokenize_str(text)]
    whole = dict.fromkeys([*map(as_bytes, (*MEMORY_IDS, *SCORES, *CALL_FRAMES, LINE_BREAK)), *pieces])
    frame = len(SPECIAL_TOKENS) + len(MARKUP_TOKENS)
    merged_size = vocab_size - frame - len(whole)
    if merged_size < 256:
        raise FieldError("vocab_size", vocab_size, f"an integer of at least {frame + len(whole) + 256}")
    trainer = trainers.BpeTrainer(
        vocab_size=merged_size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    splitter.train_from_iterator(texts, trainer)
    learnt = json.loads(splitter.to_str())["model"]

    vocab: dict[str, int] = {}
    for piece in [*sorted(learnt["vocab"], key=learnt["vocab"].__getitem__), *whole]:
        vocab.setdefault(piece, len(vocab))
    # ignore_merges: a pre-token that is an entry as a whole is that one token; merges serve all others.
    model = models.BPE(vocab=vocab, merges=[tuple(pair) for pair in learnt["merges"]], ignore_merges=True)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in MARKUP_TOKENS])
    make: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast  # its __init__ has no types
    fast = make(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=PADDING,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRE_TOKENS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def as_bytes(text: str) -> str:
    """Returns a text in the printable alphabet of byte-level BPE, in one piece."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return str(level.pre_tokenize_str(text)[0][0])
