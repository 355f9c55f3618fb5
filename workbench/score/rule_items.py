"""Items made by rule for the general suites of the starter project, the same on every machine.

    agreement    {"question": "The key near the doors", "choices": ["opens", "open"], "answer": 0, "group": "near", ...}
    capitals     {"question": "The capital city of Peru is", "choices": ["Cusco", "Lima"], "answer": 1, ...}
    arithmetic   {"question": "... 14 + 9 =", "choices": ["23", "24"], "answer": 0, ...}
    copying      {"question": "lemon, chair, river, ... lemon, chair,", "choices": ["river", "window"], "answer": 0}
    formats, tool-calls: instruction_items.py; safety-pairs, safety-harmless: safety_items.py

Each is a pair of continuations, one right and one wrong, and graded: easy and hard kinds are mixed so that a small
model is right on 60 to 90% and has room to lose as well as to win. The order of the two is drawn, because a tie goes to
the first.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.core.parts import write_documents
from workbench.score.instruction_items import formats, tool_calls
from workbench.score.safety_items import harmless, requests

Item = dict[str, Any]
ITEMS_PER_SUITE = 200

_NOUNS = (
    ("key", "keys"), ("dog", "dogs"), ("teacher", "teachers"), ("car", "cars"), ("book", "books"),
    ("farmer", "farmers"), ("doctor", "doctors"), ("letter", "letters"), ("student", "students"), ("house", "houses"),
    ("river", "rivers"),
    ("singer", "singers"), ("window", "windows"), ("lawyer", "lawyers"), ("boat", "boats"), ("painting", "paintings"),
    ("manager", "managers"), ("tree", "trees"), ("neighbor", "neighbors"), ("bottle", "bottles"), ("horse", "horses"),
    ("author", "authors"), ("phone", "phones"), ("guard", "guards"), ("bird", "birds"), ("report", "reports"),
    ("driver", "drivers"), ("shelf", "shelves"), ("pilot", "pilots"), ("island", "islands"), ("nurse", "nurses"),
    ("ticket", "tickets"), ("engine", "engines"), ("king", "kings"), ("chair", "chairs"), ("soldier", "soldiers"),
    ("garden", "gardens"), ("worker", "workers"), ("cloud", "clouds"), ("camera", "cameras"), ("baker", "bakers"),
    ("bridge", "bridges"), ("rabbit", "rabbits"), ("poem", "poems"), ("minister", "ministers"), ("lamp", "lamps"),
    ("coin", "coins"), ("tourist", "tourists"), ("machine", "machines"), ("village", "villages"),
)  # fmt: skip
_VERBS = (("is", "are"), ("was", "were"), ("has", "have"), ("needs", "need"))
_FRAMES = (
    ("near", "The {head} near the {other}"),
    ("with", "The {head} with the {other}"),
    ("behind two", "The {head} behind the {other} and the {third}"),
    ("object relative", "The {head} that the {other} saw"),
    ("two objects", "The {head} that the {other} and the {third} saw"),
)
_CAPITALS = (
    "Afghanistan|Kabul|Kandahar, Albania|Tirana|Durrës, Algeria|Algiers|Oran, Angola|Luanda|Huambo, "
    "Argentina|Buenos Aires|Córdoba, Armenia|Yerevan|Gyumri, Australia|Canberra|Sydney, Austria|Vienna|Salzburg, "
    "Azerbaijan|Baku|Ganja, Bangladesh|Dhaka|Chittagong, Belarus|Minsk|Gomel, Belgium|Brussels|Antwerp, "
    "Bhutan|Thimphu|Paro, Bosnia and Herzegovina|Sarajevo|Mostar, "
    "Botswana|Gaborone|Francistown, Brazil|Brasília|São Paulo, Bulgaria|Sofia|Plovdiv, "
    "Burkina Faso|Ouagadougou|Bobo-Dioulasso, Cambodia|Phnom Penh|Siem Reap, Cameroon|Yaoundé|Douala, "
    "Canada|Ottawa|Toronto, Chad|N'Djamena|Moundou, Chile|Santiago|Valparaíso, China|Beijing|Shanghai, "
    "Colombia|Bogotá|Medellín, Costa Rica|San José|Limón, Croatia|Zagreb|Split, Cuba|Havana|Santiago de Cuba, "
    "Cyprus|Nicosia|Limassol, the Czech Republic|Prague|Brno, Denmark|Copenhagen|Aarhus, "
    "the Dominican Republic|Santo Domingo|Punta Cana, Ecuador|Quito|Guayaquil, Egypt|Cairo|Alexandria, "
    "El Salvador|San Salvador|Santa Ana, Eritrea|Asmara|Massawa, Estonia|Tallinn|Tartu, Ethiopia|Addis Ababa|Gondar, "
    "Fiji|Suva|Nadi, Finland|Helsinki|Tampere, France|Paris|Lyon, Gabon|Libreville|Port-Gentil, "
    "Georgia|Tbilisi|Batumi, "
    "Germany|Berlin|Munich, Ghana|Accra|Kumasi, Greece|Athens|Thessaloniki, Guatemala|Guatemala City|Antigua, "
    "Haiti|Port-au-Prince|Cap-Haïtien, Honduras|Tegucigalpa|San Pedro Sula, Hungary|Budapest|Debrecen, "
    "Iceland|Reykjavik|Akureyri, India|New Delhi|Mumbai, Indonesia|Jakarta|Surabaya, Iran|Tehran|Isfahan, "
    "Iraq|Baghdad|Basra, Ireland|Dublin|Cork, Italy|Rome|Milan, Jamaica|Kingston|Montego Bay, "
    "Japan|Tokyo|Osaka, Jordan|Amman|Aqaba, Kazakhstan|Astana|Almaty, Kenya|Nairobi|Mombasa, Kyrgyzstan|Bishkek|Osh, "
    "Laos|Vientiane|Luang Prabang, Latvia|Riga|Daugavpils, Lebanon|Beirut|Tripoli, Libya|Tripoli|Benghazi, "
    "Lithuania|Vilnius|Kaunas, Madagascar|Antananarivo|Toamasina, Malawi|Lilongwe|Blantyre, "
    "Malaysia|Kuala Lumpur|Penang, Mali|Bamako|Timbuktu, Mauritania|Nouakchott|Nouadhibou, "
    "Mexico|Mexico City|Guadalajara, Mongolia|Ulaanbaatar|Erdenet, Morocco|Rabat|Casablanca, Mozambique|Maputo|Beira, "
    "Myanmar|Naypyidaw|Yangon, Namibia|Windhoek|Swakopmund, Nepal|Kathmandu|Pokhara, New Zealand|Wellington|Auckland, "
    "Nicaragua|Managua|León, Niger|Niamey|Agadez, Nigeria|Abuja|Lagos, North Korea|Pyongyang|Hamhung, "
    "North Macedonia|Skopje|Ohrid, Norway|Oslo|Bergen, Oman|Muscat|Salalah, Pakistan|Islamabad|Karachi, "
    "Panama|Panama City|Colón, Paraguay|Asunción|Encarnación, Peru|Lima|Cusco, the Philippines|Manila|Cebu, "
    "Poland|Warsaw|Krakow, Portugal|Lisbon|Porto, Romania|Bucharest|Cluj, Russia|Moscow|Saint Petersburg, "
    "Saudi Arabia|Riyadh|Jeddah, Senegal|Dakar|Saint-Louis, Serbia|Belgrade|Novi Sad, Sierra Leone|Freetown|Bo, "
    "Slovakia|Bratislava|Košice, Slovenia|Ljubljana|Maribor, Somalia|Mogadishu|Hargeisa, South Korea|Seoul|Busan, "
    "Spain|Madrid|Barcelona, Sudan|Khartoum|Port Sudan, Sweden|Stockholm|Gothenburg, "
    "Switzerland|Bern|Zurich, Syria|Damascus|Aleppo, Tajikistan|Dushanbe|Khujand, "
    "Tanzania|Dodoma|Dar es Salaam, Thailand|Bangkok|Chiang Mai, Togo|Lomé|Sokodé, Tunisia|Tunis|Sfax, "
    "Turkey|Ankara|Istanbul, Uganda|Kampala|Entebbe, Ukraine|Kyiv|Odesa, the United Kingdom|London|Manchester, "
    "the United States|Washington|New York, Uruguay|Montevideo|Salto, Uzbekistan|Tashkent|Samarkand, "
    "Venezuela|Caracas|Maracaibo, Vietnam|Hanoi|Da Nang, Yemen|Sanaa|Aden, Zambia|Lusaka|Livingstone, "
    "Zimbabwe|Harare|Bulawayo"
)
_WORDS = (
    "lemon chair river window stone candle garden pencil bridge winter orange mirror basket silver ladder coffee "
    "hammer island butter pocket rocket village blanket planet dragon market shadow kitchen engine forest button "
    "castle feather monkey needle ocean pepper rabbit saddle thunder tunnel violin wagon yellow"
)


def write_items(directory: Path) -> None:
    """Writes every suite's items as `directory`/NAME.jsonl."""
    for name, make in (ITEMS | SAFETY_ITEMS).items():
        write_documents(directory / f"{name}.jsonl", make())


