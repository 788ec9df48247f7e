"""The language of a text is told where it is plain and left open where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.ingest.language import UNDETERMINED, detect_language


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The company said that it will close two of its plants by the end of the year."),
        ("en", "why was my card declined at the shop, and what do I do now?"),
        ("de", "Das Unternehmen wird zwei seiner Werke bis zum Ende des Jahres schließen."),
        ("fr", "La société a annoncé qu'elle va fermer deux de ses usines dans le nord."),
        ("es", "La empresa va a cerrar dos de sus plantas en el norte por la caída de las ventas."),
        ("pt", "A empresa disse que não vai fechar as fábricas do norte até o fim do ano."),
        ("it", "La società ha detto che non chiude gli impianti del nord e che paga i debiti."),
        (
            "nl",
            "Het bedrijf zegt dat het niet van plan is om de fabriek in het noorden te sluiten.",
        ),
        ("sv", "Företaget säger att det inte har för avsikt att lägga ned fabriken som är i norr."),
        ("pl", "Spółka nie zamierza zamknąć fabryki na północy, ale to jest tylko plan na dziś."),
        ("ru", "Компания не будет закрывать завод на севере, но это может измениться."),
        ("uk", "Компанія не планує закривати завод на півночі, але це може змінитися за рік."),
        ("ar", "قالت الشركة إن المصنع في الشمال لن يغلق هذا العام"),
        ("hi", "कंपनी ने कहा है कि वह उत्तर में अपना कारखाना बंद नहीं कर रही है"),
        ("zh", "公司表示今年不会关闭北方的工厂，但明年的计划尚未确定。"),
        ("zh", "Halcyon 公司第三季度利润增长 15%，高于预期"),
        ("ja", "会社は今年、北部の工場を閉鎖しないと発表した。"),
        ("ko", "회사는 올해 북부 공장을 닫지 않을 것이라고 밝혔다."),
        ("el", "Η εταιρεία δεν θα κλείσει το εργοστάσιο φέτος."),
        ("he", "החברה הודיעה שלא תסגור את המפעל השנה."),
        ("th", "บริษัทกล่าวว่าจะไม่ปิดโรงงานในปีนี้"),
    ],
)
def test_a_plain_sentence_gets_its_language(language: str, text: str) -> None:
    assert detect_language(text) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "$HALC +3.2% $NORR",
        "https://example.org/a/b",
        "12345 !!! 😀😀",
        "Halcyon Motors SA",
        "en de",
    ],
)
def test_a_text_without_common_words_is_undetermined(text: str) -> None:
    assert detect_language(text) == UNDETERMINED


@pytest.mark.parametrize(
    "text",
    [
        "Halcyon Sets Results Call for Thursday, August 11th at 5:00 p.m. ET",
        "Norrland Power Co updates its guidance to $1.16",
        "Grupo Minero Del Valle reports a rise in traffic",
        "I need several virtual cards made per day.",
        "Halcyon Plus Arrives on Friday",
    ],
)
def test_an_english_text_with_foreign_names_is_not_taken_for_foreign(text: str) -> None:
    assert detect_language(text) in {"en", UNDETERMINED}


def test_an_english_text_that_quotes_chinese_stays_english() -> None:
    assert detect_language("The firm said that its name 海龙 is not for sale in this year.") == "en"


@given(st.text())
def test_every_text_has_an_answer(text: str) -> None:
    assert detect_language(text).isalpha()
