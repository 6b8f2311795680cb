"""`penstock`, the command line. Commands import what they need when they run, so that --help is quick."""

import os
import sys

import click

from app.cli import environment, faults
from app.cli.commands.audit import audit
from app.cli.commands.copy import copy
from app.cli.commands.demo import demo
from app.cli.commands.doctor import doctor
from app.cli.commands.estimate import estimate
from app.cli.commands.jobs import jobs
from app.cli.commands.keys import keys
from app.cli.commands.ledger import ledger
from app.cli.commands.limits import limits
from app.cli.commands.migrate import migrate
from app.cli.commands.models import models
from app.cli.commands.run import run
from app.cli.commands.sweep import sweep
from app.cli.commands.tenants import tenants
from app.cli.commands.up import up
from app.cli.commands.usage import usage
from app.cli.commands.webhooks import webhooks
from config import settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="penstock")
def cli() -> None:
    """Run batches of records through a language model, as fast as its limits allow."""
    environment.read_file()
    settings.read(os.environ)  # an invalid variable stops every command before it starts anything


for command in (
    *(up, demo, run, estimate, models, jobs, usage, limits, webhooks, audit),
    *(keys, tenants, ledger, migrate, copy, sweep, doctor),
):
    cli.add_command(command)


def main() -> None:
    """The console script: 0 done, 1 failed, 2 bad input, 3 some records failed, 130 Ctrl-C."""
    environment.use_utf8()
    try:
        code = cli(standalone_mode=False)
    except (Exception, click.Abort) as error:
        code = faults.report(error)
    sys.exit(code or 0)
