from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from endpoints.asking import open_on, question
from endpoints.scripted_server import ScriptedServer, says

from workbench.endpoints.calls import CallFailed, Reply

OPENSSL = shutil.which("openssl")


@pytest.mark.skipif(OPENSSL is None, reason="needs the openssl command to make a certificate")
def test_a_server_is_believed_only_with_a_certificate_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = [str(OPENSSL), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *named]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ScriptedServer(lambda _r, _n: says("Lima"))
    server.encrypt(context)
    with server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        (stranger,) = open_on(url, tmp_path, max_retries=0).chat([question()])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        (friend,) = open_on(url, tmp_path, max_retries=0).chat([question()])
    assert isinstance(stranger, CallFailed) and "certificate" in stranger.message
    assert isinstance(friend, Reply) and friend.text == "Lima"
    assert len(server.requests) == 1
