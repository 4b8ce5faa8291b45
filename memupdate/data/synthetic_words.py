"""The words of the synthetic corpus: names, topics with their items, and sentence frames.

Two properties matter and are tested. The words of an item occur nowhere else, so a memory that contains them contains
the item. Every frame of a topic names the speaker and the topic's word, so a lexical retriever ranks these facts first.
"""

from __future__ import annotations

from dataclasses import dataclass


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


NAMES = _listed("Anna, Ben, Clara, David, Elena, Felix, Greta, Hugo, Irene, Jonas, Karin, Leo, Mona, Nils, Olga, Pavel")


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that a person can list: a plural noun, the participle that goes with it, and the items of the list."""

    noun: str
    participle: str
    items: tuple[str, ...]


def _topic(noun: str, participle: str, items: str) -> Topic:
    return Topic(noun, participle, _listed(items))


TOPICS = (
    _topic(
        "hobbies",
        "tried",
        "pottery, rowing, chess, knitting, archery, origami, juggling, embroidery, woodcarving, calligraphy, "
        "beekeeping, stargazing",
    ),
    _topic(
        "books",
        "read",
        "Silver Harbor, Broken Compass, Quiet Orchard, Hidden Lantern, Frozen Meadow, Crimson Tower, Velvet Mask, "
        "Hollow Crown, Burning Bridge, Painted Horse, Sleeping Giant, Golden Thread",
    ),
    _topic(
        "pets",
        "owned",
        "hamster, parrot, tortoise, ferret, goldfish, rabbit, gecko, canary, hedgehog, poodle, terrier, chinchilla",
    ),
    _topic(
        "cities",
        "visited",
        "Lisbon, Prague, Oslo, Cairo, Kyoto, Dublin, Havana, Vienna, Toronto, Nairobi, Athens, Seville",
    ),
    _topic(
        "dishes",
        "cooked",
        "lentil soup, mushroom risotto, spinach lasagna, chicken curry, pumpkin pie, garlic noodles, potato gratin, "
        "salmon tartare, bean burrito, onion quiche, tomato bruschetta, walnut brownies",
    ),
    _topic(
        "sports",
        "played",
        "tennis, hockey, volleyball, cricket, badminton, rugby, squash, handball, lacrosse, bowling, fencing, curling",
    ),
    _topic(
        "films",
        "watched",
        "Midnight Carousel, Paper Moonlight, Rusty Submarine, Iron Butterfly, Desert Thunder, Glass Mountain, "
        "Secret Alphabet, Northern Wolves, Electric Sunrise, Forgotten Island, Wooden Soldier, Emerald Canyon",
    ),
    _topic(
        "instruments",
        "practised",
        "violin, trumpet, banjo, cello, flute, harmonica, accordion, clarinet, ukulele, trombone, harp, saxophone",
    ),
    _topic(
        "gifts",
        "bought",
        "umbrella, necklace, teapot, blanket, wallet, scarf, backpack, perfume, headphones, bracelet, slippers, vase",
    ),
    _topic(
        "plants",
        "grown",
        "basil, lavender, tulips, cactus, strawberries, orchids, rosemary, ferns, sunflowers, zucchini, jasmine, ivy",
    ),
    _topic(
        "languages",
        "studied",
        "Swahili, Portuguese, Finnish, Korean, Arabic, Hungarian, Greek, Turkish, Icelandic, Hindi, Polish, Welsh",
    ),
    _topic(
        "museums",
        "toured",
        "aviation hall, pirate gallery, dinosaur wing, railway depot, porcelain palace, whaling station, "
        "clock cabinet, puppet theatre, textile mill, mining shaft, chocolate factory, space pavilion",
    ),
)

# {name} and {noun} as in the question; {item} once.
FRAMES = (
    "{name} says {item} is one of the {noun} worth the time.",
    "Among all {noun}, {item} made {name} happiest this week.",
    "{name} added {item} to a growing list of {noun} lately.",
    "Talking about {noun}, {name} mentioned {item} with a big smile.",
    "{name} told a cousin that {item} belongs with the finest {noun}.",
    "Of the newest {noun}, {name} would pick {item} again tomorrow.",
    "{name} wrote down {item} under {noun} in the blue notebook.",
    "When friends compared {noun}, {name} proudly brought up {item}.",
    "After a long wait, {name} counts {item} among the {noun}.",
    "{name} laughed that {item} was the strangest of the {noun}.",
)

# First-person forms for the turns, in the same order of use.
UTTERANCES = (
    "Speaking of {noun}, this time it was {item} for me.",
    "My list of {noun} has one more entry: {item}.",
    "You asked about my {noun}. The latest is {item}.",
    "Guess which of the {noun} I picked? {item}!",
)

REPLIES = (
    "That sounds great, {name}!",
    "I am glad to hear it, {name}. How did it feel?",
    "Lovely, {name}. Please tell me more next time.",
    "I would never have guessed, {name}!",
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something about a person that has one value: its question, its fact, the fact in the first person, its values."""

    question: str
    fact: str
    utterance: str
    values: tuple[str, ...]


