"""Fuzz the readers and the door for FUZZ_SECONDS (300): each turn in a process of its own, which a crash ends alone."""

import os
import random
import subprocess
import sys
import time


def main() -> int:
    """Run turns of the property test with new seeds until the time is up or one fails."""
    until = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "300"))
    turns = 0
    while time.monotonic() < until:
        seed = random.SystemRandom().getrandbits(32)
        options = ["-q", "-n", "0", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}"]
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-m", "pytest", *options, "tests/hostile/test_fuzz.py"],
            check=False,
            env={**os.environ, "HYPOTHESIS": "fuzz"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.stderr.write(f"{done.stdout}\n{done.stderr}\nexit code {done.returncode}, seed {seed}\n")
            return 1
        turns += 1
    sys.stdout.write(f"{turns} turns of 500 spoilt files: all read or refused\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
