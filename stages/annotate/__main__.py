"""Run: python -m stages.annotate"""

from stages import run

if __name__ == "__main__":
    run("annotate")
