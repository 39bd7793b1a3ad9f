"""moto's server, with an atomic create-if-absent as in S3.

moto checks for the object and stores it in two steps, and handles each request in a separate thread, so that
two requests may both create the object. In S3 only one succeeds, and the tests depend on this.

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
