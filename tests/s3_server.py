"""A server on loopback that speaks S3 and checks signatures and rights (moto), in a process of its own.

Run as a script it prints one line of JSON, `{"port": ..., "users": {name: [access key, secret key]}}`, and serves until
its standard input ends. Of the users `writer` may do everything, `dropper` only put, `reader` only get. There is one
bucket, `bucket`.
"""

from __future__ import annotations

import json
import sys
import urllib.request

_RIGHTS = {"writer": ["s3:*"], "dropper": ["s3:PutObject"], "reader": ["s3:GetObject"]}


def check_signatures(port: int, *, after: int = 0) -> None:
    """Let so many requests pass unchecked from now on."""
    url = f"http://127.0.0.1:{port}/moto-api/reset-auth"
    headers = {"Content-Type": "text/plain"}  # as a form, which urllib would say, the server finds no body
    request = urllib.request.Request(url, data=str(after).encode(), headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - loopback
        answer.read()


def main() -> None:
    """Serve until standard input ends."""
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 - slow, and of the server's process only
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="y", region_name="us-east-1")  # noqa: S106
    endpoint = f"http://127.0.0.1:{port}"
    session.client("s3", endpoint_url=endpoint).create_bucket(Bucket="bucket")
    iam = session.client("iam", endpoint_url=endpoint)
    users = {}
    for name, actions in _RIGHTS.items():
        iam.create_user(UserName=name)
        statement = [{"Effect": "Allow", "Action": actions, "Resource": "*"}]
        document = json.dumps({"Version": "2012-10-17", "Statement": statement})
        iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        users[name] = [key["AccessKeyId"], key["SecretAccessKey"]]
    check_signatures(port)
    print(json.dumps({"port": port, "users": users}), flush=True)  # noqa: T201 - whoever started it reads it
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
