#!/usr/bin/env python3
"""Makes the golden files beside it: bytes of docs/format/, put together field by
field without any of lsnap's code, so that what lsnap writes and reads is held against somebody else.

    testdata/golden.py      (needs the program openssl)

tests/golden.rs says of every byte what it is.
"""
import hashlib
import os
import struct
import subprocess
import zlib

here = os.path.dirname(os.path.abspath(__file__))


def put(name, data):
    with open(os.path.join(here, name), "wb") as file:
        file.write(data)


def head(kind, path, flags=0):
    return b"XBSTCK01" + bytes([flags]) + kind + struct.pack("<I", len(path)) + path


def payload(path, offset, data, flags=0):
    return head(b"P", path, flags) + struct.pack("<QQI", len(data), offset, zlib.crc32(data)) + data


put("xbstream/golden-payload", payload(b"db/t.ibd", 0x1122334455, b"hello"))
put("xbstream/golden-end", head(b"E", b"db/t.ibd"))
holes = struct.pack("<IIII", 0xFFFFFFFF, 0, 2, 0)
put("xbstream/golden-hole", head(b"S", b"t") + struct.pack("<IQQI", 2, 0, 16, zlib.crc32(holes)) + holes)
mixed = struct.pack("<IIII", 4096, 3, 8, 2)
put(
    "xbstream/golden-sparse",
    head(b"S", b"t") + struct.pack("<IQQI", 2, 5, 16384, zlib.crc32(mixed + b"abcde")) + mixed + b"abcde",
)
put("xbstream/golden-unknown", head(b"Z", b"t", 1) + struct.pack("<QQI", 2, 0, 0) + b"??")
put("xbstream/golden-rename", head(b"R", b"a") + struct.pack("<I", 2) + b"b2")
put("xbstream/golden-remove", head(b"D", b"a"))
put("xbstream/golden-seek-end", head(b"S", b"a") + struct.pack("<Q", 0x0102) + head(b"E", b"a"))
put("xbstream/golden-rewrite", payload(b"a", 0, b"new", 2))

page = bytearray(1024)
page[4:8] = struct.pack(">I", 7)  # page number
page[16:24] = struct.pack(">Q", 0x0102030405)  # LSN
page[34:38] = struct.pack(">I", 9)  # space id
cluster = b"XTRA" + struct.pack(">II", 7, 0xFFFFFFFF)
put("delta/golden.delta", cluster.ljust(1024, b"\0") + bytes(page))
put("delta/golden-empty.delta", (b"XTRA" + b"\xff" * 4).ljust(1024, b"\0"))
put("delta/golden.meta", b"page_size = 1024\nzip_size = 1024\nspace_id = 9\nspace_flags = 37\n")

key, iv, text = bytes(range(32)), bytes(range(0xF0, 0x100)), b"hello"
plain = text + hashlib.sha256(text).digest()
cipher = subprocess.run(
    ["openssl", "enc", "-aes-256-ctr", "-K", key.hex(), "-iv", iv.hex()],
    input=plain,
    stdout=subprocess.PIPE,
    check=True,
).stdout
put(
    "xbcrypt/golden.xbcrypt",
    b"XBCRYP03"
    + struct.pack("<QQQIQ", 0, len(plain), len(cipher), zlib.crc32(cipher), len(iv))
    + iv
    + cipher,
)
