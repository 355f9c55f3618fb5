"""One process of a group, without a model: python group_member.py RANK COUNT STORE; prints what it found as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from workbench.core.errors import IncompleteError
from workbench.train.group import Group, joined


def found_by(group: Group) -> dict[str, Any]:
    """Everything the processes can say to each other."""
    weights = [torch.nn.Parameter(torch.full((3,), float(group.rank + 1))), torch.nn.Parameter(torch.ones(2, 2))]
    weights[0].grad = torch.tensor([1.0, 2.0, 3.0]) * (group.rank + 1)
    if group.leads:
        weights[1].grad = torch.full((2, 2), 5.0)
    group.sum_gradients(weights)
    gradients = [weight.grad.flatten().tolist() for weight in weights if weight.grad is not None]
    apart = apartness(group, weights)
    # the same numbers in another order: their sum is equal
    swapped = apartness(group, [torch.nn.Parameter(torch.tensor([1.0, 2.0] if group.leads else [2.0, 1.0]))])
    group.share_parameters(weights)
    group.require_equal(weights)
    return {
        "gradients": gradients,
        "apart": apart,
        "swapped": swapped,
        "shared": weights[0].tolist(),
        "any": [group.any(group.rank == 1), group.any(False)],
        "of_leader": group.of_leader(lambda: 7.5),
        **random_numbers(group),
    }


def apartness(group: Group, weights: list[torch.nn.Parameter]) -> str:
    """What is said of processes that hold these; empty if they are the same."""
    try:
        group.require_equal(weights)
    except IncompleteError as error:
        return str(error)
    return ""


def random_numbers(group: Group) -> dict[str, Any]:
    """What is drawn after the state was kept, and once more after it was taken up."""
    torch.manual_seed(3)
    group.seed(3)
    with tempfile.TemporaryDirectory() as place:
        group.write_random(Path(place), group.random_states())
        drawn = torch.rand(4).tolist()
        is_own = group.read_random(Path(place))
        again = torch.rand(4).tolist()
        other = Group(group.rank, group.count + 1).read_random(Path(place))
    return {"drawn": drawn, "again": again, "is_own": is_own, "of_other_count": other}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])) as member:
        sys.stdout.write(json.dumps(found_by(member)))
