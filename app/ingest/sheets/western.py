"""Texts of Western Europe that are not UTF-8: Windows, old Macs and DOS differ in their bytes.

A text read in the wrong one of these encodings is full of what no language writes: signs within words
("sch”ne"), capitals behind small letters ("GrŠße"), letters that hardly any text has. These are counted.
"""

import re
from dataclasses import dataclass

WINDOWS, MAC, DOS, UNIX = "cp1252", "mac_roman", ("cp850", "cp437"), "iso8859_15"
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
# What `UNIX` has as € and œ, where a text of Windows has neither ¤ nor ½.
UNIX_ONLY = re.compile(r"¤|(?<=[^\W\d_])½(?=[^\W\d_])|(?<!\w)½(?=u[fv]|il\b)")
C1 = re.compile(rb"[\x80-\x9f]")  # bytes that mean something in `WINDOWS`, and nothing in `UNIX`
ODD = (RARE, FOREIGN, WITHIN, BEHIND, OPENING, CAPITAL, LONELY)

FEW = 0.2  # of the signs beyond ASCII may be odd in a text that is read rightly
HARDLY_ANY = 0.05
MOST = 0.3
SOME = 2  # signs that show that a text has words
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
    if _is_of_mac(sample, ours):
        return [MAC]
    if any(found.odd <= HARDLY_ANY for found in ours):
        return [_with_euro(found) for found in ours]
    others = sorted(filter(None, (_read(sample, one) for one in OTHERS)), key=lambda found: found.odd)
    better = [found for found in others if found.odd <= HARDLY_ANY]
    if not better:
        is_ours = any(found.odd <= MOST or found.signs < ENOUGH for found in ours)
        return [_with_euro(found) for found in ours] if is_ours else []
    best = better[0]
    rivals = [found for found in (*others, *ours) if found.text != best.text and found.odd < FEW]
    return [] if rivals or best.signs < ENOUGH else [best.encoding]


def _is_of_mac(sample: bytes, ours: list[Reading]) -> bool:
    """Whether lines end as only old Macs end them, and the text reads no worse as one of theirs."""
    if b"\n" in sample or b"\r" not in sample:
        return False
    mac = _read(sample, MAC)
    if mac is None or mac.signs < ENOUGH or mac.odd > HARDLY_ANY:
        return False
    return all(mac.odd <= found.odd for found in ours)


def _with_euro(found: Reading) -> str:
    """Its encoding, or that of Unix, which differs from that of Windows in the euro and a few letters."""
    is_text = found.signs >= found.text.count("¤") + SOME
    is_unix = found.encoding == WINDOWS and is_text and UNIX_ONLY.search(found.text)
    return UNIX if is_unix and not C1.search(found.text.encode(WINDOWS)) else found.encoding


def _read(sample: bytes, encoding: str) -> Reading | None:
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError:
        return None
    signs = sum(not character.isascii() for character in text)
    odd = {found.start() for pattern in ODD for found in pattern.finditer(text)}
    return Reading(encoding, text, signs, len(odd) / max(1, signs))
