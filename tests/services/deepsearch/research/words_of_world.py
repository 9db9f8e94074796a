"""What the made-up world is told with: names, relations, and how texts and questions word them.

Passages and questions word the same relation differently on purpose.
"""

from dataclasses import dataclass

FIRST = """Adela Albin Amara Anselm Beatrix Benno Callum Carlotta Casimir Celeste Damian Delphine
Edmund Elena Emeric Esther Fabian Felicity Florian Frieda Gareth Gemma Gideon Greta Harald Helena
Hector Ingrid Isidor Ivana Jasper Johanna Julian Katya Konrad Lavinia Leander Lucinda Magnus Marcus
Marguerite Matilda Nadia Nathaniel Nicolas Octavia Odette Oscar Pascal Petra Philip Quentin Ramona
Reginald Rosalind Rupert Sabine Sebastian Sofia Stefan Tamsin Tobias Ursula Valentin Verena Victor
Wilhelmina Winston Xavier Yolanda Zachary"""
LAST = """Abbott Achterberg Alder Ashdown Bancroft Barlow Belmonte Birkett Bramwell Brandt Calloway
Carmody Castellan Chadwick Corrigan Crane Dallimore Danvers Delacroix Drummond Eastwood Ellery
Fairfax Falkner Farrow Fenwick Fontaine Garrick Gilchrist Goodall Grantham Hallam Hartwell Hawthorne
Hollis Holloway Ingram Jarrow Jessop Kaminski Kendrick Kestrel Kowalski Lambert Langford Larkin
Lindqvist Lockhart Maddox Marchetti Marlowe Merriweather Moreau Nightingale Norwood Okafor Orsini
Pemberton Pettigrew Prescott Quill Radcliffe Ravenscroft Rosetti Rutherford Salinger Sandoval
Sinclair Stanhope Sterling Tallis Thackeray Thornhill Tremaine Underwood Valdez Vance Vasquez
Wexford Whitlock Winterbourne Wolfe Yarrow Zeller"""
PLACE_HEAD = """Ald Ash Barn Beck Bel Black Bram Brier Cald Carn Clar Cold Crow Dar Dun East Elm
Fair Fal Glen Grey Hal Har Hazel High Holm Kel Kings Lang Lin Long Mar Mel Mill Nor Oak Old Pem
Queens Red Ross Sal Sed Shel Stan Stone Strat Thorn Ul Wal War West White Win Wood"""
PLACE_TAIL = """borough bridge burn bury by combe dale don field ford gate ham haven hurst ley low
mere minster mont mouth port stead stow ton vale ville wick worth"""
COUNTRIES = """Valdoria Kestania Morravia Lusatania Ostrava Brenland Caldera Nordmark Sylvania
Teravia Aquilonia Zembla"""
SEAS = ["Gulf of Maren", "Amber Sea", "Western Ocean", "Lake Orsa", "Bay of Helm"]
TITLE_A = """Silent Broken Golden Crimson Distant Hidden Midnight Winter Last Burning Forgotten
Electric Hollow Scarlet Paper Glass Lonely Wild Second Bitter Restless Northern"""
TITLE_N = """Harbor River Garden Mirror Horizon Shadow Orchard Lantern Voyage Promise Kingdom Storm
Daughter Soldier Bridge Letter Season Crown Station Island Summer Road Echo Tide"""
SYLLABLES = """ba bel bra ca cor da del dro e fen fi ga gri hal i jo ka kel la lo ma mir mo na nev o
pa per qui ra ro sa sel sti ta tor u va ven wi yor za zel"""
ENDINGS = (
    "bach ck da dez escu ev gren hart ie ini king lund man mond ni nov o rad ric rini son ssen x"
)
COMPANY = """Industries Motors Records Pictures Publishing Airlines Foods Electric Holdings Systems
Breweries Instruments"""
OCCUPATIONS = """actor painter engineer politician novelist composer footballer physicist journalist
architect photographer singer lawyer historian"""
GENRES = "drama comedy thriller romance western horror adventure musical"


@dataclass(frozen=True, slots=True)
class Relation:
    """How passages state that `s` relates to `o`, how questions describe `o`, and ask for it."""

    said: tuple[str, ...]
    described: tuple[str, ...]
    asked: tuple[str, ...]


