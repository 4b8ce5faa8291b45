"""Checks of a run's config before anything starts. One function, :func:`check_run`, makes all of them.

verl finds most of these faults only after minutes, in a Ray actor, and some of them never.
"""