ATTRIBUTES = (
    Attribute(
        "Where does {name} work?",
        "{name} does work at the {value} near the old canal.",
        "I still work at the {value} near the old canal.",
        ("bakery", "hospital", "library", "airport", "brewery", "pharmacy", "courthouse", "aquarium"),
    ),
    Attribute(
        "Which allergy does {name} have?",
        "{name} has to live with an allergy to {value} since childhood.",
        "My allergy to {value} is acting up again.",
        ("peanuts", "shellfish", "pollen", "gluten", "cashews", "sesame", "soy", "mustard"),
    ),
    Attribute(
        "Which colour does {name} like most?",
        "The colour that {name} does like most on walls is {value}.",
        "The colour I like most on walls is {value}.",
        ("turquoise", "purple", "orange", "yellow", "beige", "magenta", "scarlet", "indigo"),
    ),
    Attribute(
        "Which vehicle does {name} drive?",
        "The vehicle that {name} does drive to town is a {value}.",
        "The vehicle I drive to town is a {value}.",
        ("motorcycle", "van", "tractor", "pickup", "scooter", "minibus", "convertible", "jeep"),
    ),
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens on one day: its question, its fact and the fact in the first person."""

    question: str
    fact: str
    utterance: str


EVENTS = (
    Event(
        "When did {name} adopt a stray kitten?",
        "{name} did adopt a stray kitten from the shelter this morning.",
        "I did adopt a stray kitten this morning!",
    ),
    Event(
        "When did {name} finish the marathon?",
        "{name} did finish the marathon with a sore ankle today.",
        "I did finish the marathon today, with a sore ankle.",
    ),
    Event(
        "When did {name} move into the cottage?",
        "{name} did move into the cottage beside the lake today.",
        "I did move into the cottage beside the lake today.",
    ),
    Event(
        "When did {name} repair the roof?",
        "{name} did repair the roof together with two neighbours today.",
        "I did repair the roof with two neighbours today.",
    ),
    Event(
        "When did {name} pass the driving exam?",
        "{name} did pass the driving exam on the third attempt today.",
        "I did pass the driving exam today, on the third attempt!",
    ),
    Event(
        "When did {name} join the choir?",
        "{name} did join the choir at the village school this evening.",
        "I did join the choir at the village school this evening.",
    ),
)

# Facts that no question asks about.
ASIDES = (
    ("{name} slept badly because of the noisy street outside.", "I slept badly, the street outside was so noisy."),
    ("{name} feels calmer after walking along the river at dawn.", "Walking along the river at dawn calms me."),
    ("{name} worries about the rising rent of the apartment.", "The rising rent of my apartment worries me."),
    ("{name} calls an aunt every Sunday to share some news.", "I call my aunt every Sunday to share some news."),
    ("{name} dislikes crowded trains and leaves home quite early.", "I dislike crowded trains, so I leave home early."),
    ("{name} drinks strong coffee before any important meeting.", "Strong coffee helps me before important meetings."),
    ("{name} forgot the keys and waited outside in heavy rain.", "I forgot my keys and waited outside in heavy rain."),
    ("{name} hopes for a quieter year with fewer deadlines.", "I hope for a quieter year with fewer deadlines."),
    ("{name} lost a phone and replaced it with a cheaper model.", "I lost my phone and got a cheaper model."),
    ("{name} keeps old letters from school inside a tin box.", "I keep old letters from school in a tin box."),
)
