"""The words of generated training conversations. None of their names, things and frames occurs in held-out ones."""

from __future__ import annotations

from memupdate.data.synthetic_words import Frames, Words, combined, listed

TRAINING_WORDS = Words(
    names=listed(
        "Anna, Ben, Clara, David, Elena, Felix, Greta, Hugo, Irene, Jonas, Karin, Leo, Mona, Nils, Olga, Pavel, "
        "Rita, Simon, Tessa, Viktor, Wanda, Yusuf, Zoe, Emil"
    ),
    values={
        "workplace": combined(
            "Harbor, Cedar, Summit, Willow, Granite, Copper", "Bakery, Clinic, Library, Garage, Hotel, Brewery"
        ),
        "street": listed("Maplewood, Cloverfield, Riverside, Stonegate, Brookside, Elmhurst, Hillcrest, Kingsway"),
        "dentist": combined("Doctor", "Keller, Novak, Lindgren, Moreau, Castillo, Petrov, Hansen, Okafor"),
        "boss": combined("Mrs", "Fischer, Duarte, Nakamura, Olsen, Ricci, Banerjee, Kowalski, Weber"),
        "gym": combined("Iron, Thunder, Tiger, Rocket", "Temple, Barn, Cellar, Tower"),
        "team": combined("Red, Flying, Lucky, Roaring", "Foxes, Badgers, Dolphins, Pirates"),
        "favourite drink": combined("ginger, peppermint, rhubarb, blackcurrant", "tea, juice, soda, punch"),
        "breakfast": combined("oat, buckwheat, walnut, pumpkin", "porridge, pancakes, waffles, muffins"),
        "favourite colour": listed("turquoise, purple, orange, beige, scarlet, olive, ivory, navy"),
        "scooter": combined("Vespa, Piaggio, Lambretta", "Sprint, Primavera, Liberty, Cosmo"),
        "hobbies": listed(
            "pottery, rowing, chess, knitting, archery, origami, juggling, embroidery, woodcarving, calligraphy, "
            "beekeeping, stargazing"
        ),
        "books": combined("Silver, Broken, Quiet, Hidden, Frozen, Velvet", "Compass, Lighthouse, Crown, Mask, Bridge"),
        "films": combined("Midnight, Paper, Rusty, Desert, Secret, Electric", "Carousel, Submarine, Wolves, Alphabet"),
        "dishes": combined("lentil, mushroom, spinach, chicken, onion", "soup, risotto, lasagna, curry, quiche"),
        "plants": listed("basil, lavender, tulips, cactus, strawberries, orchids, rosemary, ferns, zucchini, jasmine"),
        "languages": listed("Swahili, Portuguese, Finnish, Korean, Arabic, Hungarian, Greek, Turkish, Hindi, Welsh"),
        "cities": listed("Lisbon, Prague, Oslo, Cairo, Kyoto, Dublin, Havana, Vienna, Toronto, Nairobi, Athens"),
        "instruments": listed("violin, trumpet, banjo, cello, flute, harmonica, accordion, clarinet, ukulele, harp"),
    },
    objects={
        "visit": combined("the", "aquarium, castle, windmill, dinosaur exhibition, glacier, monastery, zoo, stadium"),
        "paint": combined("the", "fence, balcony, mailbox, staircase, canoe, wardrobe, birdhouse, hallway"),
        "repair": combined("the", "roof, bicycle, fridge, doorbell, tractor, chimney, toaster, gate"),
        "clean": combined("the", "attic, oven, pond, carpet, barbecue, gutters, tent, terrace"),
        "photograph": combined("the", "eclipse, parade, swans, wedding, waterfall, rainbow, fireworks, regatta"),
        "order": combined("a", "mattress, telescope, kayak, blender, hammock, bookshelf, drone, raincoat"),
    },
    attributes=Frames(
        turns=(
            "My {noun} is {value}, and I am happy with it.",
            "Have I told you? I have {value} as my {noun}.",
            "These days {value} is my {noun}.",
            "After much thought, {value} is the {noun} for me.",
            "It turns out that my {noun} is {value}.",
        ),
        changes=(
            "I changed my {noun}: it was {old}, and now it is {value}.",
            "My {noun} is no longer {old}. It is {value} now.",
            "Big change for me: {value} is my new {noun} instead of {old}.",
            "I gave up {old}. From now on {value} is my {noun}.",
            "Since Monday I have a new {noun}: {value}.",
        ),
        restated=(
            "As I said before, my {noun} is still {value}.",
            "Nothing new about my {noun}, it remains {value}.",
            "I am still glad that {value} is my {noun}.",
            "My {noun}? Still {value}, as you know.",
        ),
        facts=(
            "{name}'s {noun} is {value}.",
            "{name} has {value} as {noun}.",
            "{name} is happy with {value} as a {noun}.",
            "{name} told a friend that the {noun} is {value}.",
        ),
        changed_facts=(
            "{name} changed the {noun} from {old} to {value}.",
            "{name}'s {noun} is {value} now and no longer {old}.",
            "{name} has a new {noun}: {value}.",
        ),
        dialogues=(
            ("What is your {noun} now, {name}?", "It is {value}, since you ask."),
            ("Do you have a {noun}, {name}?", "Yes, {value}, if you must know."),
            ("Remind me, {name}, what is your {noun}?", "I have {value}, I thought you knew."),
        ),
        changed_dialogues=(
            ("Is {old} still your {noun}, {name}?", "No, that is over, it is {value} now."),
            ("Are you still happy with {old}, {name}?", "I changed the {noun}. I have {value} now."),
            ("Did you change your {noun}, {name}?", "I did, and {value} is much better."),
        ),
        questions=("What is {name}'s {noun} now?", "Which {noun} does {name} have?"),
    ),
    lists=Frames(
        turns=(
            "I added {value} to my {noun}.",
            "My list of {noun} has a new entry: {value}.",
            "Guess what, {value} is now one of my {noun}.",
            "This month {value} is the newest of my {noun}.",
            "I have more {noun} now, and {value} is one.",
        ),
        restated=(
            "I told you about my {noun}, {value} is still one.",
            "As you know, {value} is one of my {noun}.",
            "Of all my {noun}, I still think of {value}.",
        ),
        facts=(
            "{name} added {value} to the {noun}.",
            "One of {name}'s {noun} is {value}.",
            "{name}'s {noun} include {value}.",
            "{name} has {value} on the list of {noun}.",
        ),
        dialogues=(
            ("Is there anything new about your {noun}, {name}?", "There is, I added {value}."),
            ("Do you have more {noun} now, {name}?", "Yes, {value} is new."),
        ),
        questions=("What are {name}'s {noun}?", "Which {noun} has {name} mentioned?"),
    ),
    events=Frames(
        turns=(
            "I {past} {object} {when}.",
            "With my cousin I {past} {object} {when}.",
            "You know what? I finally {past} {object} {when}.",
            "My sister and I {past} {object} {when}.",
        ),
        facts=(
            "{name} {past} {object} {when}.",
            "{name} finally {past} {object} {when}.",
            "{name} {past} {object} {when} and liked it.",
        ),
        dialogues=(
            ("Did you {base} {object} at last, {name}?", "I did, {when}, and it was nice."),
            ("When will you {base} {object}, {name}?", "You are late, I did it {when}."),
        ),
        questions=("When did {name} {base} {object}?", "On which day did {name} {base} {object}?"),
    ),
    greetings=(
        "Hi {name}, good to see you again!",
        "Hello {name}! How have you been?",
        "Hey {name}, it has been a while.",
        "Good to hear your voice, {name}.",
        "There you are, {name}! What is new?",
    ),
    replies=(
        "That sounds great, {name}!",
        "I am glad to hear it, {name}.",
        "Really? How did that feel, {name}?",
        "You always surprise me, {name}.",
        "Good for you, {name}. I hope it works out.",
        "Oh, I would never have thought of that.",
        "Nice, {name}. Tell me more next time.",
        "Ha, that is so like you.",
        "I see. And how is the family, {name}?",
        "Thanks for telling me, {name}.",
    ),
    fillers=(
        "I thought about it for a long time, and I hope that you understand me.",
        "You know how I am, it always takes me a while to be sure.",
        "I told my cousin about it, and she laughed so much that I had to laugh too.",
        "Everything in my life is a little different from last year, is it not?",
        "It made me think of you and of all the good times that we have had.",
        "My family was surprised to hear it, and I was a little surprised as well.",
        "I should have told you before, but there is so much to do these days.",
        "Perhaps it is a small thing for you, but it makes me really happy.",
        "There is so much noise here today, so I hope you can hear me well.",
        "I have to tell you that it was a better month than I had thought.",
        "My sister says that I talk too much, and I think that she is right.",
        "Sometimes I do not know what to think of it, but that is life.",
    ),
    asides=(
        ("Sometimes I think of another {noun}, but no, not this year.", "{name} thinks of another {noun} sometimes."),
        ("My cousin says that my {noun} is funny. I do not mind.", "{name}'s cousin finds the {noun} funny."),
        ("Everybody talks about a new {noun}, but mine is good for me.", "{name} is content with the {noun}."),
        ("I slept badly because of the noise outside.", "{name} slept badly because of the noise outside."),
        ("The weather makes me a little sad today.", "{name} is a little sad because of the weather."),
        ("I am so tired after this long week.", "{name} is tired after a long week."),
        ("My bus was late again and I had to run.", "{name} had to run because the bus was late."),
        ("Sometimes I dream of a life by the sea.", "{name} dreams of a life by the sea."),
        ("I forgot my keys and waited in the rain.", "{name} forgot the keys and waited in the rain."),
        ("I should really call my aunt more often.", "{name} wants to call an aunt more often."),
        ("The neighbours were loud the whole evening.", "{name} had loud neighbours the whole evening."),
        ("I laughed so much about your last letter.", "{name} laughed about a letter."),
        ("I hope for a quieter month with less stress.", "{name} hopes for a quieter month."),
        ("My phone is so slow, it drives me mad.", "{name} is mad at a slow phone."),
        ("I had a long walk and feel much better.", "{name} feels better after a long walk."),
    ),
)
