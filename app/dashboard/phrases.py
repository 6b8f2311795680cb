"""What Penstock says of its contracts, said for somebody who looks at a page."""

import re

OPTION = re.compile(r" \(--[\w-]+(?: N)?\)")
PHRASES = {
    "`sheet` chooses": "choose it above",
    "visible_only=true leaves hidden rows out": "tick “Leave out the rows that are hidden” to skip them",
    "leave visible_only out": "untick “Leave out the rows that are hidden”",
    "Then give header_row=": "Then set the header row to ",
    "header_row: ": "Header row: ",
    "; nothing was stored)": ")",
    "the template": "the prompt",
    "; there is ": "; the columns are ",
    "unexpected end of template, expected 'end of print statement'.": "a “{{” has no “}}” that closes it",
    "up to max_tokens long": "as long as the longest answer allows",
    "Raise max_cost of the job (PATCH) and resume the job, or submit it with a lower max_tokens": (
        "Raise the cost cap and resume the job, or submit it anew with a shorter longest answer"
    ),
    "Not a valid integer.": "give a whole number",
    ": GET /api/v1/jobs lists them": ": choose one in the list of jobs",
    ": GET /api/v1/keys lists them": ": choose one in the list of keys",
    ": GET /api/v1/limits lists those in use": ": choose one in the list of limits",
}
NO_PROMPT = 'a table needs a template, or a column "prompt"'
TITLE = ". Or: "  # what the header's row may be instead


def for_page(text: str) -> str:
    """`text`, with the words of a page in place of those of a call or a command."""
    if text.startswith(NO_PROMPT):
        text = f"write a prompt first{text[text.find(TITLE) :] if TITLE in text else ''}"
    text = OPTION.sub("", text)
    for said, meant in PHRASES.items():
        text = text.replace(said, meant)
    return text
