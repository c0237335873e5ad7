"""python-dxf: stores a file under an alias, and reads it."""

import sys

from dxf import DXF


def auth(dxf, response):
    dxf.authenticate("fred", "somepassword", response=response)


dxf = DXF(sys.argv[1], "fred/datalogger", auth, insecure=True)

dgst = dxf.push_blob(sys.argv[2])
dxf.set_alias("may15-readings", dgst)

assert dxf.get_alias("may15-readings") == [dgst]

for chunk in dxf.pull_blob(dgst):
    sys.stdout.buffer.write(chunk)
