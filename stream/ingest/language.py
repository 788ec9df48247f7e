"""Guesses the language of a text from its script and its commonest words."""
# ruff: noqa: RUF001 - letters of other scripts that resemble Latin ones are meant as they stand

from __future__ import annotations

import re

UNDETERMINED = "und"
# The first sentence or two decide; more text costs more and hardly changes the answer.
SAMPLE_CHARS = 160
# One common word may be a name or a quotation ("Deutsche Bank: value per share").
WORDS_NEEDED = 2
# Of an English text that names foreigners or companies ("Co", "S.A. de C.V."), about as many words
# are another language's; an event that is taken for foreign is not judged at all.
LEAD_OVER_ENGLISH = 2
# How many letters an alphabet takes to say what one ideogram or syllable says.
LETTERS_PER_IDEOGRAM = 3
# Japanese has at least one kana to so many ideograms; Chinese texts quote a few.
KANJI_PER_KANA = 8

# Function words as they stand in running text, the most frequent ones of each language, those
# that languages share included: a shared word must not count for one language alone.
_COMMON_WORDS = {
    "en": "the of and to a in is you that it he was for on are as with his they i at be this have "
    "from or had by not but what all were we when your can said there an which she do their "
    "if will up about how my has more after been who its now our than would just don't it's "
    "i'm me no so why could over into against new out these some get any did please today "
    "here first last year years week day time shares stock price company market says",
    "de": "der die das und ist in den von zu mit sich des auf für nicht ein eine als auch es an "
    "er so dass kann sie nach wird bei einer um am sind noch wie einem über ich wir aus "
    "aber hat mein meine nur war oder im dem zum zur haben was",
    "fr": "le la les de des et est un une du en que qui dans pour pas sur au aux avec ce il elle "
    "je vous nous sont mais plus par ne se son sa ses leur cette ou mon ma être ont on "
    "n'est c'est a",
    "es": "el la los las de que y en un una es por con no para se su al lo como más pero sus le "
    "ya o este si porque esta muy sin sobre también me mi ha del son fue está hay a yo",
    "pt": "o a os as de que e em um uma do da dos das não para com por se na no nas nos mais como "
    "mas foi ao ele ela seu sua ou quando muito já está eu também meu minha pelo até é são",
    "it": "il lo la i gli le di che e è un una in per non con del della dei delle si da sono al "
    "alla come più ma anche ha ho questo nel nella se mi mio o dal su a",
    "nl": "de het een en van ik te dat die in je niet zijn is op met voor er maar om hem dan aan "
    "ook als bij nog naar heeft ze deze mijn wordt over of uit door we was geen",
    "sv": "och att det i en jag på är som för med inte av ett till den har de om vi så men var "
    "han från kan du min eller när nu efter vid",
    "da": "og at det i en jeg på er som for med ikke af et til den har de om vi så men var han "
    "fra kan du min eller når nu efter ved",
    "ro": "și si să sa de la în in nu pentru cu pe este care din mai ca un o se va au fost că după",
    "pl": "i w na nie się że z do to jest jak o co ale po tak za od przez czy są dla już tylko a "
    "mnie był była przy ze oraz może ich moje",
    "tr": "ve bir bu da de için ne ile o mi ama çok var daha gibi en sonra olan ben her olarak "
    "değil kadar ki yok benim şey",
    "id": "yang dan di ini itu dengan untuk tidak dari dalam akan pada saya ke ada juga adalah "
    "bisa atau oleh kami sudah karena telah",
    "vi": "và của là có không cho được trong một với những này các đã tôi người để khi từ đến như",
    "ru": "и в не на что я с он как это по но из у за от так же для его вы бы мы она мне все о был",
    "uk": "і в не на що я з він як це та за від до є але для його ви ми вона мені у про був або й",
    "bg": "и в не на че аз с той как това по но от за да е се са ще като към или му си",
    "ar": "في من على أن إلى لا ما هذا مع التي الذي عن كان هذه هو هي أو قد بعد كل لم ذلك بين",
    "fa": "و در به از که این را با است برای آن یک خود تا بر هم نیز ما می شد های",
    "hi": "के है में की और से को का एक पर यह नहीं हैं ने कि भी था मैं हो कर इस",
}
_LANGUAGES = tuple(_COMMON_WORDS)
_ENGLISH = _LANGUAGES.index("en")
_ALL_WORDS = frozenset(word for words in _COMMON_WORDS.values() for word in words.split())
# One byte for each language, so that adding the numbers of all words found counts the votes of
# all languages at once; a sample has fewer than 256 different words.
_VOTES = {
    word: sum(
        1 << 8 * place
        for place, words in enumerate(_COMMON_WORDS.values())
        if word in words.split()
    )
    for word in _ALL_WORDS
}
_ENGLISH_ONLY = frozenset(word for word, votes in _VOTES.items() if votes == _VOTES["the"])

