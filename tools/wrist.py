"""The console script `wrist`: signals are handled before anything else is imported."""

from stages.common.core.shell import run_command
from stages.common.core.signals import begin_loading


def main() -> None:
    begin_loading("wrist")
    from tools.command_line import app

    run_command("wrist", app)
