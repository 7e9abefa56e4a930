"""Numbers, labels and machines in words."""

from stages.common.analysis.formatting import machine_in_words
from stages.common.data.records import Machine


def test_what_computed_a_training_is_said_in_plain_words() -> None:
    machine: Machine = {"torch": "2.14.1", "device": "AVX512", "precision": "bf16", "threads": 1, "processes": 2}
    assert machine_in_words(machine, "AVX512") == (
        "a CPU with instructions up to AVX-512; numbers of 16 bits (bfloat16) where that is safe, else 32 bits; "
        "torch 2.14.1, 1 thread, 2 processes"
    )
    on_gpu: Machine = machine | {"device": "NVIDIA H200", "precision": "fp32"}
    assert machine_in_words(on_gpu, "NVIDIA H200").startswith("NVIDIA H200; numbers of 32 bits; ")
    assert machine_in_words(on_gpu, "NVIDIA H200").endswith("2 processes")
    assert machine_in_words(on_gpu, "AVX2").endswith("; tested on a CPU with instructions up to AVX2")
