"""An OPC UA server for tests, by asyncua: prints `listening PORT`. User "u" has the password "p"."""

import asyncio
import sys

from asyncua import Server, ua
from asyncua.server.user_managers import User, UserRole


class Users:
    def get_user(self, iserver, username=None, password=None, certificate=None):
        if username is None or (username == "u" and password == "p"):
            return User(role=UserRole.User, name=username)
        return None


async def main():
    port = int(sys.argv[1])
    server = Server(user_manager=Users())
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
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
