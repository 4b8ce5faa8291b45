"""A run from its settings: it trains a model, or answers and evaluates with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from memgen.data.examples import Example, read_examples, split_examples
from memgen.data.questions import questions_of
from memgen.evaluation import answers, evaluate
from memgen.loading import check_max_length, initial_model, load_model, ready_model
from memgen.methods import method_of
from memgen.run_folder import begin, is_begun
from memgen.sections import Settings
from memgen.state import write_state


class MemGenRunner:
    """Runs what its settings say, with the method that they name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.method = method_of(settings.model.method)
        self.folder = Path(settings.run.output_dir or ".")

    def train(self) -> Path:
        """Trains what ``run.stage`` names on the training examples, by ``run.method``.

        A run that was stopped goes on from its last checkpoint when it is called again with the same settings, and
        ends with the same weights.

        Returns:
            The trained model's folder.

        Raises:
            FieldError: ``output_dir`` holds a run of other settings; see also :mod:`memgen.settings`,
                :meth:`memgen.methods.LatentMethod.training_rows` and
                :func:`memgen.training.policy_job.check_questions`.
            DataError: see :func:`memgen.data.examples.read_examples`.
            StageError: the training's processes failed.
        """
        dataset = self.settings.dataset
        assert dataset.train_file is not None
        examples = read_examples(Path(dataset.train_file), dataset.format, dataset.limit)
        sides = split_examples(examples, dataset.valid_ratio, self.settings.run.seed)
        if self.settings.run.method == "sft":
            return self._train_on_references(*sides)
        return self._train_on_rewards(*sides)

    def _train_on_references(self, train: list[Example], valid: list[Example]) -> Path:
        from memgen.training.sft_job import train_supervised

        begun, initial = is_begun(self.folder, self.settings), self.folder.resolve() / "initial"
        config, tokenizer = initial_model(self.settings, initial, anew=not begun)
        longest = check_max_length(self.settings, config)
        rows = [self.method.training_rows(side, config, tokenizer, longest) for side in (train, valid)]
        if not begun:
            begin(self.folder, self.settings)
        return train_supervised(self.settings, initial, *rows)

    def _train_on_rewards(self, train: list[Example], valid: list[Example]) -> Path:
        from memgen.training.policy_job import check_questions, train_policy

        begun, initial = is_begun(self.folder, self.settings), self.folder.resolve() / "initial"
        config, tokenizer = initial_model(self.settings, initial, anew=not begun)
        questions = questions_of(train), questions_of(valid)
        longest_prompt = check_questions(self.settings, config, tokenizer, *questions)
        if not begun:
            begin(self.folder, self.settings)
        return train_policy(self.settings, initial, self.method.most_latents(config), longest_prompt, *questions)

    def load(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Returns the model that the settings name, and its tokenizer.

        Raises:
            FieldError: a folder that holds no such model, or a checkpoint that is not what the settings say.
        """
        return load_model(self.settings)

    def generate(self, prompts: Sequence[str]) -> list[dict[str, Any]]:
        """Answers questions, each of which is a user's first message.

        Returns:
            A JSON object for each: ``prompt``, ``answer``, ``finish_reason`` and the method's counts.
        """
        examples = [
            Example(({"role": "user", "content": text}, {"role": "assistant", "content": ""}), "prompt")
            for text in prompts
        ]
        model, tokenizer = ready_model(self.settings)
        found = [row for row, _ in answers(self.settings, model, tokenizer, examples)]
        write_state(self.settings, model)
        return found

    def evaluate(self) -> dict[str, float]:
        """Answers the test file's examples: ``evaluation-VARIANT/examples.jsonl`` and ``summary.json`` in the folder.

        Returns:
            The summary. ``examples`` is how many there are. ``score`` is the mean reward of the answers
            (``dataset.reward``), and its 95 % interval by bootstrap over the examples is ``score_low`` to
            ``score_high``. ``loss`` is the mean cross-entropy of the reference answers' text, in nats a token, with
            latents as in supervised training. ``tokens`` is the mean of an answer, and ``tokens_per_second`` counts the
            text of all. The method adds its own: see :meth:`memgen.methods.LatentMethod.summary`.
        """
        dataset = self.settings.dataset
        assert dataset.test_file is not None
        examples = read_examples(Path(dataset.test_file), dataset.format, dataset.limit)
        target = self.folder / f"evaluation-{self.settings.model.variant}"
        return evaluate(self.settings, *ready_model(self.settings), examples, target)
