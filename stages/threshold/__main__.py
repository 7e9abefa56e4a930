"""Run: python -m stages.threshold"""

from stages import run

if __name__ == "__main__":
    run("threshold")
