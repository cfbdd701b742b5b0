import subprocess
import sys

PROGRAM = """
import gc
from services.chassis import gc_tuning

held = [[] for _ in range(1000)]
gc_tuning.freeze_startup_objects()
print(gc.get_freeze_count() > 1000, gc.get_threshold()[0] == gc_tuning.COLLECTION_THRESHOLD)
print(len(gc.get_objects()) < 1000)
"""


def test_objects_of_the_start_are_not_collected_again():
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert said.stdout.split() == ["True"] * 3
