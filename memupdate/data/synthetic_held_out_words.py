"""The words of generated held-out conversations. None of their names, things and frames occurs in training ones."""

from __future__ import annotations

from memupdate.data.synthetic_words import Frames, Words, combined, listed

HELD_OUT_WORDS = Words(
    names=listed(
        "Astrid, Bruno, Celia, Dario, Edith, Frank, Gloria, Henrik, Ines, Julian, Lydia, Marco, Nora, Oscar, Petra, "
        "Ruben, Stella, Tomas, Ursula, Xavier"
    ),
    values={
        "workplace": combined(
            "Juniper, Falcon, Marble, Saffron, Anchor", "Pharmacy, Museum, Printshop, Nursery, Cinema"
        ),
        "street": listed("Ashgrove, Millbrook, Sunnybank, Foxglove, Westbourne, Larkspur, Oakdale, Queensway"),
        "dentist": combined("Professor", "Adler, Bianchi, Costa, Dvorak, Eriksen, Fontaine, Gupta, Horvath"),
        "boss": combined("Director", "Ibrahim, Jansen, Kaplan, Lombardi, Mendez, Nilsson, Quinn, Sato"),
        "gym": combined("Steel, Panther, Volcano, Gravity", "Studio, Loft, Arena, Factory"),
        "team": combined("Blue, Sleepy, Brave, Dancing", "Otters, Ravens, Meteors, Knights"),
        "favourite drink": combined("chamomile, mango, elderflower, cherry", "smoothie, cordial, lemonade, kefir"),
        "breakfast": combined("rye, hazelnut, quinoa, banana", "toast, granola, omelette, crackers"),
        "favourite colour": listed("magenta, indigo, yellow, crimson, teal, bronze, lilac, maroon"),
        "scooter": combined("Kymco, Peugeot, Aprilia", "Tango, Mojito, Django, Vita"),
        "hobbies": listed(
            "sculpting, snorkelling, bouldering, quilting, parkour, birdwatching, baking, gardening, skating, surfing, "
            "karaoke, geocaching"
        ),
        "books": combined("Golden, Burning, Hollow, Gilded, Wandering", "Thread, Giant, Orchard, Mirror, Ladder"),
        "films": combined("Northern, Glass, Emerald, Wooden, Forgotten", "Mountain, Soldier, Canyon, Island, Parrot"),
        "dishes": combined("potato, salmon, tomato, pepper, cabbage", "gratin, tartare, stew, dumplings, burrito"),
        "plants": listed("thyme, sunflowers, ivy, peonies, bamboo, mint, begonias, chives, dahlias, radishes"),
        "languages": listed("Icelandic, Polish, Bengali, Catalan, Danish, Estonian, Farsi, Georgian, Hebrew, Irish"),
        "cities": listed("Seville, Montreal, Helsinki, Naples, Boston, Jakarta, Lima, Sydney, Zagreb, Porto, Bergen"),
        "instruments": listed("saxophone, oboe, mandolin, bassoon, viola, tuba, piano, lute, xylophone, bagpipes"),
    },
    objects={
        "visit": combined("the", "planetarium, lagoon, palace, vineyard, observatory, canal, crater, ruins"),
        "paint": combined("the", "ceiling, veranda, bench, cupboard, rowboat, letterbox, kitchen, shutters"),
        "repair": combined("the", "boiler, dishwasher, motorbike, lamp, radio, pump, typewriter, sink"),
        "clean": combined("the", "basement, printer, curtains, stove, swimming pool, windows, shed, sofa"),
        "photograph": combined("the", "sunset, carnival, herons, lightning, marathon, snowfall, comet, harvest"),
        "order": combined("a", "microscope, wheelbarrow, chandelier, rucksack, freezer, surfboard, rug, robot"),
    },
    attributes=Frames(
        turns=(
            "For my {noun} I now have {value}.",
            "If you ask about my {noun}, it is {value}.",
            "You should know that {value} is my {noun} this year.",
            "So my {noun}, it is {value}, I can tell you.",
        ),
        changes=(
            "Forget {old}, my {noun} is {value} now.",
            "I changed from {old} to {value} for my {noun}.",
            "Until last month my {noun} was {old}, now it is {value}.",
            "My new {noun} from this week on is {value}.",
        ),
        restated=(
            "By the way, {value} is still the {noun} I have.",
            "You may know it, my {noun} has not changed, it is {value}.",
            "I still have {value} as a {noun}, nothing else.",
        ),
        facts=(
            "For a {noun}, {name} has {value}.",
            "The {noun} of {name} is {value}.",
            "It is {value} that {name} has as a {noun}.",
        ),
        changed_facts=(
            "The {noun} of {name} changed to {value}.",
            "Instead of {old}, {name} now has {value} as {noun}.",
        ),
        dialogues=(
            ("And your {noun}, {name}, what is it?", "I can tell you, it is {value}."),
            ("You never told me about your {noun}, {name}.", "Oh, I have {value} now."),
        ),
        changed_dialogues=(
            ("So, {name}, your {noun} is {old}, right?", "Not now, I changed to {value}."),
            ("How is it with {old}, {name}?", "Oh, my {noun} is {value} these days."),
        ),
        questions=("What is the {noun} of {name} today?", "Name the {noun} that {name} has."),
    ),
    lists=Frames(
        turns=(
            "One more of my {noun} is {value}.",
            "To my {noun} I can now add {value}.",
            "There is {value} too among my {noun} now.",
            "You can add {value} to the {noun} I have.",
        ),
        restated=(
            "By the way, {value} is still among my {noun}.",
            "You know my {noun}, there is {value}, for one.",
        ),
        facts=(
            "Among the {noun} of {name} is {value}.",
            "The {noun} of {name} now include {value}.",
            "There is {value} on {name}'s list of {noun}.",
        ),
        dialogues=(
            ("And your {noun}, {name}, are there more now?", "One more, it is {value}."),
            ("Tell me about your {noun}, {name}.", "Well, now I have {value} too."),
        ),
        questions=("List the {noun} of {name}.", "What {noun} does {name} have in all?"),
    ),
    events=Frames(
        turns=(
            "It was {when} that I {past} {object}.",
            "Guess what I did: I {past} {object} {when}!",
            "My brother was there when I {past} {object} {when}.",
        ),
        facts=(
            "It was {when} that {name} {past} {object}.",
            "With a brother, {name} {past} {object} {when}.",
        ),
        dialogues=(
            ("You wanted to {base} {object}, {name}, did you?", "Yes, I did that {when}."),
            ("And who {past} {object}, {name}? Not you!", "But I did, {when}, you see."),
        ),
        questions=("What was the day when {name} {past} {object}?", "When was it that {name} {past} {object}?"),
    ),
    greetings=(
        "Hello again, {name}, how is life?",
        "Hey, it is good to talk to you, {name}.",
        "Good day, {name}! It has been long.",
        "Oh hi {name}, I hoped you would call.",
    ),
    replies=(
        "Great to hear that, {name}!",
        "I like how you tell it, {name}.",
        "Oh really, {name}? I hope you feel good about it.",
        "You never told me that, ha!",
        "That is so nice for you, {name}.",
        "Thanks, {name}, I see what you mean.",
        "And how do you feel about it all, {name}?",
        "I always like to hear from you, {name}.",
    ),
    fillers=(
        "It takes a while for me to be happy with a thing, as you know well.",
        "I hope that you do not laugh about me, it really was a long month.",
        "My brother was surprised, he said that I should have told you before.",
        "There is always so much noise in my life, and so little sleep as well.",
        "I think of the old times when I talk to you, they were so good.",
        "My family laughed about it for a long time, and so did I in the end.",
        "That is how life is, one day it is good and one day it is not.",
        "I had to think about it last year too, but I was not sure at all.",
        "It is a small thing, but it is good to have told you about it.",
    ),
    asides=(
        ("All my family talks of my {noun}, and I just laugh.", "The family of {name} talks of the {noun}."),
        ("I thought about my {noun} again, but it is good as it is.", "About the {noun}, {name} thought again."),
        ("Is another {noun} better? I am not so sure.", "If another {noun} is better, {name} is not sure."),
        ("I am tired, the whole week was so long.", "The week was long and {name} is tired."),
        ("It was so loud outside that I slept badly.", "It was so loud that {name} slept badly."),
        ("The rain makes me sad, I need some sun.", "Because of the rain {name} is sad and needs sun."),
        ("I had to wait for the bus again.", "Again {name} had to wait for the bus."),
        ("I dream of less stress and more sleep.", "Of less stress {name} dreams."),
        ("I should write a letter to my uncle.", "A letter to an uncle is what {name} wants to write."),
        ("My keys were gone again the whole evening.", "The keys of {name} were gone for an evening."),
        ("After a walk I feel so much better.", "A walk made {name} feel better."),
        ("My neighbours laughed about me, but I laughed too.", "Neighbours of {name} laughed, and so did {name}."),
    ),
)
