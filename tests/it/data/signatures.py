"""Checks the signatures of requests to S3 with botocore. Reads the raw requests as a JSON list."""

import json
import sys

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

key, secret, token = sys.argv[1:]
for raw in json.load(sys.stdin):
    line, *headers = raw.strip().split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value for name, value in (header.split(": ", 1) for header in headers)}
    fields = dict(field.split("=", 1) for field in headers["authorization"].split(" ", 1)[1].split(", "))
    region = fields["Credential"].split("/")[2]
    signed = {name: headers[name] for name in fields["SignedHeaders"].split(";")}
    request = AWSRequest(method, f"http://{headers['host']}{target}", signed)
    request.context["timestamp"] = headers["x-amz-date"]
    auth = S3SigV4Auth(Credentials(key, secret, token), "s3", region)
    canonical = auth.canonical_request(request)
    expected = auth.signature(auth.string_to_sign(request, canonical), request)
    if fields["Signature"] != expected or signed["x-amz-security-token"] != token:
        sys.exit(f"wrong signature of {line}; canonical:\n{canonical}")
