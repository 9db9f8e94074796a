"""Sixty questions, each with the passage that answers it; written for these tests.

The questions avoid the words of their passages where they can, and passages share words with the
questions of others, so that matching words alone is not enough.
"""

PAIRS: tuple[tuple[str, str], ...] = (
    (
        "How do plants make their food?",
        "Leaves use sunlight to turn carbon dioxide and water into sugar, releasing oxygen.",
    ),
    (
        "Why is the sky blue during the day?",
        "Air scatters light of short wavelengths more strongly than the red end of the spectrum.",
    ),
    (
        "What causes the tides of the ocean?",
        "The pull of the moon raises the sea on both sides of the earth twice a day.",
    ),
    (
        "Who wrote the play about the prince of Denmark?",
        "Hamlet was written by William Shakespeare around the year 1600.",
    ),
    (
        "How can I reset a forgotten password?",
        "Choose 'I cannot sign in' and follow the link we send to your e-mail to set a new one.",
    ),
    (
        "Where can I see my invoices?",
        "Bills of the past twelve months are listed in your account under Payments.",
    ),
    (
        "How do I cancel my subscription?",
        "You can end your plan at any time in the settings; it runs until the paid month is over.",
    ),
    (
        "Is it possible to get my money back?",
        "Refunds are granted within fourteen days of the purchase, without giving reasons.",
    ),
    (
        "How long does delivery take?",
        "Parcels usually arrive three to five working days after the order was placed.",
    ),
    (
        "What should I do about a bee sting?",
        "Remove the stinger, wash the spot with soap and cool it with ice to limit the swelling.",
    ),
    (
        "How is high blood pressure treated?",
        "Less salt, exercise and medicines such as ACE inhibitors lower hypertension.",
    ),
    (
        "What are the symptoms of the flu?",
        "Influenza begins suddenly with fever, aching muscles, a dry cough and exhaustion.",
    ),
    (
        "How much sleep do adults need?",
        "Grown-ups should rest between seven and nine hours each night.",
    ),
    (
        "Which vitamin does sunlight give us?",
        "Skin that is exposed to ultraviolet rays produces vitamin D.",
    ),
    (
        "How do vaccines protect against disease?",
        "They show the immune system a harmless part of a germ, so that it remembers it.",
    ),
    (
        "What is the fastest animal on land?",
        "A cheetah can run at more than a hundred kilometres an hour over short distances.",
    ),
    (
        "What do pandas eat?",
        "The black and white bears of China live almost only on bamboo.",
    ),
    (
        "How do bats find their way in the dark?",
        "They send out high calls and listen to the echoes that objects throw back.",
    ),
    (
        "Why do birds fly south in autumn?",
        "Many species migrate to warmer regions because insects become scarce in winter.",
    ),
    (
        "How do fish breathe under water?",
        "Gills take dissolved oxygen out of the water that streams over them.",
    ),
    (
        "What is the capital of Australia?",
        "Canberra was founded as the seat of government, between Sydney and Melbourne.",
    ),
    (
        "Which river is the longest in Africa?",
        "The Nile flows more than six thousand kilometres north into the Mediterranean.",
    ),
    (
        "Where is the highest mountain of the world?",
        "Everest stands on the border of Nepal and Tibet and rises to 8,849 metres.",
    ),
    (
        "How do volcanoes erupt?",
        "Molten rock with dissolved gases rises through cracks and bursts out at the surface.",
    ),
    (
        "What causes earthquakes?",
        "Plates of the crust grind past each other, lock, and suddenly slip along a fault.",
    ),
    (
        "Why are there seasons?",
        "The axis of our planet is tilted, so each hemisphere leans to the sun for half the year.",
    ),
    (
        "What is a black hole?",
        "Where a massive star has collapsed, gravity is so strong that not even light escapes.",
    ),
    (
        "Who was the first person on the moon?",
        "Neil Armstrong stepped out of the lunar module in July 1969.",
    ),
    (
        "Which planet has the most rings?",
        "Saturn is surrounded by broad bands of ice and dust that small telescopes can show.",
    ),
    (
        "How old is the universe?",
        "Measurements of the background radiation put the Big Bang 13.8 billion years ago.",
    ),
    (
        "How do I sort a list in Python?",
        "Call sorted() for a new sequence in order, or the method sort() to change it in place.",
    ),
    (
        "What is the difference between TCP and UDP?",
        "One protocol guarantees order and delivery, the other sends datagrams and forgets them.",
    ),
    (
        "How can I undo my last commit?",
        "git reset --soft HEAD~1 takes the newest revision back but keeps the changed files.",
    ),
    (
        "Why is my database query slow?",
        "Without an index the server reads the whole table; EXPLAIN shows a sequential scan.",
    ),
    (
        "What does a hash function do?",
        "It maps input of any length to a short digest of fixed size that is hard to invert.",
    ),
    (
        "How does public key encryption work?",
        "Anyone may lock a message with the open half of a pair; only the secret half unlocks it.",
    ),
    (
        "How can a web page load faster?",
        "Compress images, cache static assets near the user and defer scripts that can wait.",
    ),
    (
        "What is machine learning?",
        "Algorithms that improve at a task from examples instead of hand-written rules.",
    ),
    (
        "How do I bake sourdough bread?",
        "Feed the starter, let the dough ferment overnight and put it into a very hot oven.",
    ),
    (
        "How long should I boil an egg?",
        "Six minutes leave the yolk soft, ten make it firm.",
    ),
    (
        "Can I freeze cooked rice?",
        "Cooled quickly and kept airtight at minus eighteen degrees, it lasts about six months.",
    ),
    (
        "How do I remove a red wine stain?",
        "Blot the fabric, cover the spot with salt, then rinse with cold water and soap.",
    ),
    (
        "How often should I water a cactus?",
        "Succulents want a good soak every other week in summer and almost nothing in winter.",
    ),
    (
        "How do I change a flat tyre?",
        "Loosen the nuts, jack up the car, swap the wheel for the spare and tighten crosswise.",
    ),
    (
        "What is inflation in economics?",
        "When the general level of prices rises, each unit of currency buys less than before.",
    ),
    (
        "How does compound interest work?",
        "Earnings are added to the principal, so that next year they earn something themselves.",
    ),
    (
        "When did the Second World War end?",
        "Germany surrendered in May 1945, Japan in September of that year.",
    ),
    (
        "Who painted the Mona Lisa?",
        "Leonardo da Vinci worked for years on the portrait that hangs in the Louvre.",
    ),
    (
        "What started the French Revolution?",
        "Bread was dear, the crown was bankrupt, and in July 1789 a crowd stormed the Bastille.",
    ),
    (
        "How many players are in a football team?",
        "Each side has eleven people on the pitch, one of whom keeps the goal.",
    ),
    (
        "What are the rules of chess castling?",
        "The king moves two squares towards a rook, which jumps over; neither may have moved.",
    ),
    (
        "How do I learn to play the guitar?",
        "Practise a handful of chords every day and change between them to a slow beat.",
    ),
    (
        "What is error code E-4711?",
        "E-4711 means that the pump of the machine has lost pressure; check valve 3.",
    ),
    (
        "Welche Stadt ist die Hauptstadt von Deutschland?",
        "Berlin ist seit 1990 wieder die Hauptstadt und der Regierungssitz Deutschlands.",
    ),
    (
        "Quelle est la hauteur de la tour Eiffel ?",
        "La tour Eiffel, à Paris, mesure 330 mètres avec ses antennes.",
    ),
    (
        "¿Cuántos habitantes tiene Madrid?",
        "Madrid tiene más de tres millones de habitantes y es la ciudad más poblada de España.",
    ),
    ("太阳系中最大的行星是哪一颗？", "木星是太阳系中体积最大的行星，有七十多颗卫星。"),
    ("日本で一番高い山は何ですか。", "富士山は標高3776メートルで、日本で最も高い山です。"),
    ("한국의 수도는 어디입니까?", "서울은 한국의 수도이며 인구가 가장 많은 도시입니다."),
    ("Какая река самая длинная в Европе?", "Волга — самая длинная река в Европе, 3530 км."),
)
