"""Gives a MemGen model to TRL's SFTTrainer: ``python trl_trainer.py FOLDER``. Prints the error that it ends with."""

from __future__ import annotations

import sys
from pathlib import Path

import trl
from datasets import Dataset
from hugging_face_models import make

from memupdate.errors import MemupdateError

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    made = make(folder / "model")
    rows = [{name: row[name][: sum(row["attention_mask"])] for name in ("input_ids", "labels")} for row in made.rows]
    settings = trl.SFTConfig(
        str(folder / "trainer"), max_steps=1, report_to=[], use_cpu=True, bf16=False, disable_tqdm=True, max_length=256
    )
    model = made.model()
    before = model.parameter_digest("weaver")
    trainer = trl.SFTTrainer(model, settings, train_dataset=Dataset.from_list(rows), processing_class=made.tokenizer)
    try:
        trainer.train()
    except MemupdateError as error:
        assert model.parameter_digest("weaver") == before
        sys.stdout.write(str(error))
