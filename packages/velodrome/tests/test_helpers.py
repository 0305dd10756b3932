import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from velodrome.helpers import aside

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


def test_what_is_done_aside_is_done_at_the_end(tmp_path: Path) -> None:
    with aside(Path.write_text, tmp_path / "said", "yes"):
        pass
    assert (tmp_path / "said").read_text() == "yes"


def test_what_fails_aside_fails_here(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), aside(Path.write_text, tmp_path, "yes"):
        pass


def test_a_helper_that_is_killed_is_not_waited_for() -> None:
    with pytest.raises(ChildProcessError, match="killed"), aside(os._exit, 1):
        pass


def test_a_helper_is_ended_where_its_work_is_not_wanted_any_more() -> None:
    with pytest.raises(ZeroDivisionError), aside(time.sleep, 3600):
        raise ZeroDivisionError
