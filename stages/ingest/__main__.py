"""Run: python -m stages.ingest"""

from stages import run

if __name__ == "__main__":
    run("ingest")
