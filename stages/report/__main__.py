"""Run: python -m stages.report"""

from stages import run

if __name__ == "__main__":
    run("report")
