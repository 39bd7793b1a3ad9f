"""Checks that the test of the pages sees what it must see: python3 tools/pages/selftest.py"""
import pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True
from pages.blocks import blocks, missing, normal

PAGE = """# Page
<!-- docs-test: mkdir /a
touch /a/b -->
```sh
lsnap list   # a comment
lsnap backup \\
    --full
mysql <<< "SELECT 1;
    SELECT 2"
```
```sh norun: a reason
rm -rf /
```
```toml /etc/x.toml
a = 1
```
<!-- docs-test: rm /a/b -->
"""
first, second, third, last = blocks("page", PAGE)
assert first.hooks == ["mkdir /a\ntouch /a/b"] and second.hooks == [] and last.hooks == ["rm /a/b"], first.hooks
assert len(first.commands()) == 3, first.commands()
assert (first.reason, second.reason, third.file) == (None, "a reason", "/etc/x.toml")
assert normal("shop-2026-11-30-16:18:09-full  27.50 MiB  0-87795050") == normal("shop-2027-01-02-03:04:05-full 1 B 0-5")
FOUND = "BACKUP STATE AGE\nshop-2026-11-30-16:18:09-full finished 3 s\ndone\n"
assert missing("BACKUP  STATE  AGE\n...\ndone\n", FOUND) is None
assert missing("shop-2020-01-01-00:00:00-full  finished  1 h\n", FOUND) is None
assert missing("shop-2020-01-01-00:00:00-full  DAMAGED  1 h\n", FOUND) is not None
assert missing("done\nBACKUP STATE AGE\n", FOUND) == "BACKUP STATE AGE", "the order counts"
for wrong in ("```sh\nlsnap list\n", "```sh\necho 'a\n```\n"):
    try:
        [block.commands() for block in blocks("page", wrong)]
    except ValueError:
        continue
    raise AssertionError(f"accepted: {wrong!r}")
