"""moto's server, with create-if-absent as S3 has it: at once.

moto looks for the object and puts it in two steps, and serves each request in a thread of its own, so that
two of them may both create. S3 does not; what rests on that is what the tests are about.

usage: as moto_server
"""
import threading

from moto.s3.responses import S3Response
from moto.server import main

ONE_AT_A_TIME = threading.Lock()
put_object = S3Response.put_object


def atomic(self):
    if self.headers.get("If-None-Match") is None:
        return put_object(self)
    with ONE_AT_A_TIME:
        return put_object(self)


S3Response.put_object = atomic
main()
