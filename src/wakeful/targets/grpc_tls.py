"""TLS to an app that made its own certificate, for gRPC, which can't leave certificates unlooked-at.

Dapr verifies nothing here (dapr pkg/channel/grpc/grpc_channel.go). So the certificate is asked for first, and then
exactly that one is trusted, by the name that it gives itself. One that has expired can't be had that way.
"""

import asyncio
import ssl
from ipaddress import ip_address
from typing import Any

import grpc


class NoCertificateError(Exception):
    """The app showed no certificate that could be trusted."""


async def trusted(host: str, port: int, timeout_s: float) -> tuple[grpc.ChannelCredentials, str]:
    """Credentials for whoever listens there now, and the name under which its certificate is to be taken.

    Raises:
        NoCertificateError: it can't be reached, speaks no TLS, or has a certificate that has expired or has no name.
    """
    try:
        async with asyncio.timeout(timeout_s):
            shown = await _certificate(host, port, _any_context(), binary=True)
            pem = ssl.DER_cert_to_PEM_cert(shown)
            # Python tells the names in a certificate only once it has verified it.
            names = await _certificate(host, port, _pinned_context(pem), binary=False)
    except (OSError, EOFError, TimeoutError, ssl.SSLError) as error:
        raise NoCertificateError(str(error) or type(error).__name__) from None
    return grpc.ssl_channel_credentials(pem.encode()), _name_in(names)


async def _certificate(host: str, port: int, context: ssl.SSLContext, *, binary: bool) -> Any:
    """What the server shows on a connection that is then left."""
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        return writer.get_extra_info("ssl_object").getpeercert(binary)
    finally:
        # Without farewell: it may not answer one.
        writer.transport.abort()


def _any_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def _pinned_context(pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=pem)
    # It may have been issued by somebody whose certificate is not here.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["h2"])
    return context


def _name_in(certificate: dict[str, Any]) -> str:
    alternatives = certificate.get("subjectAltName", ())
    names = [name for kind, name in alternatives if kind == "DNS"]
    # Python writes IPv6 addresses at full length, and gRPC compares text.
    names += [str(ip_address(name)) for kind, name in alternatives if kind == "IP Address"]
    if not names:
        names = [value for group in certificate.get("subject", ()) for key, value in group if key == "commonName"]
    if not names:
        raise NoCertificateError("its certificate has no name")
    return str(names[0]).replace("*", "any")
