"""A run from its settings: makes or reads the model, trains it, generates, evaluates."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from memgen.data.examples import Example, read_examples, split_examples
from memgen.data.questions import questions_of
from memgen.data.streams import generation_prefix, prompt_ids, weave_examples
from memgen.model import Generated, LoraSettings, MemGenConfig, MemGenModel, SamplingSettings, build_memgen
from memgen.settings import Lora, Settings, as_dict
from memgen.stream import DelimiterTable
from memgen.tasks import reward_of
from memupdate.errors import FieldError
from memupdate.evaluation.intervals import cluster_bootstrap

logger = logging.getLogger(__name__)

SETTINGS = "settings.json"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class MemGenRunner:
    """Runs what its settings say."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = Path(settings.run.output_dir or ".")

    # -- training

    def train(self) -> Path:
        """Trains what ``run.stage`` names on the examples, by ``run.method``, and returns the model's folder.

        A run that was stopped goes on from its last checkpoint when it is called again with the same settings, and
        ends with the same weights.

        Raises:
            FieldError: ``output_dir`` holds a run of other settings; see also :mod:`memgen.settings`,
                :func:`memgen.data.weave_examples` and :func:`memgen.training.policy_job.check_questions`.
            DataError: see :func:`memgen.data.read_examples`.
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
        from memgen.training.job import train_weaver

        begun = self._is_begun()
        config, tokenizer = self._initial(anew=not begun)
        rows = [
            weave_examples(side, tokenizer, config.rules(), config.generation_prefix_ids, self._most_items(config))
            for side in (train, valid)
        ]
        if not begun:
            self._begin()
        return train_weaver(self.settings, self.folder.resolve() / "initial", *rows)

    def _train_on_rewards(self, train: list[Example], valid: list[Example]) -> Path:
        from memgen.training.policy_job import check_questions, train_policy

        begun = self._is_begun()
        config, tokenizer = self._initial(anew=not begun)
        questions = questions_of(train), questions_of(valid)
        longest_prompt = check_questions(self.settings, config, tokenizer, *questions)
        if not begun:
            self._begin()
        return train_policy(self.settings, self.folder.resolve() / "initial", config, longest_prompt, *questions)

    def _most_items(self, config: MemGenConfig) -> int:
        if self.settings.dataset.max_length > config.max_position_embeddings:
            raise FieldError(
                "dataset.max_length",
                self.settings.dataset.max_length,
                f"at most {config.max_position_embeddings}, the context of the model",
            )
        return self.settings.dataset.max_length

    def _is_begun(self) -> bool:
        """Whether the folder holds this run already.

        Raises:
            FieldError: it holds a run of other settings.
        """
        path = self.folder / SETTINGS
        if not path.is_file():
            return False
        earlier = json.loads(path.read_text())
        mine = as_dict(self.settings)
        mine["run"]["output_dir"] = earlier["run"]["output_dir"]  # a folder may have been moved
        differing = sorted(_differences(earlier, mine, ""))
        if differing:
            key, then, now = differing[0]
            raise FieldError(key, now, f"{then}, as in the run that {self.folder} holds; or another run.output_dir")
        return True

    def _begin(self) -> None:
        partial = self.folder / f"{SETTINGS}.partial"
        partial.write_text(json.dumps(as_dict(self.settings), indent=1) + "\n")
        partial.replace(self.folder / SETTINGS)

    def _initial(self, anew: bool) -> tuple[MemGenConfig, Any]:
        """Config and tokenizer of the model that training starts from, which is in ``initial/`` afterwards."""
        target = self.folder / "initial"
        if anew:
            model, tokenizer = self.load()
            if self.settings.run.method == "grpo":
                model.config.temperature = self.settings.run.grpo.temperature  # the gate's, and the trainer's
            shutil.rmtree(target, ignore_errors=True)  # of a call that ended before the run began
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
        config = MemGenConfig.from_pretrained(target)
        assert isinstance(config, MemGenConfig)
        return config, AutoTokenizer.from_pretrained(target)

    # -- the model

    def load(self) -> tuple[MemGenModel, Any]:
        """The model that the settings name, and its tokenizer.

        Raises:
            FieldError: a folder that is none, or a checkpoint that is not what the settings say.
        """
        wanted = self.settings.model
        torch.manual_seed(self.settings.run.seed)
        if wanted.load_model_path is not None:
            if not (Path(wanted.load_model_path) / "config.json").is_file():
                raise FieldError("model.load_model_path", wanted.load_model_path, "a folder of a MemGen checkpoint")
            tokenizer = AutoTokenizer.from_pretrained(wanted.load_model_path)
            config = MemGenConfig.from_pretrained(wanted.load_model_path)
            assert isinstance(config, MemGenConfig)
            config.check_tokenizer(tokenizer)
            self._check_loaded(config, tokenizer)
            model = MemGenModel.from_pretrained(wanted.load_model_path, dtype=torch.float32)
            model.config.mode = wanted.mode
            return model, tokenizer
        assert wanted.reasoner is not None  # read_settings refuses to leave out both
        reasoner = _pretrained("model.reasoner", wanted.reasoner)
        tokenizer = AutoTokenizer.from_pretrained(wanted.reasoner)
        model = build_memgen(
            reasoner,
            tokenizer,
            weaver=wanted.weaver,
            trigger=wanted.trigger,
            mode=wanted.mode,
            prompt_latents=wanted.prompt_latents,
            inference_latents=wanted.inference_latents,
            max_prompt_aug_num=wanted.max_prompt_aug_num,
            max_inference_aug_num=wanted.max_inference_aug_num,
            delimiters=wanted.delimiters,
            exempt_numbers=wanted.exempt_numbers,
            generation_prefix=generation_prefix(tokenizer),
            weaver_base=None if wanted.weaver_base is None else _pretrained("model.weaver_base", wanted.weaver_base),
            trigger_base=(
                None if wanted.trigger_base is None else _pretrained("model.trigger_base", wanted.trigger_base)
            ),
            weaver_lora=_lora(wanted.weaver_lora),
            trigger_lora=_lora(wanted.trigger_lora),
        )
        return model, tokenizer

    def _check_loaded(self, config: MemGenConfig, tokenizer: Any) -> None:
        """A checkpoint must be what the settings say: a key that changed nothing would mislead."""
        wanted = self.settings.model
        table = DelimiterTable.from_tokenizer(tokenizer, wanted.delimiters, wanted.exempt_numbers)
        found = {
            "weaver": config.weaver,
            "trigger": config.trigger,
            "prompt_latents": len(config.prompt_ids),
            "inference_latents": len(config.inference_ids),
            "max_prompt_aug_num": config.max_prompt_aug_num,
            "max_inference_aug_num": config.max_inference_aug_num,
        }
        for key, value in found.items():
            if getattr(wanted, key) != value:
                raise FieldError(f"model.{key}", getattr(wanted, key), f"{value}, as {wanted.load_model_path} has it")
        for name in ("weaver", "trigger"):
            given = _lora(getattr(wanted, f"{name}_lora"))
            if given != config.lora(name):
                raise FieldError(
                    f"model.{name}_lora", given, f"{config.lora(name)}, as {wanted.load_model_path} has it"
                )
        if table != config.rules().delimiters:
            raise FieldError("model.delimiters", wanted.delimiters, f"those of {wanted.load_model_path}")

    # -- generation

    def generate(self, prompts: Sequence[str]) -> list[dict[str, Any]]:
        """Answers questions, each the first message of a user; see :meth:`evaluate` for what comes back."""
        examples = [
            Example(({"role": "user", "content": text}, {"role": "assistant", "content": ""}), "prompt")
            for text in prompts
        ]
        model, tokenizer = self._ready()
        return [answer for answer, _ in self._answers(model, tokenizer, examples)]

    def evaluate(self) -> dict[str, float]:
        """Answers the test file's examples: ``evaluation-MODE/examples.jsonl`` and ``summary.json`` in the folder.

        Returns:
            ``examples``; ``score``: mean reward of the answers (``dataset.reward``), and its 95 % interval by bootstrap
            over the examples, ``score_low`` to ``score_high``; ``loss``: mean cross-entropy of the reference answers'
            text, in nats a token, with latents on the schedule of supervised data; ``invocation_rate``: blocks
            inserted, of the times that one could be; ``latents``: mean of a response; ``tokens``: mean of a response;
            ``tokens_per_second``: of text, over all.
        """
        dataset = self.settings.dataset
        assert dataset.test_file is not None
        examples = read_examples(Path(dataset.test_file), dataset.format, dataset.limit)
        model, tokenizer = self._ready()
        started, rows = time.perf_counter(), []
        target = self.folder / f"evaluation-{self.settings.model.mode}"
        target.mkdir(parents=True, exist_ok=True)
        reward = reward_of(dataset.reward_name)
        asked = 0
        with (target / "examples.jsonl").open("w") as file:
            for answer, generated in self._answers(model, tokenizer, examples):
                answer["score"] = reward(answer["answer"], answer["reference"])
                rows.append(answer)
                asked += generated.asked
                file.write(json.dumps(answer) + "\n")
        seconds = time.perf_counter() - started
        score = cluster_bootstrap([row["score"] for row in rows], range(len(rows)))
        count, tokens = len(rows), sum(row["tokens"] for row in rows)
        summary = {
            "examples": float(count),
            "score": score.mean,
            "score_low": score.low,
            "score_high": score.high,
            "loss": self._loss(model, tokenizer, examples),
            "invocation_rate": sum(row["blocks"] for row in rows) / asked if asked else 0.0,
            "latents": sum(row["latents"] for row in rows) / count,
            "tokens": tokens / count,
            "tokens_per_second": tokens / seconds,
        }
        (target / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
        return summary

    def _ready(self) -> tuple[MemGenModel, Any]:
        model, tokenizer = self.load()
        run = self.settings.run
        if run.device == "cpu":
            torch.set_num_threads(run.threads)
        return model.to(run.device, DTYPES[run.dtype]).eval(), tokenizer  # type: ignore[arg-type]

    def _answers(
        self, model: MemGenModel, tokenizer: Any, examples: Sequence[Example]
    ) -> Iterator[tuple[dict[str, Any], Generated]]:
        """An answer for each example, in order, and what was generated."""
        wanted = self.settings.run.generation
        sampling = SamplingSettings(wanted.temperature, wanted.top_k, wanted.top_p)
        for start in range(0, len(examples), wanted.batch_size):
            batch = examples[start : start + wanted.batch_size]
            generated = model.generate(
                [prompt_ids(tokenizer, example.prompt) for example in batch],
                max_new_tokens=wanted.max_new_tokens,
                sampling=sampling,
                stop_ids=[tokenizer.eos_token_id],
                seeds=[self.settings.run.seed * 1_000_003 + start + index for index in range(len(batch))],
            )
            for example, row in zip(batch, generated.rows, strict=True):
                yield (
                    {
                        "prompt": list(example.prompt),
                        "reference": example.reference,
                        "answer": tokenizer.decode(row.text_ids, skip_special_tokens=True),
                        "finish_reason": row.finish_reason,
                        "tokens": len(row.text_ids),
                        "blocks": row.blocks,
                        "latents": len(row.response_ids) - len(row.text_ids),
                    },
                    row,
                )

    def _loss(self, model: MemGenModel, tokenizer: Any, examples: Sequence[Example]) -> float:
        """Mean cross-entropy of the assistant's text; without latents where the mode is ``never``."""
        config = model.config
        rows = weave_examples(
            examples, tokenizer, config.rules(), config.generation_prefix_ids, self._most_items(config)
        )
        total, count = 0.0, 0
        for row in rows:
            kept = [
                index
                for index, token in enumerate(row.input_ids)
                if config.mode != "never" or token not in model.rules.reserved.places
            ]
            ids = torch.tensor([[row.input_ids[index] for index in kept]], device=model.device)
            learnt = torch.tensor([row.loss_mask[index] for index in kept], device=model.device).bool()
            with torch.inference_mode():
                logits = model(ids, attention_mask=torch.ones_like(ids)).logits[0].float()
            log_probs = logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
            total -= float(log_probs[learnt[1:]].sum())
            count += int(learnt.sum())
        return total / count


def _pretrained(field: str, path: str) -> Any:
    try:
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise FieldError(field, path, f"a causal LM that can be read here ({str(error).splitlines()[0]})") from error


def _lora(given: Lora) -> LoraSettings:
    return LoraSettings(given.rank, given.alpha, given.dropout, tuple(given.target_modules))


def _differences(then: Any, now: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Dotted key, earlier and present value, of every leaf that differs."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in then.keys() | now.keys():
            yield from _differences(then.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif then != now:
        yield path, then, now
