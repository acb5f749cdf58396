#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""hostile: what a hostile peer can send to gangway, sent; and what of it is noticed, named and left behind.

    hostile vfio SOCKET GUEST [CLASS...]   the vfio-user socket of GUEST's prepared lease
    hostile qmp DIR TARGET [CLASS...]      fake VMMs on sockets in DIR; TARGET is what an attach to them asks for
    hostile control [CLASS...]             gangwayd's control socket
    hostile hold SOCKET                    be a client, go, keep the device's descriptor until killed; says "held"
    hostile classes vfio|qmp|control       the classes of inputs there are

Run as `python3 -ISE lab/lib/hostile ...`. Without CLASS all of them. Prints a line for each class of inputs: verdict (ok, not ok), number of
inputs, how many were not noticed, descriptors that are more than before, description, diagnosis; tabs between. A class is ok if each input was refused as it must be (the errno, or the end of
the connection with its reason in status), nothing is left behind in gangway-device and gangwayd, and a good client is served
afterwards. Numbers in brackets are those of docs/hostile-inputs.md.
"""
import sys

from control import Control
from qmp import Qmp
from vfio import Vfio, hold


if __name__ == "__main__":
    what, *args = sys.argv[1:]
    if what == "hold":
        hold(*args)
    kinds = {"vfio": (Vfio, 2), "qmp": (Qmp, 2), "control": (Control, 0)}
    if what == "classes":
        print(*kinds[args[0]][0].classes)
    else:
        kind, nr = kinds[what]
        kind(*args[:nr]).run(args[nr:])