def agreement() -> list[Item]:
    """Verb after a subject whose neighbour has the other number; 40 items per kind of sentence, 4 per subject."""
    rng = random.Random("agreement")
    per_frame = ITEMS_PER_SUITE // len(_FRAMES)
    items = []
    for position, (group, frame) in enumerate(_FRAMES):
        for k in range(per_frame):
            head = _NOUNS[(position * per_frame + k) % len(_NOUNS)]
            other, third = rng.sample([noun for noun in _NOUNS if noun is not head], 2)
            number = rng.randrange(2)
            verb = rng.choice(_VERBS)
            question = frame.format(head=head[number], other=other[1 - number], third=third[1 - number])
            items.append(_pair(rng, question, verb[number], verb[1 - number], group, head[0]))
    return items


def capitals() -> list[Item]:
    """Every country's capital against another of its cities, and 73 capitals' countries against another country."""
    rng = random.Random("capitals")
    countries = [entry.split("|") for entry in _CAPITALS.split(", ")]
    items = [
        _pair(rng, f"The capital of {country} is", capital, city, "capital", country)
        for country, capital, city in countries
    ]
    for country, capital, _ in rng.sample(countries, ITEMS_PER_SUITE - len(items)):
        wrong = rng.choice([name for name, _, _ in countries if name != country])
        items.append(_pair(rng, f"{capital} is the capital of", country, wrong, "country", country))
    return items


