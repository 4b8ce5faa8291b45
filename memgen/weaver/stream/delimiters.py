"""The delimiters after which latents may be inserted, as sets of ids. So generation does not need to decode text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from memupdate.errors import FieldError

DEFAULT_DELIMITERS = (",", ".", "\n")


@dataclass(frozen=True)
class DelimiterTable:
    """The token ids after which a block may stand.

    Attributes:
        ids: tokens whose text ends in a delimiter. With number exemption, a token that itself ends in a digit and a
            point or comma is left out.
        separator_ids: tokens of ``ids`` whose whole text is a point or a comma. Right after one of ``digit_ids`` they
            are not delimiters. Empty without number exemption.
        digit_ids: tokens whose text ends in a digit. Empty without number exemption.
    """

    ids: frozenset[int]
    separator_ids: frozenset[int] = frozenset()
    digit_ids: frozenset[int] = frozenset()

    @classmethod
    def from_tokenizer(
        cls,
        tokenizer: Any,
        delimiters: Iterable[str] = DEFAULT_DELIMITERS,
        exempt_numbers: bool = False,
    ) -> DelimiterTable:
        """Builds the table. It decodes every id of the tokenizer once. Special and added tokens are never delimiters.

        Args:
            tokenizer: the reasoner's Hugging Face tokenizer.
            delimiters: texts. An id is a delimiter if its own text ends in one of them.
            exempt_numbers: whether a point or comma right after a digit is not a delimiter. Then ``3.14`` and ``1,000``
                are not split. A sentence that ends in a number also loses its insertion point, because the next id is
                not known yet.

        Raises:
            FieldError: there are no delimiters, one is empty, or no token ends in one of them.
        """
        delimiters = tuple(delimiters)
        if not delimiters or "" in delimiters:
            raise FieldError("delimiters", delimiters, "at least one text, none of them empty")
        special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
        texts = {
            token: text
            for token, text in enumerate(tokenizer.batch_decode([[token] for token in range(len(tokenizer))]))
            if token not in special
        }
        for delimiter in delimiters:
            if not any(text.endswith(delimiter) for text in texts.values()):
                raise FieldError("delimiters", delimiter, "texts that at least one token of the tokenizer ends in")
        ids = {token for token, text in texts.items() if text.endswith(delimiters)}
        if not exempt_numbers:
            return cls(frozenset(ids))
        inside_one_token = {t for t in ids if texts[t][-1] in ".," and texts[t][-2:-1].isdigit()}
        return cls(
            ids=frozenset(ids - inside_one_token),
            separator_ids=frozenset(token for token in ids if texts[token] in (".", ",")),
            digit_ids=frozenset(token for token, text in texts.items() if text[-1:].isdigit()),
        )

    def counts(self, previous: int | None, token: int) -> bool:
        """Returns whether a block may stand after ``token`` if ``previous`` is the item before ``token``."""
        return token in self.ids and not (token in self.separator_ids and previous in self.digit_ids)
