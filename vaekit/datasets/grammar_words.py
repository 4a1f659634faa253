"""Words of the data set `grammar`: nouns, verbs and adjectives by topic, the frequent ones first.

Each word stands in one list only, and its forms are made by rule.
"""

TOPICS = {
    "kitchen": (
        "cook spoon bowl oven kettle pan onion carrot plate soup pie cup ladle baker lemon egg apron spice jar recipe",
        "taste boil roast serve bake season devour toast sprinkle pickle peel grate",
        "salty sweet crisp sour spicy burnt juicy bitter frozen warm",
    ),
    "sea": (
        "sailor boat wave harbour captain island whale anchor gull net oar deck pirate storm reef rope mast shell crab "
        "lighthouse",
        "steer rescue capture haul moor salute flood board splash drown ferry beach",
        "stormy wet tidal sunken coastal rusty windy drifting blue salted",
    ),
    "garden": (
        "gardener rose hedge lawn seed bee spade apple fence tulip weed pond worm bucket cherry root shed petal snail "
        "blossom",
        "plant gather water prune harvest nurture rake nibble shade sow uproot fertilize",
        "green muddy blooming leafy ripe thorny fragrant wild shady sunny",
    ),
    "music": (
        "singer drum song guitar violin trumpet choir concert flute melody pianist note chorus harp organ ballad tenor "
        "fiddler cello rhythm",
        "perform compose rehearse applaud conduct record whistle tune accompany interrupt serenade imitate",
        "loud quiet famous tuneful gentle rhythmic solemn jazzy hoarse harmonious",
    ),
    "court": (
        "judge lawyer witness verdict jury robber crime law prison client clerk contract sentence appeal sheriff "
        "document suspect rule oath case",
        "accuse defend question punish arrest examine convict summon pardon warn sue betray",
        "guilty innocent legal strict formal honest severe secret fair criminal",
    ),
    "school": (
        "teacher pupil book lesson pencil exam classroom desk essay library poem map ruler notebook blackboard riddle "
        "scholar chapter globe dictionary",
        "explain learn copy correct recite solve memorize translate grade annotate instruct underline",
        "clever difficult easy studious lazy diligent curious boring written young",
    ),
    "hospital": (
        "doctor nurse patient pill fever surgeon plaster ambulance ward wound bed needle cough syringe vaccine clinic "
        "crutch stretcher symptom therapist",
        "heal treat diagnose visit cure comfort inject monitor weigh infect vaccinate revive",
        "sick healthy feverish pale wounded sterile painful anxious urgent sleepless",
    ),
    "forest": (
        "fox owl bear squirrel oak badger path hunter hare acorn nest trail mushroom log pine beetle cave burrow fern "
        "wolfhound",
        "chase follow track hunt scare attack smell guard sniff stalk startle ambush",
        "furry hungry dark hidden shy fierce mossy hollow dense nocturnal",
    ),
    "street": (
        "driver car taxi bridge bus truck lamp corner shop tram bicycle cyclist wheel crossing signpost garage engine "
        "tunnel passenger traveller",
        "park pass repair block hire halt transport tow deliver reverse crash insure",
        "fast crowded noisy busy narrow honking dusty late electric reckless",
    ),
    "sky": (
        "astronaut rocket star planet comet telescope moon satellite cloud galaxy pilot meteor balloon crater asteroid "
        "antenna shuttle eclipse probe sunbeam",
        "observe launch explore discover measure approach photograph circle orbit illuminate chart magnify",
        "distant bright silver cosmic weightless remote starry infinite glowing round",
    ),
}
DETERMINERS = "the", ("every", "one", "this"), ("many", "two", "these")  # of both numbers, singular, plural
PREPOSITIONS = "near behind beside without above under around opposite".split()
ADVERBS = "often again slowly suddenly carefully rarely quickly today twice calmly secretly happily".split()
