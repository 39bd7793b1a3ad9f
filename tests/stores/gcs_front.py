"""Implements the XML API of Google Cloud Storage as a proxy to moto's S3.

No server in the registries implements this API, which object_store uses: fake-gcs-server and
gcp-storage-emulator implement the JSON API (the first answers an XML PUT with 400 "invalid uploadType", the
second ignores its condition and lists nothing). The XML API is modelled on S3's, so only headers
differ: x-goog-meta-*, x-goog-copy-source, and x-goog-if-generation-match: 0 for "create only".

usage: gcs_front.py PORT MOTO_PORT CERTIFICATE KEY
"""
import http.client
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote

PORT, MOTO, CERT, KEY = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
COPYING = threading.Lock()
TOKEN = "Bearer "  # what a request must begin its authorization with
AWS = (
    "AWS4-HMAC-SHA256 Credential=gcs/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
SAME = {"range", "content-type", "if-match", "if-none-match"}
HOP = {"connection", "transfer-encoding", "server", "date", "content-length"}


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def translated(self):
        headers = {"Authorization": AWS, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
        for name, value in self.headers.items():
            name = name.lower()
            if name.startswith("x-goog-meta-"):
                headers["x-amz-meta-" + name[len("x-goog-meta-"):]] = value
            elif name == "x-goog-copy-source":
                headers["x-amz-copy-source"] = value
            elif name == "x-goog-if-generation-match":
                if value != "0":
                    return None
                headers["If-None-Match"] = "*"
            elif name in SAME:
                headers[name] = value
        return headers

    def answer(self, status, headers, body):
        self.send_response(status)
        length = len(body)
        for name, value in headers:
            name = name.lower()
            if name.startswith("x-amz-meta-"):
                name = "x-goog-meta-" + name[len("x-amz-meta-"):]
            if name == "content-length":
                length = value
            if name not in HOP:
                self.send_header(name, value)
        self.send_header("x-goog-generation", "1")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = self.translated()
        if not self.headers.get("Authorization", "").startswith(TOKEN):
            return self.answer(401, [], b"<Error><Code>AuthenticationRequired</Code></Error>")
        if headers is None:
            return self.answer(501, [], b"<Error><Code>NotImplemented</Code></Error>")
        # object_store encodes every byte, including `/`, as GCS expects; moto expects S3's encoding
        path, _, query = self.path.partition("?")
        self.path = quote(unquote(path), safe="/") + ("?" + query if query else "")
        moto = http.client.HTTPConnection("127.0.0.1", MOTO)
        # moto doesn't support a condition on a copy
        if "x-amz-copy-source" in headers and "If-None-Match" in headers:
            with COPYING:
                return self.copy_new(moto, headers)
        self.pass_on(moto, headers, body)

    def copy_new(self, moto, headers):
        moto.request("HEAD", self.path, headers={"Authorization": AWS})
        found = moto.getresponse()
        found.read()
        if found.status == 200:
            return self.answer(412, [], b"<Error><Code>PreconditionFailed</Code></Error>")
        self.pass_on(moto, headers, b"")

    def pass_on(self, moto, headers, body):
        moto.request(self.command, self.path, body=body, headers=headers)
        got = moto.getresponse()
        self.answer(got.status, got.getheaders(), got.read())
        moto.close()

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = forward


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def finish_request(self, request, client_address):
        # in the thread of the connection, because a handshake must not block the others
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERT, KEY)
        with context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request, client_address):
        pass


Server(("127.0.0.1", PORT), Front).serve_forever()
