"""py3langid's model, scored by compiled loops. Imported only when a text needs the model: brings numba, and 0.8 s of
unpacking the first time ever; what is unpacked stays in the user's cache, and processes share it.

    probabilities("Wie weit ist es bis zum Bahnhof?".encode())  ->  ("af", ..., "de", ...), [0.0004, ..., 0.92, ...]

The score is py3langid's own: log1p(count) of every byte n-gram times its weight, plus the prior, divided by the square
root of the length, softmax. Codes of three letters (dialects, mostly) are left out, but for `zxx`: no language at all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.core.paths import cache_dir
from workbench.text.compiling import compiled

NO_LANGUAGE = "zxx"
LONGEST = 4_000
"""Most bytes of a text."""


_LAYOUT = 1
"""Raised when the files of an unpacked model have another meaning."""
_WEIGHT_UNIT = 512
"""Weights are held as 512ths in 16 bits: exact, for the model has them in half precision."""
_SLOTS = 1 << 18
"""Of the table of edges: some 2.5 per edge."""
_SPREAD = 0x9E3779B1
"""Golden ratio in 32 bits: neighbouring keys get slots far apart."""
_STATE_BITS = 20
_NO_EDGE = -1
_STATES_AT_ONCE = 1_024


@dataclass(frozen=True, slots=True)
class _Model:
    """The automaton over bytes that finds the n-grams, and their weights.

    py3langid has the state after every byte in a table of 40 MB. Here it is what Aho and Corasick ("Efficient string
    matching", 1975) made first: the edges of a trie, and where to fall back to without an edge. That is 2 MB, which a
    processor keeps close by.
    """

    codes: NDArray[np.str_]
    """`[languages]` ISO 639-1 codes, and `zxx`."""
    edges: NDArray[np.int64]
    """`[262144]` hash table: key (state and byte) and state after it; -1 for an empty slot."""
    fall_back: NDArray[np.int32]
    """`[states]`: state from which to go on where there is no edge."""
    feature: NDArray[np.int32]
    """`[states]`: n-gram found on entering a state, -1 for none."""
    weights: NDArray[np.int16]
    """`[features, languages]` in 512ths."""
    prior: NDArray[np.float32]
    """`[languages]`."""
    logarithms: NDArray[np.float32]
    """log1p of how often an n-gram may come in a text, by the unit of the weights."""
    again: NDArray[np.int64]
    """`[pairs, 2]`: first and further column of a language with several, one per script."""


def probabilities(data: bytes) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The language codes and the probability of each for at most 4,000 UTF-8 bytes, `[languages]` float32."""
    codes, arrays = _model()
    return codes, _probabilities(np.frombuffer(data, dtype=np.uint8), *arrays)


def most_probable(data: bytes) -> tuple[str, float]:
    """The most probable of them, and its probability."""
    codes, arrays = _model()
    best, probability = _most_probable(np.frombuffer(data, dtype=np.uint8), *arrays)
    return codes[best], float(probability)


@lru_cache(maxsize=1)
def _model() -> tuple[tuple[str, ...], tuple[NDArray[Any], ...]]:
    """The codes, and all that the compiled loops need, in the order of `_Model`."""
    unpacked = cache_dir() / "languages" / f"py3langid-{version('py3langid')}-{_LAYOUT}"
    model = _loaded(unpacked)
    if model is None:
        model = _from_py3langid()
        # A cache that cannot be written costs time only.
        with contextlib.suppress(OSError):
            _save(model, unpacked)
    _, *arrays = (getattr(model, part.name) for part in fields(_Model))
    return tuple(model.codes.tolist()), tuple(arrays)


def _loaded(unpacked: Path) -> _Model | None:
    """The arrays of a folder, read where they lie on disk; None if they are not all there."""
    try:
        arrays = {part.name: np.load(unpacked / f"{part.name}.npy", mmap_mode="r") for part in fields(_Model)}
    except (OSError, ValueError, EOFError):
        return None
    return _Model(**{name: np.asarray(array) for name, array in arrays.items()})


def _save(model: _Model, unpacked: Path) -> None:
    """Writes the arrays aside, then puts them in the place of a damaged folder; another process may be faster."""
    aside = unpacked.with_name(f"{unpacked.name}.{os.getpid()}")
    try:
        aside.mkdir(parents=True)
        for part in fields(_Model):
            np.save(aside / f"{part.name}.npy", getattr(model, part.name))
        shutil.rmtree(unpacked, ignore_errors=True)
        aside.rename(unpacked)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _from_py3langid() -> _Model:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    logging.getLogger("py3langid").setLevel(logging.WARNING)
    whole = LanguageIdentifier.from_model_file(MODEL_FILE)
    columns = [column for column, code in enumerate(whole.nb_classes) if len(code) == 2 or code == NO_LANGUAGE]
    codes = [whole.nb_classes[column] for column in columns]
    again = [(first, column) for column, first in enumerate(map(codes.index, codes)) if first != column]
    edges, fall_back = _trie(np.asarray(whole.tk_nextmove), np.asarray(whole.tk_row, dtype=np.int32) << 8)
    model = _Model(
        codes=np.array(codes),
        edges=edges,
        fall_back=fall_back,
        feature=np.asarray(whole.tk_output, dtype=np.int32),
        weights=np.rint(whole.nb_ptc[:, columns] * np.float32(_WEIGHT_UNIT)).astype(np.int16, order="C"),
        prior=np.ascontiguousarray(whole.nb_pc[columns], dtype=np.float32),
        logarithms=(np.log1p(np.arange(LONGEST + 1)) / _WEIGHT_UNIT).astype(np.float32),
        again=np.array(again, dtype=np.int64).reshape(-1, 2),
    )
    for part in fields(_Model):
        # as read from disk: compiled loops tell arrays that can be written from others
        getattr(model, part.name).flags.writeable = False
    return model


def _trie(next_state: NDArray[Any], row_start: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Table of edges and fall-back states `[states]`, from `next_state[row_start[state] + byte]`.

    Breadth first: a state is as deep as the longest prefix it stands for is long, so the first way to it is its edge.
    """
    edges = np.full(_SLOTS, _NO_EDGE, dtype=np.int64)
    fall_back = np.zeros(len(row_start), dtype=np.int32)
    reached = np.zeros(len(row_start), dtype=np.bool_)
    reached[0] = True
    level = np.zeros(1, dtype=np.int64)
    while len(level):
        deeper = []
        for states in np.split(level, range(_STATES_AT_ONCE, len(level), _STATES_AT_ONCE)):
            after = next_state[row_start[states][:, None] + np.arange(256)]
            row, byte = np.nonzero(~reached[after])
            state, child = states[row], after[row, byte].astype(np.int64)
            fall_back[child] = np.where(state == 0, 0, next_state[row_start[fall_back[state]] + byte])
            reached[child] = True
            _insert(state << 8 | byte, child, edges)
            deeper.append(child)
        level = np.concatenate(deeper)
    return edges, fall_back


@compiled
def _insert(keys: Any, states: Any, edges: Any) -> None:
    for place in range(len(keys)):
        key = int(keys[place])
        slot = (key * _SPREAD >> 14) % _SLOTS
        while edges[slot] != _NO_EDGE:
            slot = (slot + 1) % _SLOTS
        edges[slot] = key << _STATE_BITS | int(states[place])


@compiled
def _features(data: Any, edges: Any, fall_back: Any, feature: Any, found: Any) -> Any:
    """Walks the automaton over `data` and writes the features to `found`; returns their number."""
    seen = 0
    state = 0
    for byte in data:
        while True:
            key = state << 8 | int(byte)
            slot = (key * _SPREAD >> 14) % _SLOTS
            while edges[slot] != _NO_EDGE and edges[slot] >> _STATE_BITS != key:
                slot = (slot + 1) % _SLOTS
            if edges[slot] != _NO_EDGE:
                state = int(edges[slot]) & ((1 << _STATE_BITS) - 1)
                break
            if state == 0:
                break
            state = int(fall_back[state])
        if feature[state] >= 0:
            found[seen] = feature[state]
            seen += 1
    return seen


@compiled
def _probabilities(
    data: Any, edges: Any, fall_back: Any, feature: Any, weights: Any, prior: Any, logarithms: Any, again: Any
) -> Any:
    """Probability of each language `[languages]`."""
    found = np.empty(len(data), dtype=np.int32)
    found = found[: _features(data, edges, fall_back, feature, found)]
    found.sort()
    scores = np.zeros(len(prior), dtype=np.float32)
    times = 0
    for place in range(len(found)):
        times += 1
        if place + 1 == len(found) or found[place + 1] != found[place]:
            scores += logarithms[times] * weights[found[place]]
            times = 0
    if len(found):
        scores += prior
    scores[:] = np.exp((scores - scores.max()) / max(1.0, len(data) ** 0.5))
    scores /= scores.sum()
    for pair in range(len(again)):
        scores[again[pair, 0]] += scores[again[pair, 1]]
        scores[again[pair, 1]] = 0
    return scores


@compiled
def _most_probable(
    data: Any, edges: Any, fall_back: Any, feature: Any, weights: Any, prior: Any, logarithms: Any, again: Any
) -> Any:
    scores = _probabilities(data, edges, fall_back, feature, weights, prior, logarithms, again)
    best = scores.argmax()
    return best, scores[best]
