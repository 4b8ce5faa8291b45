"""The check of a config's rollout engine, before anything starts."""

from __future__ import annotations

from omegaconf import DictConfig

from memupdate.errors import FieldError
from memupdate.platform.rollout.table import ROLLOUTS


def check_rollout(config: DictConfig) -> None:
    """Checks that the rollout engine is one that verl will find, and imports it if it is in the table.

    verl's own engines are not imported: that may need a GPU.

    Raises:
        FieldError: there is no such engine, or the table's entry is not an engine.
        ImportError: the engine needs a package of an extra that is not installed.
    """
    from verl.utils.import_utils import import_external_libs
    from verl.workers.rollout import base as rollout_base

    from memupdate.platform.rollout.snapshot import SnapshotReplica

    name = config.actor_rollout_ref.rollout.name
    if name in ROLLOUTS:
        found: object = ROLLOUTS.load(name)
        if not (isinstance(found, type) and issubclass(found, SnapshotReplica)):
            raise FieldError(f"entry {name!r} of {ROLLOUTS.group}", ROLLOUTS[name], "a subclass of SnapshotReplica")
        return
    if (name, "async") not in rollout_base._ROLLOUT_REGISTRY:
        import_external_libs(config.actor_rollout_ref.model.external_lib)  # it may register engines of its own
    known = [engine for engine, mode in rollout_base._ROLLOUT_REGISTRY if mode == "async"]
    if name not in known:
        raise FieldError(ROLLOUTS.field, name, "one of " + ", ".join(dict.fromkeys([*ROLLOUTS, *known])))
