"""Creates a container: azure_container.py ENDPOINT ACCOUNT KEY CONTAINER CA_FILE (lsnap doesn't create containers)."""
import base64
import hashlib
import hmac
import ssl
import sys
import urllib.request
from email.utils import formatdate
from urllib.parse import urlsplit

endpoint, account, key, container, ca = sys.argv[1:]
url = f"{endpoint}/{container}"
headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
canonical = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
resource = f"/{account}{urlsplit(url).path}\nrestype:container"
text = "PUT\n\n\n\n\n\n\n\n\n\n\n\n" + canonical + resource
digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(digest).decode()}"
request = urllib.request.Request(f"{url}?restype=container", method="PUT", headers=headers)
urllib.request.urlopen(request, context=ssl.create_default_context(cafile=ca)).read()
