"""G24: the order of training is a function of seed and step."""

from __future__ import annotations

from itertools import chain

import pytest

from memgen.training.loader import StepLoader

ROWS = [{"row": number} for number in range(11)]


def loader(seed: int = 3, rank: int = 0, ranks: int = 1) -> StepLoader:
    return StepLoader(ROWS, 4, seed, lambda rows: {"rows": [row["row"] for row in rows]}, rank, ranks)


def steps(source: StepLoader, count: int) -> list[list[int]]:
    """The next steps, as verl's trainer asks for them: a loop for each epoch."""
    found: list[list[int]] = []
    while len(found) < count:
        for batch in source:
            found.append(batch["rows"])
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize("stopped", range(1, 6))
def test_g24_a_restored_loader_goes_on_wherever_it_was_stopped(stopped: int) -> None:
    """Also at an epoch's edge, after steps 2 and 4."""
    whole = steps(loader(), 6)
    first, second = loader(), loader()
    assert steps(first, stopped) == whole[:stopped]
    second.load_state_dict(first.state_dict())
    assert steps(second, 6 - stopped) == whole[stopped:]


def test_an_epoch_has_no_row_twice_and_another_order_than_the_last() -> None:
    one, two, three, four = steps(loader(), 4)
    assert len(loader()) == 2
    assert len({*one, *two}) == len({*three, *four}) == 8
    assert [one, two] != [three, four]
    assert steps(loader(seed=4), 2) != [one, two]


def test_ranks_share_a_batch() -> None:
    whole = steps(loader(), 3)
    shares = zip(steps(loader(rank=0, ranks=2), 3), steps(loader(rank=1, ranks=2), 3), strict=True)
    assert [sorted(chain(*pair)) for pair in shares] == [sorted(batch) for batch in whole]
    assert all(len(share) == 2 for share in steps(loader(rank=1, ranks=2), 3))
