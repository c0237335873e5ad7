"""python-dxf: the module example of its README."""

import sys

from longshore import Client

client = Client(auth={sys.argv[1]: ("fred", "somepassword")})
dxf = client.repository(f"{sys.argv[1]}/fred/datalogger")

dgst = dxf.push(sys.argv[2])
dxf.set_alias("may15-readings", dgst)

assert dxf.alias("may15-readings") == [dgst.digest]

for chunk in dxf.blob(dgst):
    sys.stdout.buffer.write(chunk)
