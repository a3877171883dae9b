"""fakepve as the model of the Proxmox VE API begins: three nodes, `local`, `fast`, one token with every right."""

import asyncio
import sys

from fakepve import FakePve
from fakepve.certs import make_cert

TOKEN = ('omni-scale@pve!tests', '11111111-2222-3333-4444-555555555555')


async def main(directory):
    pve = FakePve(host='127.0.0.1', port=0)
    pve.time_scale = 0.0
    for node in ('pve1', 'pve2', 'pve3'):
        pve.add_node(node)
    pve.apitokens[TOKEN[0]] = TOKEN[1]
    gib = 1024 ** 3
    pve.storages = {
        'local': {'type': 'dir', 'active': 1, 'content': 'iso,import,vztmpl,snippets', 'files': set(),
                  'path': '/var/lib/vz', 'avail': 1024 * gib, 'total': 1024 * gib},
        'fast': {'type': 'lvmthin', 'active': 1, 'content': 'images', 'files': set(), 'vgname': 'pve',
                 'thinpool': 'data', 'avail': 1024 * gib, 'total': 1024 * gib},
    }
    certificate, key, _ = make_cert(directory, hosts=('127.0.0.1',))
    await pve.start(certificate, key)
    print(pve.url + '/api2/json', flush=True)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1]))
