"""G34: an unknown key is an error; overrides ``k v`` and ``k=v``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from memgen.cli import main
from memgen.settings import parse_options, read_settings
from memupdate.errors import DataError, FieldError

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = ROOT / "configs" / "latent_memory"
NEEDED = ["model.reasoner", "base", "dataset.train_file=train.jsonl", "run.output_dir", "out"]


def test_g34_overrides_are_words_in_pairs_or_with_an_equals_sign() -> None:
    options = ["model.mode", "learned", "run.sft.lr=0.5", "run.seed", "7", "model.delimiters=[a, b]"]
    settings = read_settings(CONFIGS / "instruction.yaml", [*NEEDED, *options])
    assert (settings.model.mode, settings.run.sft.lr, settings.run.seed) == ("learned", 0.5, 7)
    assert settings.model.delimiters == ["a", "b"]
    assert settings.model.inference_latents == 8  # the file's
    assert parse_options(["a", "b=c", "d=e=f"]) == [("a", "b=c"), ("d", "e=f")]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["datasets.mode", "sft"], "datasets"),
        (["model.weavr=paper"], "model.weavr"),
        (["run.sft.batchsize", "4"], "run.sft.batchsize"),
        (["model.weaver_lora.r=4"], "model.weaver_lora.r"),
        (["run.seed=x"], "run.seed"),
        (["run.sft", "4"], "run.sft"),
        (["run.mode=test"], "run.mode"),
        (["run.stage=head"], "run.stage"),
        (["run.stage=trigger"], "run.stage"),  # of sft
        (["run.method=ppo"], "run.method"),
        (["run.method=grpo", "run.stage=trigger"], "model.mode"),  # always, in the file
        (["run.method=grpo", "run.stage=both"], "model.mode"),
        (["run.method=grpo", "run.grpo.group_size=1"], "run.grpo.group_size"),
        (["run.method=grpo", "run.ranks=3", "run.sft.batch_size=3"], "run.grpo.batch_size"),
        (["run.grpo.loss_type=ppo"], "run.grpo.loss_type"),
        (["run.grpo.lr=0.1"], "run.grpo.lr"),  # a section: a rate for each stage
        (["run.grpo.lr.trigger=-1e-6"], "run.grpo.lr.trigger"),
        (["run.grpo.temperature=0"], "run.grpo.temperature"),
        (["run.grpo.invocation_penalty=-1"], "run.grpo.invocation_penalty"),
        (["run.grpo.kl_beta=-0.1"], "run.grpo.kl_beta"),
        (["run.grpo.save_steps=0"], "run.grpo.save_steps"),
        (["run.method=grpo", "run.grpo.trajectory_deadline_s=0"], "run.grpo.trajectory_deadline_s"),
        (["run.method=grpo", "run.grpo.step_deadline_s=5"], "run.grpo.step_deadline_s"),
        (["run.method=grpo", "run.grpo.max_failed_rollouts=1"], "run.grpo.max_failed_rollouts"),
        (["run.sft.batch_size=0"], "run.sft.batch_size"),
        (["run.ranks=2", "run.sft.batch_size=5"], "run.sft.batch_size"),
        (["dataset.valid_ratio=1"], "dataset.valid_ratio"),
        (["dataset.reward=code"], "dataset.reward"),
        (["dataset.reward=''"], "dataset.reward"),
        (["run.sft.lr=-1e-5"], "run.sft.lr"),
        (["run.sft.lr=.nan"], "run.sft.lr"),
        (["run.sft.clip_grad=0"], "run.sft.clip_grad"),
        (["run.grpo.weight_decay=-0.1"], "run.grpo.weight_decay"),
        (["run.grpo.valid_steps=0"], "run.grpo.valid_steps"),
        (["run.sft.valid_steps=-5"], "run.sft.valid_steps"),
        (["run.generation.temperature=-1"], "run.generation.temperature"),
        (["run.generation.top_p=0"], "run.generation.top_p"),
        (["run.generation.top_p=1.5"], "run.generation.top_p"),
        (["run.generation.top_k=-1"], "run.generation.top_k"),
        (["run.seed=-1"], "run.seed"),
        ([f"run.output_dir={__file__}/below"], "run.output_dir"),
        (["model.mode=never"], "model.mode"),
        (["run.output_dir=null"], "run.output_dir"),
        (["run.mode=evaluate"], "dataset.test_file"),
        (["model.reasoner=null"], "model.reasoner"),
        (["run.seed"], "--options"),
        (["run.seed=[1"], "run.seed"),
    ],
)
def test_g34_a_setting_that_is_not_allowed_names_itself(options: list[str], field: str) -> None:
    with pytest.raises(FieldError) as caught:
        read_settings(CONFIGS / "instruction.yaml", [*NEEDED, *options])
    assert caught.value.field == field


def test_a_learning_rate_of_zero_is_allowed() -> None:
    settings = read_settings(CONFIGS / "instruction.yaml", [*NEEDED, "run.sft.lr=0", "run.grpo.lr.trigger=0"])
    assert (settings.run.sft.lr, settings.run.grpo.lr["trigger"]) == (0, 0)


@pytest.mark.parametrize(
    ("name", "options", "reward"),
    [
        ("gsm8k", [], "math"),
        ("instruction", [], "exact"),
        ("conversation", [], "exact"),
        ("instruction", ["dataset.reward", "math"], "math"),
        ("gsm8k", ["dataset.reward=math_first_box"], "math_first_box"),
    ],
)
def test_a_reward_is_the_format_s_unless_it_is_given(name: str, options: list[str], reward: str) -> None:
    assert read_settings(CONFIGS / f"{name}.yaml", [*NEEDED, *options]).dataset.reward_name == reward


def test_g34_a_file_with_an_unknown_key_or_of_no_settings_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model: {reasoner: x}\ndatasets: {mode: sft}\n")
    with pytest.raises(FieldError, match=r"datasets: got .*; allowed: .*dataset"):
        read_settings(tmp_path / "a.yaml")
    with pytest.raises(DataError, match="expected a YAML file"):
        read_settings(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_text("- a\n")
    with pytest.raises(DataError, match="expected the sections model, dataset, run"):
        read_settings(tmp_path / "b.yaml")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_is_valid_and_has_the_published_defaults(path: Path) -> None:
    settings = read_settings(path, NEEDED)
    sft, model = settings.run.sft, settings.model
    assert (sft.epochs, sft.batch_size, sft.lr, sft.lr_scheduler_type, sft.warmup_ratio) == (2, 4, 1e-5, "cosine", 0.1)
    assert (model.prompt_latents, model.inference_latents) == (8, 8)
    assert (model.max_prompt_aug_num, model.max_inference_aug_num) == (1, 5)
    grpo, gsm8k = settings.run.grpo, path.stem == "gsm8k"
    assert (grpo.group_size, grpo.kl_beta, grpo.lr["weaver"]) == (8, 0.0, 1e-5)
    assert (grpo.lr["trigger"], grpo.max_new_tokens) == ((1e-6, 1024) if gsm8k else (1e-5, 512))
    lora = model.weaver_lora
    assert (lora.rank, lora.alpha, lora.dropout, lora.target_modules) == (16, 32.0, 0.1, ["q_proj", "v_proj"])


def test_g34_wrong_input_ends_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--cfg-path", str(CONFIGS / "gsm8k.yaml"), "--options", "datasets.mode", "sft"]
    assert main(arguments) == 2
    assert "datasets: got" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["main.py"], ["-m", "memgen.cli", "train"]])
def test_g34_every_entry_point_refuses_alike(command: list[str]) -> None:
    """And before torch is loaded, which takes seconds."""
    arguments = ["--cfg-path", str(CONFIGS / "gsm8k.yaml"), "--options", "run.sft.epoch", "3"]
    command = [sys.executable, "-X", "importtime", *command, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "run.sft.epoch: got 3; allowed: keys of run.sft: epochs" in done.stderr
    assert not re.search(r"\| +torch$", done.stderr, flags=re.MULTILINE)


@pytest.mark.parametrize("name", ["weaver_train.sh", "trigger_train.sh", "eval.sh"])
def test_a_script_without_a_data_set_explains_itself(name: str) -> None:
    done = subprocess.run(["bash", str(ROOT / "scripts" / name)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert f"bash scripts/{name} DATASET" in done.stderr
