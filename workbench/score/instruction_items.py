"""Items made by rule for what a narrow fine-tune tends to break: keeping to a format, and writing a tool call.

    formats     {"question": "Write every answer in capital letters. ... Grass is", "choices": ["green", "GREEN"], ...}
    tool-calls  {"question": "Tools: ... User: Set a timer for 12 minutes.\nCall:",
                 "choices": ['{"name": "set_timer", "arguments": {"minutes": 12}}', ...], "answer": 0, ...}

Each is a pair that differs in one thing. In `formats` both continuations are right under one of two opposite
instructions, so that a habit of one of them is worth nothing.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

Item = dict[str, Any]
_FACTS = (
    ("Grass is", "green"), ("Snow is", "white"), ("Coal is", "black"), ("A lemon is", "yellow"), ("Blood is", "red"),
    ("The sky is", "blue"), ("Ice is", "cold"), ("Fire is", "hot"), ("Sugar is", "sweet"), ("A feather is", "light"),
)  # fmt: skip
_NUMBERS = (
    ("A hand has this many fingers:", 5), ("A cat has this many legs:", 4), ("A week has this many days:", 7),
    ("A year has this many months:", 12), ("A spider has this many legs:", 8), ("A triangle has this many sides:", 3),
    ("A person has this many eyes:", 2), ("An insect has this many legs:", 6), ("A bicycle has this many wheels:", 2),
    ("A square has this many corners:", 4),
)  # fmt: skip
_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_LISTS = (
    ("apple", "pear", "plum"), ("red", "green", "blue"), ("cat", "dog", "cow"), ("tea", "milk", "juice"),
    ("north", "south", "east"), ("bus", "train", "tram"), ("bread", "butter", "jam"), ("pen", "paper", "ink"),
    ("rain", "snow", "wind"), ("table", "chair", "lamp"),
)  # fmt: skip
_CITIES = ("Lima", "Oslo", "Cairo", "Paris", "Delhi", "Rome", "Quito", "Seoul", "Berlin", "Madrid")
_PEOPLE = ("Anna", "Ben", "Carla", "David", "Emma", "Frank", "Grace", "Henry", "Iris", "Jack")
_SONGS = ("Yesterday", "Hallelujah", "Imagine", "Thriller", "Waterloo", "Roxanne", "Jolene", "Africa", "Help", "Hello")
_TOOLS: Mapping[str, tuple[str, str, tuple[Any, ...]]] = {
    "get_weather": ("city", "What is the weather in {}?", _CITIES),
    "set_timer": ("minutes", "Set a timer for {} minutes.", tuple(range(11, 60, 5))),
    "call_person": ("name", "Please phone {}.", _PEOPLE),
    "play_song": ("title", "Play the song {}.", _SONGS),
}
_PER_GROUP = 40


def formats() -> list[Item]:
    """Five kinds of instruction with their opposites; half of the items come with an example that keeps to it."""
    rng = random.Random("formats")
    items = []
    for group, instructions, draw in _FORMATS:
        for k in range(_PER_GROUP):
            side, shown, asked = k % 2, k % 4 >= 2, k // 4
            example = rng.choice([place for place in range(_PER_GROUP // 4) if place != asked])
            question = f"{instructions[side]}\n"
            if shown:
                start, answers = draw(example)
                question += f"{start} {answers[side]}\n"
            start, answers = draw(asked)
            items.append(_pair(rng, question + start, answers[side], answers[1 - side], group))
    return items


def tool_calls() -> list[Item]:
    """The call for a request, after another request with its call; 40 items per kind of mistake."""
    rng = random.Random("tool-calls")
    listed = ", ".join(f"{name}({argument})" for name, (argument, _, _) in _TOOLS.items())
    items: list[Item] = []
    for group, spoil in _MISTAKES:
        for _ in range(_PER_GROUP):
            name, other = rng.sample(list(_TOOLS), 2)
            argument, request, values = _TOOLS[name]
            value, shown = rng.choice(values), rng.choice(_TOOLS[other][2])
            question = (
                f"Tools: {listed}\n"
                f"User: {_TOOLS[other][1].format(shown)}\nCall: {_call(other, _TOOLS[other][0], shown)}\n"
                f"User: {request.format(value)}\nCall:"
            )
            right = _call(name, argument, value)
            items.append(_pair(rng, question, right, spoil(rng, name, other, value), group))
    return items


def _call(name: str, argument: str, value: Any) -> str:
    return json.dumps({"name": name, "arguments": {argument: value}})


def _other_value(rng: random.Random, name: str, other: str, value: Any) -> str:
    argument, _, values = _TOOLS[name]
    return _call(name, argument, rng.choice([one for one in values if one != value]))


def _third(rng: random.Random, name: str, other: str) -> str:
    return rng.choice([one for one in _TOOLS if one not in (name, other)])


_MISTAKES: tuple[tuple[str, Callable[[random.Random, str, str, Any], str]], ...] = (
    ("tool of the example", lambda rng, name, other, value: _call(other, _TOOLS[name][0], value)),
    ("another tool", lambda rng, name, other, value: _call(_third(rng, name, other), _TOOLS[name][0], value)),
    ("argument of the example", lambda rng, name, other, value: _call(name, _TOOLS[other][0], value)),
    ("another argument", lambda rng, name, other, value: _call(name, _TOOLS[_third(rng, name, other)][0], value)),
    ("another value", _other_value),
)


def _fact(place: int, change: Callable[[str], tuple[str, str]]) -> tuple[str, tuple[str, str]]:
    start, answer = _FACTS[place]
    return start, change(answer)


def _number(place: int) -> tuple[str, tuple[str, str]]:
    start, number = _NUMBERS[place]
    return start, (_WORDS[number], str(number))


def _list(place: int) -> tuple[str, tuple[str, str]]:
    words = _LISTS[place]
    return f"{' '.join(words)} ->", (", ".join(words), "; ".join(words))


_FORMATS: tuple[tuple[str, tuple[str, str], Callable[[int], tuple[str, tuple[str, str]]]], ...] = (
    (
        "case",
        ("Write the answer in capital letters.", "Write the answer in small letters."),
        lambda place: _fact(place, lambda word: (word.upper(), word)),
    ),
    (
        "quotes",
        ("Put the answer in quotation marks.", "Write the answer without quotation marks."),
        lambda place: _fact(place, lambda word: (f'"{word}"', word)),
    ),
    (
        "brackets",
        ("Put the answer in square brackets.", "Put the answer in round brackets."),
        lambda place: _fact(place, lambda word: (f"[{word}]", f"({word})")),
    ),
    ("numbers", ("Write the number as a word.", "Write the number in digits."), _number),
    ("lists", ("Separate the words with commas.", "Separate the words with semicolons."), _list),
)


def _pair(rng: random.Random, question: str, right: str, wrong: str, group: str) -> Item:
    answer = rng.randrange(2)
    choices = [wrong, wrong]
    choices[answer] = right
    return {"question": question, "choices": choices, "answer": answer, "group": group}
