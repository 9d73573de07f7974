"""A download with a progress bar that is drawn again and again on one line of standard error."""

import hashlib
import sys

from pace import paced

SIZE_MB = 412.0
STEPS = 600

print("Downloading model-7b-q4.bin from mirror 2", flush=True)
for step in paced("download", range(1, STEPS + 1), 12.0):
    share = step / STEPS
    bar = "█" * round(share * 40)
    sys.stderr.write(
        f"\r\x1b[32m{share:4.0%}\x1b[0m|{bar:<40}| {share * SIZE_MB:.1f}/{SIZE_MB:.1f} MB "
        f"[00:{int(share * 12):02}<00:{12 - int(share * 12):02}, 34.3 MB/s]"
    )
    sys.stderr.flush()
sys.stderr.write("\n")
print(f"saved model-7b-q4.bin, sha256 {hashlib.sha256(b'model').hexdigest()}", flush=True)
