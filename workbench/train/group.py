"""What the processes of one training say to each other: sums of gradients, one answer for all, who writes.

    with joined(rank=1, count=2, store=path) as group:      in each process; ALONE where there is only one
        group.sum_gradients(parameters)                     every process ends with the sum over all
        group.any(cancelled)                                True everywhere if it is True in one

Each process reads its share of the rows of every optimiser step and divides its loss by the tokens of all of them, so
the sum of the gradients is the gradient of the whole step. Adapters are small: the sum is taken once per step, after
the last backward pass, and no wrapper stands around the model.

Imported from inside `run` only: torch takes 3 s.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from workbench.core.errors import IncompleteError

_PATIENCE = timedelta(hours=12)
"""How long one waits for another, which may be looking at validation rows; dead ones are noticed by the supervisor."""
_BUCKET = 16_000_000
"""Numbers that are summed at once."""
_RANDOM = "random.safetensors"


class PeerLost(Exception):
    """Another process of the training ended, or cannot be reached."""


@dataclass(frozen=True, slots=True)
class Group:
    """One process among `count`; every method must be called by all of them, in the same order."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"
    """Where tensors must be to be exchanged."""

    @property
    def leads(self) -> bool:
        """Whether this is the process that tells, writes and keeps."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over the processes."""
        if self.count == 1:
            return list(values)
        together = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        self._reduce(together)
        return [float(value) for value in together.tolist()]

    def any(self, value: bool) -> bool:
        """Whether it holds in one of the processes."""
        return value if self.count == 1 else self.sum([float(value)])[0] > 0

    def of_leader(self, compute: Callable[[], float]) -> float:
        """What `compute` gives in the leading process; the others wait for it."""
        return self.sum([compute() if self.leads else 0.0])[0]

    def sum_gradients(self, parameters: Sequence[Any]) -> None:
        """Replaces the gradient of every parameter by its sum over the processes; none counts as zero."""
        if self.count == 1:
            return
        for bucket in _buckets(parameters):
            gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in bucket]
            together = torch.cat([gradient.reshape(-1) for gradient in gradients])
            self._reduce(together)
            for parameter, summed in zip(bucket, together.split([one.numel() for one in bucket]), strict=True):
                parameter.grad = summed.view_as(parameter).clone()

    def share_parameters(self, parameters: Sequence[Any]) -> None:
        """Gives every process the leading one's values."""
        if self.count > 1:
            for parameter in parameters:
                self._exchanged(distributed.broadcast, parameter.detach())

    def require_equal(self, parameters: Sequence[Any]) -> None:
        """IncompleteError if the parameters of the processes have drifted apart: their gradients were not summed."""
        if self.count == 1:
            return
        own = _digest(parameters)
        leading = self.sum(own if self.leads else [0.0] * len(own))
        if self.any(own != leading):
            raise IncompleteError(
                f"the {self.count} processes no longer have the same adapter",
                where="train.processes",
                next_step="train with train.processes: 1, and report this with the run's log.txt",
            )

    def seed(self, seed: int) -> None:
        """Random numbers of its own for every process but the leading one, whose are those of a single process."""
        if not self.leads:
            torch.manual_seed(seed + 1_000_003 * self.rank)  # dropout: the same masks everywhere would be half as many

    def random_states(self) -> dict[str, Any]:
        """The state of torch's random numbers in every process, for a checkpoint; nothing for a single process."""
        if self.count == 1:
            return {}
        own = {"cpu": torch.get_rng_state()}
        if self.device != "cpu":
            own["cuda"] = torch.cuda.get_rng_state()
        found: dict[str, Any] = {}
        for kind, state in own.items():
            rows = torch.zeros(self.count, len(state), dtype=torch.float64, device=self.device)
            rows[self.rank] = state.to(self.device)
            self._reduce(rows)
            found |= {f"{kind}:{rank}": row.to("cpu", torch.uint8) for rank, row in enumerate(rows)}
        return found

    def write_random(self, directory: Path, states: dict[str, Any]) -> None:
        """Adds what `random_states` gave to a checkpoint."""
        from safetensors.torch import save_file

        if states:
            save_file(states, str(directory / _RANDOM))

    def read_random(self, directory: Path) -> bool:
        """Takes up this process's state from a checkpoint; False if as many processes as now did not write it."""
        from safetensors.torch import load_file

        file = directory / _RANDOM
        states = load_file(str(file)) if file.is_file() else {}
        written_by = max(1, sum(name.startswith("cpu:") for name in states))
        if written_by != self.count:
            return False
        if self.count > 1:
            torch.set_rng_state(states[f"cpu:{self.rank}"])
            if self.device != "cpu":
                torch.cuda.set_rng_state(states[f"cuda:{self.rank}"])
        return True

    def _reduce(self, tensor: Any) -> None:
        """Sums in place over the processes."""
        self._exchanged(distributed.all_reduce, tensor)

    def _exchanged(self, exchange: Callable[..., object], tensor: Any) -> None:
        """Changes the tensor in place by an exchange with the others; PeerLost if one of them is gone."""
        try:
            exchange(tensor, **({"src": 0} if exchange is distributed.broadcast else {}))
        except RuntimeError as error:
            raise PeerLost(str(error).splitlines()[0]) from error


ALONE = Group()
"""One process: nothing is exchanged."""


@contextmanager
def joined(rank: int, count: int, store: Path) -> Iterator[Group]:
    """This process among the others, who meet at the file `store` and talk over the loopback interface.

    On GPUs each process must see one of its own alone (CUDA_VISIBLE_DEVICES). Raises PeerLost if they do not meet.
    """
    if count == 1:
        yield ALONE
        return
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
    os.environ.setdefault("NCCL_SOCKET_IFNAME", loopback)
    on_gpu = torch.cuda.is_available()
    try:
        meeting = distributed.FileStore(str(store), count)
        backend = "nccl" if on_gpu else "gloo"
        distributed.init_process_group(backend, store=meeting, rank=rank, world_size=count, timeout=_PATIENCE)
    except RuntimeError as error:
        raise PeerLost(str(error).splitlines()[0]) from error
    try:
        yield Group(rank, count, "cuda" if on_gpu else "cpu")
    finally:
        distributed.destroy_process_group()


def _digest(parameters: Sequence[Any]) -> list[float]:
    """SHA-256 of the bytes of all parameters, as numbers that a sum keeps exact."""
    digest = hashlib.sha256()
    for parameter in parameters:
        digest.update(parameter.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return [float(byte) for byte in digest.digest()]


def _buckets(parameters: Sequence[Any]) -> Iterator[list[Any]]:
    bucket: list[Any] = []
    size = 0
    for parameter in parameters:
        if bucket and (size + parameter.numel() > _BUCKET or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.numel()
    if bucket:
        yield bucket
