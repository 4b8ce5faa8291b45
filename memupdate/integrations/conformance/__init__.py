"""Checks of what LangGraph's documentation promises of any ``BaseStore``. ``store_conformance`` runs them."""

from memupdate.integrations.conformance import batches, concurrency, items, lifetime, listing, namespaces, searching
from memupdate.integrations.conformance.check import CHECKS, FACES, Check, NotOffered, run_check

# These modules are imported because they register checks.
AREAS = (batches, items, namespaces, listing, searching, lifetime, concurrency)

__all__ = ["AREAS", "CHECKS", "FACES", "Check", "NotOffered", "run_check"]
