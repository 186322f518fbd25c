"""HTTPS: who is shown which certificate, who must show one, and what happens when the files change."""

import os
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority, Pair
from http_thread import HttpThread
from waiting import until

from paddock.engine.config import FrontendConfig
from paddock.server import tls
from paddock.server.tls import Tls, TlsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.sign("server")


@pytest.fixture(scope="module")
def client_pair(authority: Authority) -> Pair:
    return authority.sign("client")


def tls_of(certificate: Path, key: Path | None = None, **settings: Any) -> Tls:
    return Tls(FrontendConfig(ssl_certfile=str(certificate), ssl_keyfile=key and str(key), **settings))


def trusting(authority: Authority, shown: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    return context


def subject(server: HttpThread, authority: Authority) -> str:
    """Common name of the certificate that a new connection is shown."""
    with trusting(authority).wrap_socket(server.connect(), server_hostname="localhost") as connection:
        shown = connection.getpeercert()
    assert shown is not None
    return str(dict(field[0] for field in shown["subject"])["commonName"])  # type: ignore[misc]


def get(server: HttpThread, context: ssl.SSLContext) -> int:
    with httpx.Client(verify=context) as client:
        return client.get(f"https://127.0.0.1:{server.port}/").status_code


def test_the_certificate_is_trusted_by_who_trusts_its_authority(authority: Authority, pair: Pair) -> None:
    with HttpThread(tls=tls_of(pair.certificate, pair.key)) as server:
        assert get(server, trusting(authority)) == 200
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            get(server, ssl.create_default_context())


def test_a_key_may_stand_in_the_certificates_file(authority: Authority, pair: Pair, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
    with HttpThread(tls=tls_of(both)) as server:
        assert get(server, trusting(authority)) == 200


def test_plain_http_on_the_port_is_not_answered(pair: Pair) -> None:
    with (
        HttpThread(tls=tls_of(pair.certificate, pair.key)) as server,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        httpx.get(f"http://127.0.0.1:{server.port}/")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_older_than_1_2_is_refused(authority: Authority, pair: Pair) -> None:
    old = trusting(authority)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with HttpThread(tls=tls_of(pair.certificate, pair.key)) as server, pytest.raises(httpx.ConnectError):
        get(server, old)


@pytest.mark.parametrize(
    ("requirement", "without", "with_a_strangers"), [(1, True, False), (2, False, False)]
)
def test_client_certificates_are_asked_for_as_required(
    authority: Authority, pair: Pair, client_pair: Pair, tmp_path: Path,
    requirement: int, without: bool, with_a_strangers: bool,
) -> None:  # fmt: skip
    settings = {"ssl_cert_reqs": requirement, "ssl_ca_certs": str(authority.file)}
    strangers = Authority(tmp_path, "strangers").sign("stranger")
    with HttpThread(tls=tls_of(pair.certificate, pair.key, **settings)) as server:
        assert succeeds(server, trusting(authority, client_pair))
        assert succeeds(server, trusting(authority)) is without
        assert succeeds(server, trusting(authority, strangers)) is with_a_strangers


def succeeds(server: HttpThread, context: ssl.SSLContext) -> bool:
    # TLS 1.3 tells a client of its refusal with the first read.
    try:
        return get(server, context) == 200
    except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
        return False


@pytest.fixture
def swiftly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "POLL_SECONDS", 0.02)


def test_a_changed_pair_serves_new_connections_and_old_ones_stay(
    authority: Authority, swiftly: None, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    install(authority.sign("first"), certificate, key)
    with (
        HttpThread(tls=tls_of(certificate, key)) as server,
        httpx.Client(verify=trusting(authority)) as old,
    ):
        url = f"https://127.0.0.1:{server.port}/"
        assert old.get(url).status_code == 200
        assert subject(server, authority) == "first"
        install(authority.sign("second"), certificate, key)
        until(
            lambda: subject(server, authority) == "second", seconds=20, what="the new certificate", every=0.02
        )
        assert old.get(url).extensions["network_stream"].get_extra_info("ssl_object").getpeercert()[
            "subject"
        ] == ((("commonName", "first"),),)


def install(pair: Pair, certificate: Path, key: Path) -> None:
    certificate.write_bytes(pair.certificate.read_bytes())
    key.write_bytes(pair.key.read_bytes())


def test_a_half_written_pair_changes_nothing(
    authority: Authority, swiftly: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    install(authority.sign("third"), certificate, key)
    fourth = authority.sign("fourth")
    with HttpThread(tls=tls_of(certificate, key)) as server:
        certificate.write_bytes(fourth.certificate.read_bytes())
        until(lambda: "not used yet" in caplog.text, seconds=20, what="a warning", every=0.02)
        assert subject(server, authority) == "third"
        key.write_bytes(fourth.key.read_bytes())
        until(lambda: subject(server, authority) == "fourth", seconds=20, what="the new pair", every=0.02)


def test_the_links_of_a_kubernetes_secret_are_followed_and_dropped_authorities_forgotten(
    authority: Authority, client_pair: Pair, swiftly: None, tmp_path: Path
) -> None:
    newcomers = Authority(tmp_path, "newcomers")
    new_pair, new_client = newcomers.sign("rotated"), newcomers.sign("new-client")
    old_pair = authority.sign("before")
    for version, made, trusted in (("v1", old_pair, authority), ("v2", new_pair, newcomers)):
        data = tmp_path / version
        data.mkdir()
        install(made, data / "tls.crt", data / "tls.key")
        (data / "ca.crt").write_bytes(trusted.file.read_bytes())
    (tmp_path / "..data").symlink_to("v1")
    settings = {"ssl_cert_reqs": 2, "ssl_ca_certs": str(tmp_path / "..data/ca.crt")}
    with HttpThread(
        tls=tls_of(tmp_path / "..data/tls.crt", tmp_path / "..data/tls.key", **settings)
    ) as server:
        assert succeeds(server, trusting(authority, client_pair))
        (tmp_path / "..data_tmp").symlink_to("v2")
        os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
        until(
            lambda: succeeds(server, trusting(newcomers, new_client)), seconds=20, what="the swap", every=0.02
        )
        assert not succeeds(server, trusting(newcomers, client_pair))


def test_a_caller_that_never_shakes_hands_holds_up_nobody(authority: Authority, pair: Pair) -> None:
    with (
        HttpThread(tls=tls_of(pair.certificate, pair.key)) as server,
        socket.create_connection(("127.0.0.1", server.port)),
    ):
        assert get(server, trusting(authority)) == 200


class TestFaultsNameTheFlagAndTheFile:
    def test_a_missing_certificate(self, tmp_path: Path) -> None:
        with pytest.raises(TlsError, match=r"--ssl-certfile .*nowhere.pem .*no such file"):
            tls_of(tmp_path / "nowhere.pem")

    def test_a_missing_key(self, pair: Pair, tmp_path: Path) -> None:
        with pytest.raises(TlsError, match=r"--ssl-keyfile .*nowhere.key .*no such file"):
            tls_of(pair.certificate, tmp_path / "nowhere.key")

    def test_a_certificate_alone_asks_for_its_key(self, pair: Pair) -> None:
        with pytest.raises(TlsError, match="--ssl-keyfile"):
            tls_of(pair.certificate)

    def test_a_key_of_another_certificate(self, pair: Pair, client_pair: Pair) -> None:
        with pytest.raises(TlsError, match="the key belongs to another certificate"):
            tls_of(pair.certificate, client_pair.key)

    def test_a_locked_key_is_refused_and_nobody_is_asked_for_its_password(self, authority: Authority) -> None:
        locked = authority.sign("locked", password="sesame")
        with pytest.raises(TlsError, match="encrypted key"):
            tls_of(locked.certificate, locked.key)

    def test_a_bundle_that_is_none(self, pair: Pair, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("nothing")
        with pytest.raises(TlsError, match=r"--ssl-ca-certs .*ca.pem"):
            tls_of(pair.certificate, pair.key, ssl_ca_certs=str(tmp_path / "ca.pem"), ssl_cert_reqs=2)
