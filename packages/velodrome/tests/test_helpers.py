import contextlib
import subprocess
import sys

import psutil

HELPED = """
import os
import time

from velodrome.helpers import helpers

pool = helpers(1)
print(pool.submit(os.getpid).result(), flush=True)
time.sleep(60)
"""


def test_a_helper_ends_with_the_process_that_it_helps() -> None:
    helped = subprocess.Popen([sys.executable, "-c", HELPED], stdout=subprocess.PIPE, text=True)
    assert helped.stdout is not None
    helper = psutil.Process(int(helped.stdout.readline()))
    helped.kill()
    helped.communicate()
    with contextlib.suppress(psutil.NoSuchProcess):
        # Whoever inherits it may not have read its exit status yet.
        if helper.status() != psutil.STATUS_ZOMBIE:
            helper.wait(timeout=10)