def _relation(said: str, described: str, asked: str) -> Relation:
    return Relation(tuple(said.split("|")), tuple(described.split("|")), tuple(asked.split("|")))


RELATIONS = {
    ("person", "birthplace"): _relation(
        "{s} was born in {o} into a family of teachers.|Born and raised in {o}, {s} left home at "
        "nineteen.|A native of {o}, {s} was the youngest of four siblings.",
        "the city where {s} was born|the birthplace of {s}|the town {s} comes from",
        "Where was {s} born?|In which city was {s} born?",
    ),
    ("person", "spouse"): _relation(
        "In {y} {s} married {o}, with whom there were two children.|{s} and {o} were wed in {y}."
        "|{s} was the husband or wife of {o} for two decades.",
        "the spouse of {s}|the person {s} is married to",
        "Who is the spouse of {s}?|Who did {s} marry?",
    ),
    ("person", "father"): _relation(
        "{s} is the child of {o}, a well-known merchant.|The father, {o}, kept a shop near the "
        "market.|{s}, eldest child of {o}, showed early talent.",
        "the father of {s}|{s}'s dad",
        "Who is the father of {s}?|Who was {s}'s father?",
    ),
    ("person", "school"): _relation(
        "{s} graduated from {o} with honours in {y}.|After secondary school {s} attended {o}."
        "|{s} studied law at {o} but left without a degree.",
        "the university {s} went to|the alma mater of {s}|the place where {s} studied",
        "Where was {s} educated?|Which university did {s} attend?",
    ),
    ("person", "employer"): _relation(
        "From {y} on {s} worked for {o}.|{s} joined {o} as an adviser in {y}.",
        "the employer of {s}|the company {s} worked for",
        "Who employed {s}?|Which company did {s} work for?",
    ),
    ("film", "director"): _relation(
        "It was directed by {o}.|Helmed by {o}, it opened to mixed reviews.|The feature was the "
        "third by {o}, who shot it in eleven weeks.",
        "the director of {s}|the filmmaker who made {s}|the director of film {s}",
        "Who directed {s}?|Who is the director of the film {s}?",
    ),
    ("film", "star"): _relation(
        "It stars {o} as a retired officer.|{o} plays the lead.|The cast is led by {o}.",
        "the star of {s}|the performer in the leading role of {s}",
        "Who stars in {s}?|Which actor has the main role in {s}?",
    ),
    ("film", "music"): _relation(
        "The score was written by {o}.|{o} composed the music.",
        "the composer of the music for {s}|the person who scored {s}",
        "Who composed the music of {s}?",
    ),
    ("film", "studio"): _relation(
        "It was produced and distributed by {o}.|{o} released it in {y} after long delays.",
        "the company that produced {s}|the distributor of {s}",
        "Which company distributed {s}?",
    ),
    ("film", "location"): _relation(
        "Principal photography took place in {o}.|Most scenes were shot on location in {o}.",
        "the city where {s} was filmed|the place {s} was shot",
        "Where was {s} filmed?",
    ),
    ("novel", "author"): _relation(
        "{o} wrote it over six years.|It is the debut novel of {o}.|Written by {o}, it became a "
        "bestseller.",
        "the author of {s}|the writer of {s}",
        "Who wrote {s}?|Who is the author of {s}?",
    ),
    ("novel", "publisher"): _relation(
        "The first edition was brought out by {o}.|It was issued by {o} in two volumes.",
        "the publisher of {s}",
        "Who published {s}?",
    ),
    ("album", "performer"): _relation(
        "It is the second studio album by {o}.|{o} recorded it in a disused chapel.",
        "the performer of {s}|the band that recorded {s}|the {s} performer",
        "Who is the performer of {s}?|Which band released {s}?",
    ),
    ("album", "label"): _relation(
        "It came out on {o} in {y}.|{o} issued the record on vinyl and tape.",
        "the record label of {s}|the label that released {s}",
        "What is the record label of {s}?",
    ),
    ("band", "origin"): _relation(
        "The group was formed in {o}.|They come from {o}, where all members went to school.",
        "the city where {s} was formed|the hometown of {s}",
        "Where was {s} formed?",
    ),
    ("band", "singer"): _relation(
        "Vocals are by {o}.|{o} fronts the band.",
        "the lead singer of {s}|the vocalist of {s}",
        "Who is the lead singer of {s}?",
    ),
    ("company", "seat"): _relation(
        "It is headquartered in {o}.|Its head office has been in {o} since {y}.",
        "the city where {s} is based|the headquarters location of {s}",
        "In what city is {s} headquartered?",
    ),
    ("company", "founder"): _relation(
        "It was founded by {o}.|{o} started the business in a rented barn.",
        "the founder of {s}|the person who established {s}",
        "Who founded {s}?",
    ),
    ("company", "owner"): _relation(
        "It has been a subsidiary of {o} since {y}.|{o} acquired the firm in {y}.",
        "the owner of {s}|the parent company of {s}",
        "Who owns {s}?",
    ),
    ("city", "region"): _relation(
        "{s} is a town in {o}.|{s} lies in the hilly north of {o}.|It is the second largest "
        "settlement of {o}.",
        "the state where {s} is located|the county that contains {s}|the region {s} belongs to",
        "In which region is {s}?|What county is {s} located in?",
    ),
    ("city", "river"): _relation(
        "The town stands on the banks of the {o}.|It grew around a crossing of the {o}.",
        "the river that flows through {s}|the body of water by {s}",
        "Which river runs through {s}?",
    ),
    ("city", "mayor"): _relation(
        "The current mayor is {o}.|Since {y} the council has been led by {o}.",
        "the mayor of {s}|the person in charge of {s}",
        "Who is the mayor of {s}?|Who is in charge of {s}?",
    ),
    ("region", "country"): _relation(
        "{s} is one of the provinces of {o}.|{s} is an administrative division of {o}.",
        "the country where {s} is found|the country of {s}",
        "What country is {s} in?",
    ),
    ("region", "capital"): _relation(
        "Its administrative centre is {o}.|The seat of its assembly is {o}.",
        "the capital of {s}",
        "What is the capital of {s}?",
    ),
    ("region", "governor"): _relation(
        "The governor, {o}, took office in {y}.|{o} was elected governor in {y}.",
        "the governor of {s}|the head of government of {s}",
        "Who is the governor of {s}?",
    ),
    ("country", "president"): _relation(
        "{o} has been president of {s} since {y}.|The head of state of {s} is {o}.",
        "the president of {s}",
        "Who is the president of {s}?",
    ),
    ("country", "capital"): _relation(
        "{o} is the capital of {s} and its largest port.|The government of {s} sits in {o}.",
        "the capital of {s}",
        "What is the capital city of {s}?",
    ),
    ("river", "mouth"): _relation(
        "It empties into the {o}.|The stream joins the {o} after many bends.",
        "the body of water {s} flows into|the mouth of {s}",
        "What does {s} flow into?",
    ),
    ("university", "seat"): _relation(
        "It has its campus in {o}.|The university lies on the outskirts of {o}.",
        "the city where {s} is located",
        "Which city is {s} located in?",
    ),
    ("university", "founder"): _relation(
        "It was endowed by {o}.|{o} established the institution in {y}.",
        "the founder of {s}",
        "Who founded {s}?",
    ),
    ("battle", "place"): _relation(
        "It was fought near {o}.|Both armies met in the fields outside {o}.",
        "the place where {s} was fought",
        "Where did {s} take place?",
    ),
    ("battle", "commander"): _relation(
        "The victorious side was commanded by {o}.|{o} led the winning army.",
        "the winning commander at {s}",
        "Who commanded the victors at {s}?",
    ),
    ("club", "seat"): _relation(
        "The side plays its home matches in {o}.|It is a football club based in {o}.",
        "the city where {s} plays|the home city of {s}",
        "Where is {s} based?",
    ),
    ("club", "manager"): _relation(
        "{o} has coached the team since {y}.|The squad is managed by {o}.",
        "the manager of {s}|the coach of {s}",
        "Who manages {s}?",
    ),
}
KINDS_OF_TARGET = {
    "birthplace": "city", "spouse": "person", "father": "person", "school": "university",
    "employer": "company", "director": "person", "star": "person", "music": "person",
    "studio": "company", "location": "city", "author": "person", "publisher": "company",
    "performer": "band", "label": "company", "origin": "city", "singer": "person",
    "seat": "city", "founder": "person", "owner": "company", "region": "region",
    "river": "river", "mayor": "person", "country": "country", "capital": "city",
    "governor": "person", "president": "person", "mouth": "river", "place": "city",
    "commander": "person", "manager": "person",
}  # fmt: skip
OPENINGS = {
    "person": ("{s} ({y}–{z}) was a {nation} {job}.", "{s} (born {y}) is a {nation} {job}."),
    "film": ("{s} is a {y} {nation} {genre} film.", "{s} is a {genre} film first shown in {y}."),
    "novel": ("{s} is a {y} {genre} novel.", "{s} is a work of fiction published in {y}."),
    "album": ("{s} is an album released in {y}.", "{s} is a {y} record of twelve songs."),
    "band": ("{s} are a {nation} rock band.", "{s} is a {nation} folk ensemble founded in {y}."),
    "company": ("{s} is a {nation} company.", "{s} was a {nation} manufacturer set up in {y}."),
    "city": ("{s} had {n} inhabitants in {y}.", "{s} has a population of {n}."),
    "region": ("{s} covers {n} square kilometres.", "{s} is known for forests and mining."),
    "country": ("{s} is a country of {n} thousand people.", "{s} gained independence in {y}."),
    "river": ("The {s} is a river {n} metres wide at most.", "The {s} is a {nation} river."),
    "university": ("{s} is a {nation} public university.", "{s} opened its doors in {y}."),
    "battle": ("{s} took place in {y}.", "{s} was an engagement of the {nation} war of {y}."),
    "club": ("{s} is a {nation} football club.", "{s} was set up by workers in {y}."),
}
FILLERS = tuple(
    """It received a prize at the {city} festival in {y}.|Critics compared it with the work of
{person}.|A street in {city} carries the name.|In {y} an exhibition about it was held in {city}.
|The archive of {university} keeps most of the papers.|A later account by {person} disputes this.
|The following year brought new difficulties, and plans for {city} were given up.
|It was mentioned in a film about {person}.|According to a survey of {y} it is known to one in
five adults.|{person} described it as the most influential of its time.
|Local newspapers reported widely on the events of {y}.|A revised edition with photographs by
{person} followed.|The anniversary is celebrated every {y0} years with a parade.
|Several members of the {last} family were involved.|It has been translated into nine languages.
|Work began in {y} and was finished with money from {company}.|The building burned down in {y} and
was rebuilt in brick.|In the {country} census of {y} it is listed twice.
|Weather records go back to {y}.|{person} and a few friends were among the guests.""".replace(
        "\n", " "
    ).split("|")
)

# How the passage of the target mentions what led there, by the kind of the latter.
ECHOES = {
    "person": ("{o} also appears in accounts of the life of {s}, like that of {person}.",
               "Those connected with it include {s} and {person}."),
    "film": ("Film credits include {s} and {film}.", "Work on the film {s} made the name known."),
    "novel": ("The novel {s} is the best remembered result.", "Readers of {s} will know more."),
    "album": ("Their discography includes {s} and {album}.", "The album {s} sold well."),
    "band": ("The band {s} kept close ties.", "{s} and {band} both have connections here."),
    "company": ("{s} is among the companies involved.", "The business {s} has its roots here."),
    "city": ("In {s} a plaque recalls this.", "Links to the town of {s} go back to {y}."),
    "region": ("All of {s} is concerned by it.", "Within {s} it is of some importance."),
    "country": ("In {s} it is known to everybody.", "A stamp of {s} shows it."),
    "river": ("The {s} is close by.", "Trade on the {s} brought wealth."),
    "university": ("{s} holds a collection about it.", "Students of {s} wrote a history."),
    "battle": ("The {s} changed everything.", "Veterans of the {s} met every year."),
    "club": ("Supporters of {s} keep the memory.", "{s} played a friendly match in its honour."),
}  # fmt: skip
