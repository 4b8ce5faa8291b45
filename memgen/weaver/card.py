"""The text of a MemGen checkpoint's model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memgen.base.model_card import write_model_card
from memgen.weaver.config import MemGenConfig

TEXT = """# MemGen

Latent memory for a frozen language model. The base model is unchanged. A *weaver* ({weaver}) writes vectors, called
latents, into its input, and a *trigger* ({trigger}) decides where. This model was made with `memgen`, a package of
`memupdate`.

## How to load it

Install `memupdate[train]`. Put the name of this model, or the path of its folder, in place of `MODEL`:

```python
from memgen import MemGenModel
from transformers import AutoTokenizer

model = MemGenModel.from_pretrained("MODEL")
tokenizer = AutoTokenizer.from_pretrained("MODEL")
inputs = tokenizer("Hello", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=50)[0]))
```

`AutoModelForCausalLM.from_pretrained("MODEL", trust_remote_code=True)` opens it too, with the installed package.

## What is in the folder

`model.safetensors` holds all tensors: the base model, the weaver and the trigger. The LoRA adapters are also
there in PEFT's format: {adapters}.

## For the author

Add what it was trained on, how well it does, and a license. The license of the base model applies to its tensors.
"""


def write_card(folder: Path, config: MemGenConfig, adapters: Sequence[str], tags: Sequence[str]) -> None:
    """Writes the card of a checkpoint, unless there is one.

    Args:
        folder: folder of the checkpoint.
        config: the model's config.
        adapters: names of its adapters.
        tags: the user's tags of the model.
    """
    folders = " and ".join(f"`{name}_adapter`" for name in adapters)
    write_model_card(
        folder,
        base=config.text_config.name_or_path,
        tags=["memgen", "latent-memory", *tags],
        text=TEXT.format(weaver=config.weaver, trigger=config.trigger, adapters=folders),
    )
