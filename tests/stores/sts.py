"""AssumeRoleWithWebIdentity as Amazon documents it, over TLS: sts.py PORT CERTIFICATE KEY (moto handles the
unsigned request as one to S3)."""
import ssl
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

ANSWER = b"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><SessionToken>STSTOKEN</SessionToken>
<SecretAccessKey>x</SecretAccessKey><Expiration>2099-01-01T00:00:00Z</Expiration>
<AccessKeyId>WEBIDENTITY</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


class Sts(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        asked = parse_qs(urlsplit(self.path).query)
        good = asked.get("WebIdentityToken") == ["IDENTITY"] and asked.get("RoleArn")
        body = ANSWER if good else b"<Error><Code>InvalidIdentityToken</Code></Error>"
        self.send_response(200 if good else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Sts)
# with a handshake in accept, one connection that sends nothing would block the server
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
