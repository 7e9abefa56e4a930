"""The console script `wrist`: signals are handled and instructions are pinned before anything else is imported."""

from stages.common.core.arithmetic import pin_instructions
from stages.common.core.library_path import refuse_own_libraries
from stages.common.core.shell import run_command
from stages.common.core.signals import begin_loading


def main() -> None:
    begin_loading("wrist")
    pin_instructions(torch=False)
    refuse_own_libraries()
    from tools.command_line import app

    run_command("wrist", app)
