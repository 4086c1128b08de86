"""An OPC UA server for tests, by asyncua: prints `listening PORT`. User "u" has the password "p".

`opcua_server.py PORT [DIR [CLIENT]]`: with DIR it also speaks with security, and keeps its
certificate there; with CLIENT it takes only the client of that certificate.
"""

import asyncio
import sys
from pathlib import Path

from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.server.user_managers import User, UserRole
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID


class Users:
    def get_user(self, iserver, username=None, password=None, certificate=None):
        if username is None or (username == "u" and password == "p"):
            return User(role=UserRole.User, name=username)
        return None


async def secure(server, folder, client):
    uri = "urn:test:server"
    await server.set_application_uri(uri)
    key, certificate = folder / "server-key.pem", folder / "server.der"
    await setup_self_signed_certificate(
        key, certificate, uri, "localhost", [ExtendedKeyUsageOID.SERVER_AUTH], {}
    )
    await server.load_certificate(str(certificate))
    await server.load_private_key(str(key))
    server.set_security_policy([
        ua.SecurityPolicyType.NoSecurity,
        ua.SecurityPolicyType.Basic256Sha256_Sign,
        ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
        ua.SecurityPolicyType.Aes128Sha256RsaOaep_Sign,
        ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
        ua.SecurityPolicyType.Aes256Sha256RsaPss_Sign,
        ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
    ])
    if client:
        known = x509.load_pem_x509_certificate(client.read_bytes())

        async def validate(certificate, description):
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
            if certificate != known or description.ApplicationUri not in uris:
                raise ua.uaerrors.BadCertificateUntrusted()

        server.set_certificate_validator(validate)


async def main():
    port = int(sys.argv[1])
    server = Server(user_manager=Users())
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    if len(sys.argv) > 2:
        await secure(server, Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
    else:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = await server.register_namespace("urn:test")
    values = {
        "temperature": (21.5, ua.VariantType.Double),
        "ratio": (0.1, ua.VariantType.Float),
        "count": (-7, ua.VariantType.Int16),
        "big": (9007199254740993, ua.VariantType.Int64),
        "on": (True, ua.VariantType.Boolean),
        "label": ("a b", ua.VariantType.String),
        "blob": (b"\x01\x02", ua.VariantType.ByteString),
    }
    for name, (value, kind) in values.items():
        node = await server.nodes.objects.add_variable(f"ns={space};s={name}", name, value, kind)
        await node.set_writable()
    fixed = f"ns={space};s=fixed"
    await server.nodes.objects.add_variable(fixed, "fixed", 1, ua.VariantType.Int32)
    async with server:
        print(f"listening {port}", flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
