"""The few sentences that the loop itself says, in the languages of most questions. Pure.

It refuses no language: where there are no words for it, English is spoken.
"""

from dataclasses import dataclass
from typing import Final

from services.search.index.words import DENSE, words


@dataclass(frozen=True, slots=True)
class Sayings:
    """What is said where the evidence does not speak for itself."""

    nothing: str
    forced: str
    empty: str
    unreferenced: str
    yes: str
    no: str
    searching: str
    reading: str
    unsure: str
    undecided: str
    unsupported: str


SPOKEN: Final = {
    "en": Sayings(
        "Nothing was found that answers this question.",
        "I will answer with what is known so far. ",
        "There is no answer yet. ",
        "The answer has no references yet, so I will look further. ",
        "Yes",
        "No",
        "I will look for {what}. ",
        "{title} leads on to {what}. ",
        "What was found does not settle the question. The closest passage says:",
        "The answer is not certain yet. ",
        "A quote does not stand in its page. ",
    ),
    "de": Sayings(
        "Zu dieser Frage wurde nichts gefunden.",
        "Ich antworte mit dem, was bisher bekannt ist. ",
        "Es gibt noch keine Antwort. ",
        "Die Antwort hat noch keine Belege, daher suche ich weiter. ",
        "Ja",
        "Nein",
        "Ich suche nach {what}. ",
        "{title} führt weiter zu {what}. ",
        "Das Gefundene klärt die Frage nicht. Am nächsten kommt diese Stelle:",
        "Die Antwort ist noch nicht sicher. ",
        "Ein Zitat steht nicht auf seiner Seite. ",
    ),
    "fr": Sayings(
        "Rien n'a été trouvé qui réponde à cette question.",
        "Je réponds avec ce qui est connu jusqu'ici. ",
        "Il n'y a pas encore de réponse. ",
        "La réponse n'a pas encore de références ; je cherche plus loin. ",
        "Oui",
        "Non",
        "Je cherche {what}. ",
        "{title} mène à {what}. ",
        "Ce qui a été trouvé ne tranche pas la question. Le passage le plus proche :",
        "La réponse n'est pas encore certaine. ",
        "Une citation ne figure pas dans sa page. ",
    ),
    "es": Sayings(
        "No se encontró nada que responda a esta pregunta.",
        "Respondo con lo que se sabe hasta ahora. ",
        "Todavía no hay respuesta. ",
        "La respuesta aún no tiene referencias; sigo buscando. ",
        "Sí",
        "No",
        "Busco {what}. ",
        "{title} lleva a {what}. ",
        "Lo encontrado no resuelve la pregunta. El pasaje más cercano dice:",
        "La respuesta aún no es segura. ",
        "Una cita no figura en su página. ",
    ),
    "zh": Sayings(
        "没有找到能回答这个问题的内容。",
        "我将根据目前已知的内容作答。",
        "还没有答案。",
        "答案还没有引用来源，我继续查找。",
        "是",
        "否",
        "我来查找{what}。",
        "{title}引出{what}。",
        "找到的内容不足以确定答案。最接近的段落是：",
        "答案还不确定。",
        "有一处引文不在其网页中。",
    ),
    "ja": Sayings(
        "この質問に答える情報は見つかりませんでした。",
        "これまでに分かったことから答えます。",
        "まだ答えがありません。",
        "答えに出典がないため、さらに調べます。",
        "はい",
        "いいえ",
        "{what}を調べます。",
        "{title}から{what}へ進みます。",
        "見つかった内容では確定できません。最も近い記述は次のとおりです：",
        "答えはまだ確かではありません。",
        "引用がそのページにありません。",
    ),
}
# Words by which a question shows its language.
_TELLING: Final = {
    "de": "der die das dem den ist wer wo wie liegt welche welcher wann wurde und von eine",
    "fr": "le la les est qui quel quelle quand où des dans une pourquoi",
    "es": "el los las es quién cuál cuándo dónde una qué por cómo fue",
    "en": "the is who what which when where was did how are of",
}
KANA: Final = ("\u3040", "\u30ff")


def sayings(language: str, question: str) -> Sayings:
    """The sentences in the language asked for, or in that of the question."""
    code = language.lower().replace("_", "-").partition("-")[0]
    return SPOKEN.get(code or language_of(question), SPOKEN["en"])


def language_of(question: str) -> str:
    """A guess among the languages spoken here."""
    if DENSE.search(question):
        kana = any(KANA[0] <= sign <= KANA[1] for sign in question)
        return "ja" if kana else "zh"
    asked = set(words(question))
    counts = {code: len(asked.intersection(words(w))) for code, w in _TELLING.items()}
    best = max(counts, key=lambda code: (counts[code], code == "en"))
    return best if counts[best] else "en"
