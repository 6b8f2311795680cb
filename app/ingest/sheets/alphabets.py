"""Which encoding gives a text the letters of one language.

A text that is read in the wrong encoding still has letters, but not those of one language: Hungarian of
Windows read as Western European has "õ" and "û", Russian of an old Mac read as that of Windows begins its
sentences with Serbian capitals. This decides only where one reading is clean and what was found is not.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

LOOKED_AT = 20_000  # bytes
ENOUGH = 8  # signs that show an encoding
ENOUGH_ODD = 3  # signs that show that it is another one
FEW, MANY = (
    0.02,
    0.5,
)  # of the signs may be odd in a text that is read rightly, with names from elsewhere; in any
WESTERN, CYRILLIC = "cp1252", ("cp1251", "koi8_r")  # where names from elsewhere have no letters of their own
# It is more likely than these, unless the text has so many odd signs fewer in them.
PREFERRED = {"cp1250": 0, "cp1254": 1}

# Small letters beyond ASCII.
LANGUAGES = (
    "äöüßé",  # German
    "àâæçéèêëîïôœùûüÿ",  # French
    "áéíñóúüºª",  # Spanish
    "áâãàçéêíóôõúüºª",  # Portuguese
    "àèéìíîòóùº",  # Italian
    "åäöéü",  # Swedish, Finnish
    "æøåéòôó",  # Danish, Norwegian
    "éèëêïóòöáàüçôâûî",  # Dutch
    "áðéíóúýþæö",  # Icelandic
    "õäöüšž",  # Estonian
    "ąćęłńóśźż",  # Polish
    "áčďéěíňóřšťúůý" + "ž",  # Czech
    "áäčďéíĺľňóôŕšťúýž",  # Slovak
    "áéíóöőúüű",  # Hungarian
    "čćđšž",  # Croatian, Slovene, Bosnian
    "ăâîşţ",  # Romanian
    "çğıöşüâîû",  # Turkish, without the capital that is two letters when small
    "абвгдежзийклмнопрстуфхцчшщъыьэюяё",  # Russian, Bulgarian
    "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",  # Ukrainian
    "абвгдђежзијклљмнњопрстћуфхцчџш",  # Serbian
    "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",  # Greek
    "אבגדהוזחטיךכלםמןנסעףפץצקרשת",  # Hebrew
    "".join(map(chr, (*range(0x0621, 0x063B), *range(0x0641, 0x0653)))) + "پچژگ",  # Arabic
)
ENCODINGS = (
    *("cp1252", "iso8859_15", "mac_roman", "cp850", "cp437", "cp860", "cp865"),
    *("cp1250", "iso8859_2", "mac_latin2", "cp852"),
    *("cp1254", "cp857", "mac_turkish"),
    *("cp1251", "koi8_r", "cp866", "mac_cyrillic"),
    *("cp1253", "cp737", "mac_greek"),
)

# What no word has: signs within it, letters of two alphabets, capitals behind small letters, a last letter
# that is not the last; and what no text of these languages has.
ODD = re.compile(
    r"(?<=[^\W\d_])[¡-©«¬®-³¶-¹»-¿×÷‚‘“”„†‡•‰‹›€™…](?=[^\W\d_])|[\x80-\x9f¤¦¬¯\u2190-\u25ff\ue000-\uf8ff]"
    r"|(?<=[A-Za-z])[\u0370-\u04ff]|[\u0370-\u04ff](?=[A-Za-z])|(?<=[a-zа-яёα-ώ])[А-ЯÀ-ÞΑ-Ω]|ς(?=[^\W\d_])"
)
APOSTROPHE = re.compile(r"(?<!\w)’(?!\w)")


@dataclass(frozen=True, slots=True)
class Reading:
    encoding: str
    text: str
    signs: int  # beyond ASCII
    odd: int  # of these

    @property
    def is_suspicious(self) -> bool:
        enough = ENOUGH_ODD - (self.encoding in CYRILLIC)
        is_odd = self.odd >= enough and self.odd > FEW * self.signs
        return is_odd or self.odd > MANY * self.signs

    def is_likelier_than(self, other: "Reading") -> bool:
        """For that of the western encoding: whether another of Windows has too few letters of its own."""
        fewer = PREFERRED.get(other.encoding)
        return fewer is not None and self.odd + fewer <= other.odd


def reconsidered(sample: bytes, found: list[str]) -> list[str]:
    """`found`, or the one encoding in which the text is clean while it is not as found; none if several."""
    readings = {one.encoding: one for one in _readings(sample[:LOOKED_AT])}
    mine, western = readings.get(found[0]) if found else None, readings.get(WESTERN)
    if mine is not None and western is not None and western.is_likelier_than(mine):
        found, mine = [WESTERN], western
    if found and (mine is None or not mine.is_suspicious):
        return found
    clean = [one for one in readings.values() if one.odd == 0]
    if not clean:
        return found
    others = [one for one in readings.values() if one.text != clean[0].text and one.odd < ENOUGH_ODD]
    return [] if others or clean[0].signs < ENOUGH else [clean[0].encoding]


def _readings(sample: bytes) -> Iterator[Reading]:
    for encoding in ENCODINGS:
        try:
            text = sample.decode(encoding)
        except UnicodeDecodeError:
            continue
        signs = Counter(sign for sign in text.lower() if not sign.isascii())
        yield Reading(encoding, text, signs.total(), _strangers(signs) + _odd(text))


def _strangers(signs: Counter[str]) -> int:
    """Letters that the language that has most of them has not."""
    letters = {sign: count for sign, count in signs.items() if sign.isalpha()}
    return min(sum(count for sign, count in letters.items() if sign not in known) for known in LANGUAGES)


def _odd(text: str) -> int:
    return sum(1 for _ in ODD.finditer(text)) + sum(1 for _ in APOSTROPHE.finditer(text))