# Scripts that in practice write one language. Cyrillic, Arabic and Devanagari write several and
# are left to the words.
_SCRIPTS = {
    "zh": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
    "ja": "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9d",
    "ko": "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "hy": "\u0531-\u058f",
    "he": "\u05d0-\u05f4",
    "bn": "\u0980-\u09ff",
    "pa": "\u0a00-\u0a7f",
    "gu": "\u0a80-\u0aff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "kn": "\u0c80-\u0cff",
    "ml": "\u0d00-\u0d7f",
    "si": "\u0d80-\u0dff",
    "th": "\u0e01-\u0e5b",
    "lo": "\u0e80-\u0eff",
    "my": "\u1000-\u109f",
    "ka": "\u10a0-\u10ff",
    "am": "\u1200-\u139f",
    "km": "\u1780-\u17ff",
}
_SHARED_SCRIPTS = "A-Za-z\u00c0-\u036f\u0400-\u052f\u0600-\u06ff\u0900-\u097f"
_SCRIPT_RUN = re.compile(
    f"(?P<shared>[{_SHARED_SCRIPTS}]+)|"
    + "|".join(f"(?P<{language}>[{span}]+)" for language, span in _SCRIPTS.items())
)
_IDEOGRAPHIC = ("zh", "ja", "ko")
_ANY_SCRIPT = re.compile(f"[{''.join(_SCRIPTS.values())}]")


def detect_language(text: str) -> str:
    """ISO 639-1 code of a cleaned text, or "und" (ISO 639-2: undetermined) when in doubt.

    The script decides where it writes one language; else the language most of whose commonest
    words occur, if it leads, over English clearly. 21 languages in the Latin, Cyrillic, Arabic and
    Devanagari scripts, 20 by script alone. A mixed text gets the language of its larger part.
    """
    sample = text[:SAMPLE_CHARS]
    if not sample.isascii() and _ANY_SCRIPT.search(sample):
        language = _language_of_script(sample)
        if language:
            return language
    return _language_of_words(sample)


def _language_of_script(sample: str) -> str | None:
    letters = dict.fromkeys(("shared", *_IDEOGRAPHIC), 0)
    for run in _SCRIPT_RUN.finditer(sample):
        script = run.lastgroup or ""
        letters[script] = letters.get(script, 0) + run.end() - run.start()
    if letters["ja"] * KANJI_PER_KANA > letters["zh"]:
        letters["ja"] += letters.pop("zh")
    for script in letters.keys() & _IDEOGRAPHIC:
        letters[script] *= LETTERS_PER_IDEOGRAM
    most = max(letters, key=letters.__getitem__)
    return None if most == "shared" else most


def _language_of_words(sample: str) -> str:
    found = _ALL_WORDS.intersection(sample.lower().split())
    if len(found) < WORDS_NEEDED:
        return UNDETERMINED
    # Most texts are English, and where most words found are English only, no vote can change it.
    if 2 * len(found & _ENGLISH_ONLY) > len(found):
        return "en"
    votes = sum(map(_VOTES.__getitem__, found)).to_bytes(len(_LANGUAGES), "little")
    most = max(votes)
    if most < WORDS_NEEDED or votes.count(most) > 1:
        return UNDETERMINED
    first = votes.index(most)
    if first != _ENGLISH and most < votes[_ENGLISH] + LEAD_OVER_ENGLISH:
        return UNDETERMINED
    return _LANGUAGES[first]
