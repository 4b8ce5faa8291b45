"""The weaver and trigger classes by their names in a config."""

from __future__ import annotations

from collections.abc import Mapping

from memgen.weaver.paper_weaver import PaperWeaver
from memgen.weaver.shared_weaver import SharedWeaver
from memgen.weaver.triggers import HeadTrigger, MemGenTrigger, PaperTrigger
from memgen.weaver.weavers import MemGenWeaver

WEAVERS: Mapping[str, type[MemGenWeaver]] = {"paper": PaperWeaver, "shared": SharedWeaver}
TRIGGERS: Mapping[str, type[MemGenTrigger]] = {"paper": PaperTrigger, "head": HeadTrigger}
