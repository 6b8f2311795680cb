"""Texts of Western Europe that are not UTF-8: Windows, old Macs and DOS differ in their bytes.

A text read in the wrong one of these encodings is full of what no language writes: signs within words
("sch”ne"), capitals behind small letters ("GrŠße"), letters that hardly any text has. These are counted.
"""

import re
from dataclasses import dataclass

WINDOWS, MAC, DOS = "cp1252", "mac_roman", ("cp850", "cp437")
OTHERS = (MAC, *DOS)

# Hardly ever in a text of these languages: mathematics, Greek, frames, ligatures, letters of Old English.
RARE = re.compile(r"[ÐÞƒˆ˜ŸÿıﬁﬂΩπ∂∑∏∫√∆◊≈≠≤≥∞\u0370-\u03ff\u2190-\u25ff\ue000-\uf8ff]")
# Small ones that a word of another language may have, but of which a text of these languages is not full.
FOREIGN = re.compile(r"(?<=[^\W\d_])[šž](?=[^\W\d_])")
# A sign with letters on both sides. What is used as an apostrophe or a dash may be there.
WITHIN = re.compile(r"(?<=[^\W\d_])[\x80-\x9f¡-©«¬®-³¶-¹»-¿×÷‘‚“”„†‡•‰‹›€™](?=[^\W\d_])")
BEHIND = re.compile(
    r"(?<=[^\W\d_])[\x80-\x9f¡¢£¤¥§¨©¬¯±´¶¸¼-¿×÷‚„†‡•‰‹€](?![^\W\d_])"
)  # at the end of a word
LATIN = "".join(map(chr, range(0xC0, 0x180)))
CAPITALS = "".join(filter(str.isupper, LATIN))
SMALL = "a-z" + "".join(filter(str.islower, LATIN))
OPENING = re.compile(f"(?<=[{SMALL}])[‚„]")  # a mark that opens, behind a letter
CAPITAL = re.compile(f"(?<=[{SMALL}])[{CAPITALS}]|(?<=[A-Z])[{CAPITALS}](?=[a-z])")
LONELY = re.compile(r"(?<![^\W\d_'’])[ÃÄÊËÌÍÎÏÐÑÒÔÕØÙÚÛÜÝÞß](?![^\W\d_'’])")
ODD = (RARE, FOREIGN, WITHIN, BEHIND, OPENING, CAPITAL, LONELY)

FEW = 0.2  # of the signs beyond ASCII may be odd in a text that is read rightly
HARDLY_ANY = 0.05
MOST = 0.3
ENOUGH = 4  # signs that show an encoding with certainty


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as one encoding reads it."""

    encoding: str
    text: str
    signs: int  # beyond ASCII
    odd: float  # the share of them that no language writes


def candidates(sample: bytes, likely: str = WINDOWS) -> list[str]:
    """The encodings in which the sample may be, the likeliest first; none if several are as likely.

    `likely` is the one of Windows that speaks for its language.
    """
    ours = [found for found in (_read(sample, likely), _read(sample, WINDOWS)) if found is not None]
    if any(found.odd <= FEW for found in ours):
        return [found.encoding for found in ours]
    others = sorted(filter(None, (_read(sample, one) for one in OTHERS)), key=lambda found: found.odd)
    better = [found for found in others if found.odd <= HARDLY_ANY]
    if not better:
        is_ours = any(found.odd <= MOST or found.signs < ENOUGH for found in ours)
        return [found.encoding for found in ours] if is_ours else []
    best = better[0]
    rivals = [found for found in (*others, *ours) if found.text != best.text and found.odd < FEW]
    return [] if rivals or best.signs < ENOUGH else [best.encoding]


def _read(sample: bytes, encoding: str) -> Reading | None:
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError:
        return None
    signs = sum(not character.isascii() for character in text)
    odd = {found.start() for pattern in ODD for found in pattern.finditer(text)}
    return Reading(encoding, text, signs, len(odd) / max(1, signs))
