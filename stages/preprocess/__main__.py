"""Run: python -m stages.preprocess"""

from stages import run

if __name__ == "__main__":
    run("preprocess")
