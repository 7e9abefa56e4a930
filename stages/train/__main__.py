"""Run: python -m stages.train VARIANT [SEED [FOLD]]"""

from stages import run

if __name__ == "__main__":
    run("train")
