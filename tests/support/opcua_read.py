"""Prints the value of a node: opcua_read.py URL NODE. By asyncua, as user "u"."""

import asyncio
import sys

from asyncua import Client


async def main():
    client = Client(sys.argv[1])
    client.set_user("u")
    client.set_password("p")
    async with client:
        print(await client.get_node(sys.argv[2]).read_value())


asyncio.run(main())
