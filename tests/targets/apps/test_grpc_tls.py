"""An app called over gRPC with TLS: any certificate is taken, and none but the one that is shown."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from support.claims import claim
from support.grpc_far_side import app_on, gone, self_signed
from wakeful.core.run import Succeeded, Unavailable

Open = Callable[..., Any]


@pytest.mark.anyio
async def test_an_app_may_come_back_with_another_certificate(grpc_far_side: Open, certificates: Any) -> None:
    old = await grpc_far_side(key=self_signed())
    async with app_on(old.port, tls=True) as app:
        assert await app.deliver(claim()) == Succeeded()
        await old.close()
        await gone(app)
        new = await grpc_far_side(port=old.port, key=certificates("127.0.0.1"))
        await asyncio.wait_for(app.available(), 20)
        assert await app.deliver(claim()) == Succeeded()
    assert len(new.received) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["app.example", "*.example", "127.0.0.1", "10.9.8.7", "::1"])
async def test_a_certificate_may_have_any_name_and_any_issuer(
    grpc_far_side: Open, certificates: Any, name: str
) -> None:
    far = await grpc_far_side(key=certificates(name))
    async with app_on(far.port, tls=True) as app:
        assert await app.deliver(claim()) == Succeeded()


@pytest.mark.anyio
async def test_an_app_without_tls_is_no_app_for_tls(grpc_far_side: Open) -> None:
    far = await grpc_far_side()
    async with app_on(far.port, tls=True) as app:
        outcome = await app.deliver(claim())
    assert isinstance(outcome, Unavailable)
    assert outcome.error.startswith(f"no connection to 127.0.0.1:{far.port}: ")


@pytest.fixture
def certificates() -> Any:
    """Makes a key and a certificate for a name, by an issuer whom nobody knows."""

    def make(name: str) -> tuple[bytes, bytes]:
        issued = trustme.CA().issue_cert(name)
        return issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()

    return make
