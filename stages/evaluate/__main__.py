"""Run: python -m stages.evaluate VARIANT [SEED [FOLD]]"""

from stages import run

if __name__ == "__main__":
    run("evaluate")
