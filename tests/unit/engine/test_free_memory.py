import subprocess
import sys

FAULTS = """
import resource
from paddock.engine.free_memory import keep_freed_memory, return_free_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [bytearray(20 << 20) for _ in range(3)]
    held.clear()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
first = faults()
again = faults()
return_free_memory()
print(first, again, faults())
"""


def test_freed_memory_is_used_again_until_it_is_given_back() -> None:
    run = subprocess.run([sys.executable, "-c", FAULTS], check=True, stdout=subprocess.PIPE, text=True)
    first, again, given_back = map(int, run.stdout.split())

    assert first > 1000
    assert again < first / 10
    assert given_back > first / 2
