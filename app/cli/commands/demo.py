"""`penstock demo`: the main job in one command, with a sheet of its own."""

import os
import shlex
from importlib import resources
from pathlib import Path

import click

from app.errors import BadInput

SHEET = Path("reviews.csv")  # in the current folder, as are the answers
PROMPT = (
    "<review>{{ review }}</review> In one short English sentence: what does this customer like or dislike?"
)
PAID_ROWS = 20
# It runs here, whatever stack other commands are told of, and under a limit such as a real account has.
ENVIRONMENT = {
    **dict.fromkeys(
        ("PENSTOCK_URL", "PENSTOCK_API_KEY", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"), ""
    ),
    "SIMULATED_REQUESTS_PER_MINUTE": "2400",
}


@click.command(short_help="Try the main job on a sheet of 300 reviews.")
@click.pass_context
def demo(context: click.Context) -> None:
    """Run 300 reviews: invented answers, or real ones for the first 20 if an API key is set.

    The sheet and its answers are left in the current folder. What was answered is not paid again by the
    command for all rows, which is printed.
    """
    from app.cli import given
    from app.cli.session import Session, Wishes
    from app.providers import registry
    from config import settings

    os.environ.update(ENVIRONMENT)
    file = _sheet()
    chosen = settings.read(os.environ)
    pays = registry.real_by_default(chosen).lacks(chosen) is None
    with given.order([file], None, None, prompt=PROMPT, rows=PAID_ROWS if pays else None) as order:
        code = Session(order, Wishes(again=not pays)).run()
    if pays and code == 0:
        click.echo(f"Only the first {PAID_ROWS} rows were run. To run all of them:")
        click.echo(f"  penstock run {file} --prompt {shlex.quote(PROMPT)}")
    context.exit(code)


def _sheet() -> Path:
    """The sheet in the current folder, put there unless it is there already."""
    sheet = (resources.files("app.cli") / "demo" / SHEET.name).read_bytes()
    if not SHEET.exists():
        SHEET.write_bytes(sheet)
    elif SHEET.read_bytes() != sheet:
        raise BadInput(f"{SHEET.resolve()} is another file than the sheet of the demo: go to another folder")
    return SHEET
