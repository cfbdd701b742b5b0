import subprocess
import sys

PROGRAM = """
import gc
from services.chassis import gc_tuning

held = [[] for _ in range(1000)]
gc_tuning.freeze_startup_objects()
threshold = gc.get_threshold()[0]
print(gc.get_freeze_count() > 1000, threshold == gc_tuning.COLLECTION_THRESHOLD, len(gc.get_objects()) < 1000)
"""


def test_what_is_there_at_the_start_is_no_longer_looked_through():
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert said.stdout.split() == ["True"] * 3
