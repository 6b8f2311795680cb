"""`penstock doctor`: what is wrong, and what to do."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from app.cli import faults, wrapping

if TYPE_CHECKING:
    from app.doctor.finding import Finding


@click.command(short_help="Check every part, and say what is wrong and what to do.")
@click.option("--call", is_flag=True, help="Try the key by listing the provider's models (free).")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(call: bool, as_json: bool) -> int:
    """Check everything that Penstock needs, and say for each part what is wrong and what to do.

    Nothing is changed. Checks that hang are abandoned after a few seconds, and hide nothing else.

    Exit code: 0 nothing is wrong (there may be warnings), 1 something is.
    """
    from app.cli.database import has_servers, use_embedded_broker

    use_embedded_broker()
    from app.doctor.examination import examine
    from app.doctor.finding import State
    from app.doctor.parts import parts, without_stack
    from config import logs

    logs.configure("CRITICAL", "text")  # what a library would log is reported below
    found = list(examine(parts(call=call) if has_servers() else without_stack(call=call)))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        _show(found)
    return faults.FAILED if any(finding.state is State.WRONG for finding in found) else 0


def _show(found: "Sequence[Finding]") -> None:
    colours = {"ok": "green", "warning": "yellow", "wrong": "red"}
    width = max(len(finding.subject) for finding in found)
    for finding in found:
        state, subject = finding.state.ljust(8), f" {finding.subject.ljust(width)}  "
        indent = " " * len(state + subject)
        styled = click.style(state, fg=colours[finding.state]) + subject
        wrapping.paragraph(finding.text, head=state + subject, styled_head=styled, indent=indent)
        if finding.remedy:
            wrapping.paragraph(finding.remedy, head=f"{indent}→ ", indent=f"{indent}  ")
    counts = [f"{sum(f.state == state for f in found)} {state}" for state in ("wrong", "warning", "ok")]
    click.echo(", ".join(counts))
