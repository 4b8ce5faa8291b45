"""The runner: trains, evaluates or generates as its settings say."""

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
    """Trains, evaluates and generates with the method in its settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.method = method_of(settings.model.method)
        self.folder = Path(settings.run.output_dir or ".")

    def train(self) -> Path:
        """Trains the components of ``run.stage`` on the training examples with ``run.method``.

        If a run was stopped, a new call with the same settings continues from the last checkpoint. It ends with the
        same weights as a run that was not stopped.

        Returns:
            Folder of the trained model.

        Raises:
            FieldError: ``output_dir`` holds a run with other settings. See also :func:`memgen.loading.load_model`,
                :func:`memgen.data.examples.split_examples`, :meth:`memgen.methods.LatentMethod.training_rows`,
                :func:`memgen.training.sft_job.train_supervised` and
                :func:`memgen.training.policy_job.check_questions`.
            DataError: see :func:`memgen.data.examples.read_examples`.
            StageError: a training process failed.
            LeaseHeldError: another process trains in ``output_dir``.
            RunStoppedError: the run was asked to stop. It has written a checkpoint.
        """
        from memupdate.platform.lease import hold

        with hold(self.folder):
            return self._train()

    def _train(self) -> Path:
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
        """Returns the model of the settings, in fp32, and its tokenizer.

        Raises:
            FieldError: the folder holds no model that can be loaded, or the checkpoint does not match the settings.
        """
        return load_model(self.settings)

    def generate(self, prompts: Sequence[str]) -> list[dict[str, Any]]:
        """Generates an answer to each prompt. Each prompt is the first user message of a new conversation.

        Returns:
            For each prompt, a dictionary with ``prompt`` (the messages), ``reference`` (empty), ``answer``,
            ``finish_reason`` and the method's counts.
        """
        examples = [
            Example(({"role": "user", "content": text}, {"role": "assistant", "content": ""}), "prompt")
            for text in prompts
        ]
        model, tokenizer = ready_model(self.settings)
        found = [row for row, _ in answers(self.settings, model, tokenizer, examples)]
        write_state(self.settings, model)
        return found

    def evaluate(self) -> dict[str, float | str | None]:
        """Answers the examples of the test file and scores the answers.

        Writes ``examples.jsonl`` and ``summary.json`` to the folder ``evaluation-VARIANT`` in the run's folder.

        Returns:
            The summary. ``examples`` is the number of examples. ``score`` is the mean reward (``dataset.reward``) of
            the answers. ``score_low`` and ``score_high`` are the bounds of its 95 % interval over the examples, and
            ``score_interval`` says how they were computed. If a single example has a score other than 0 and 1, there is
            no interval and both are None. ``loss`` is the mean cross-entropy of the text of all assistant turns in the
            test file, in nats per token, with latents inserted as in supervised training. ``tokens`` is the mean number
            of text tokens per answer. ``tokens_per_second`` is the number of text tokens in all answers per second. The
            method adds its own metrics, see :meth:`memgen.methods.LatentMethod.summary`.
        """
        dataset = self.settings.dataset
        assert dataset.test_file is not None
        examples = read_examples(Path(dataset.test_file), dataset.format, dataset.limit)
        target = self.folder / f"evaluation-{self.settings.model.variant}"
        return evaluate(self.settings, *ready_model(self.settings), examples, target)