def arithmetic() -> list[Item]:
    """Sums, products and sequences after two examples; the wrong answer is one, two or ten off."""
    rng = random.Random("arithmetic")
    kinds: tuple[tuple[str, Callable[[], tuple[str, int]], int], ...] = (
        ("sum of digits", lambda: _sum(rng, 2, 9), 1),
        ("sum", lambda: _sum(rng, 20, 69), 1),
        ("sum, tens", lambda: _sum(rng, 20, 69), 10),
        ("product", lambda: _product(rng), 1),
        ("sequence", lambda: _sequence(rng), 1),
    )
    items: list[Item] = []
    seen: set[tuple[str, int]] = set()
    for group, draw, step in kinds:
        while sum(item["group"] == group for item in items) < ITEMS_PER_SUITE // len(kinds):
            question, right = draw()
            wrong = right + rng.choice((-step, step))
            if (question, step) not in seen and wrong >= 0:
                seen.add((question, step))
                items.append(_pair(rng, question, str(right), str(wrong), group))
    return items


def copying() -> list[Item]:
    """The next word of a repeated list, and the word that went with another: 50 items per kind."""
    rng = random.Random("copying")
    vocabulary = _WORDS.split()
    items = []
    for _ in range(ITEMS_PER_SUITE // 4):
        words = rng.sample(vocabulary, 12)
        at = rng.randrange(1, 11)
        question = f"{', '.join(words)}. Again: {', '.join(words[:at])},"
        items.append(_pair(rng, question, words[at], rng.choice(words[:at] + words[at + 1 :]), "list of 12"))
    for size in (3, 5, 8):
        for _ in range(ITEMS_PER_SUITE // 4):
            pairs = list(zip(*[iter(rng.sample(vocabulary, 2 * size))] * 2, strict=True))
            asked, other = rng.sample(pairs, 2)
            question = f"{'; '.join(f'{left} is {right}' for left, right in pairs)}; {asked[0]} is"
            items.append(_pair(rng, question, asked[1], other[1], f"{size} pairs"))
    return items


ITEMS: dict[str, Callable[[], list[Item]]] = {
    "agreement": agreement,
    "arithmetic": arithmetic,
    "capitals": capitals,
    "copying": copying,
    "formats": formats,
    "tool-calls": tool_calls,
}
"""General suite to the function that makes its items."""
SAFETY_ITEMS: dict[str, Callable[[], list[Item]]] = {"safety-pairs": requests, "safety-harmless": harmless}
"""Safety suite to the function that makes its requests."""


def _pair(rng: random.Random, question: str, right: str, wrong: str, group: str, cluster: str | None = None) -> Item:
    answer = rng.randrange(2)
    item: Item = {"question": question, "choices": [wrong, wrong], "answer": answer, "group": group}
    item["choices"][answer] = right
    return item if cluster is None else {**item, "cluster": cluster}


def _sum(rng: random.Random, low: int, high: int) -> tuple[str, int]:
    left, right = rng.randint(low, high), rng.randint(low, high)
    return f"2 + 3 = 5\n6 + 1 = 7\n{left} + {right} =", left + right


def _product(rng: random.Random) -> tuple[str, int]:
    left, right = rng.randint(2, 12), rng.randint(2, 9)
    return f"2 * 3 = 6\n6 * 1 = 6\n{left} * {right} =", left * right


def _sequence(rng: random.Random) -> tuple[str, int]:
    start, step = rng.randint(2, 12), rng.randint(2, 9)
    return f"{start}, {start + step}, {start + 2 * step},", start + 3 * step
