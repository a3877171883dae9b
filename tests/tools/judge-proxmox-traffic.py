"""The judge of tests/tools/judge-proxmox-traffic: recorded exchanges against fakepve's checks of the schema."""

import json
import re
import sys
from urllib.parse import unquote

from fakepve import schema

# Refusals of single parameters that a call itself makes, after the schema has let them through. Each has the
# source that says so: without one a difference is a fault of the simulator.
OF_THE_CALL = [
    ('vmid', r'VM \d+ already exists$'),  # pve-manager PVE/API2/Cluster.pm
    ('upid', r'no such task$|unable to parse worker upid$'),  # pve-manager PVE/API2/Tasks.pm
    ('skiplock', r'Only root may use this option\.$'),  # qemu-server API2/Qemu.pm
    ('keepActive', r'Only root may use this option\.$'),  # the same
    ('delete', r"unknown option '|you can't use '-"),  # the same, $update_vm_api
    ('revert', r"unknown option '|you can't use '-"),  # the same
    ('storage', r"storage '.*' does not support vm images$|No such storage\.$"),  # the same; pve-storage Status.pm
    ('filename', r'wrong file extension$|invalid filename or wrong extension$'),  # pve-storage Status.pm
    ('volume', r'no storage specified - incomplete volume ID$|storage ID missmatch'),  # pve-storage Content.pm
    (r'(ide|sata|scsi|virtio|efidisk)\d+', r"'import-from' requires special syntax|explicit 'media=cdrom'"
                                           r"|has wrong type|content type needs to be|need to specify '"),
]

# Parameters that fakepve's tables know too little of, with the source that knows better.
NOT_JUDGED = {
    # The property string is registered by name in qemu-server Cloudinit.pm; fakepve has no entry for it.
    'cicustom',
}

TRUE = (1, '1', True)


def paths(path):
    """The path as it may be meant: encoded within its segments, or already decoded."""
    yield '/'.join(unquote(part).replace('/', '\0') for part in path.split('/'))
    if '/content/' in path:
        head, _, tail = path.partition('/content/')
        yield head + '/content/' + unquote(tail).replace('/', '\0')


def find(known, path):
    for candidate in paths(path):
        match = known.match(candidate)
        if match is not None:
            return match
    return None


def of_the_call(errors):
    return all(any(re.fullmatch(name, key) and re.search(text, message) for name, text in OF_THE_CALL)
               for key, message in errors.items())


def shape(spec, value, place):
    """What is wrong with an answer; Proxmox VE's own looseness with numbers is allowed."""
    kind = spec.get('type')
    if value is None:
        return [] if kind in ('null', 'any', None) or spec.get('optional') in TRUE else ['%s is null' % place]
    if kind == 'null':
        return ['%s is not null' % place]
    if kind == 'array':
        if not isinstance(value, list):
            return ['%s is no list' % place]
        items = spec.get('items') or {}
        return [fault for at, item in enumerate(value) for fault in shape(items, item, '%s[%d]' % (place, at))]
    if kind == 'object' or (kind is None and 'properties' in spec):
        if not isinstance(value, dict):
            return ['%s is no object' % place]
        faults = []
        properties = spec.get('properties') or {}
        for name, sub in properties.items():
            if name in value:
                faults += shape(sub, value[name], '%s.%s' % (place, name))
            elif sub.get('optional') not in TRUE and '[n]' not in name:
                faults.append('%s.%s is missing' % (place, name))
        if spec.get('additionalProperties') in (0, '0', False):
            faults += ['%s.%s is not promised' % (place, name) for name in value if name not in properties]
        return faults
    if kind in ('integer', 'number'):
        if isinstance(value, bool) or not re.fullmatch(r'-?\d+(\.\d+)?', str(value)):
            return ['%s is no number: %r' % (place, value)]
    if kind == 'boolean' and str(value) not in ('0', '1', 'True', 'False', ''):
        return ['%s is no boolean: %r' % (place, value)]
    if kind == 'string' and isinstance(spec.get('format'), dict) and isinstance(value, dict):
        return []  # /cluster/options sends property strings taken apart (pve-cluster DataCenterConfig.pm).
    if kind == 'string' and not isinstance(value, (str, int, float)):
        return ['%s is no text: %r' % (place, value)]
    if spec.get('enum') and str(value) not in [str(entry) for entry in spec['enum']]:
        return ['%s is none of its choices: %r' % (place, value)]
    return []


def judge(known, entry):
    status = entry.get('status') or 0
    if status in (0, 401, 403, 595, 596) or entry.get('fault'):
        return []  # Nothing was said about the parameters.
    match = find(known, entry['path'])
    info = match and match.methods.get(entry['method'])
    if not info:
        return [] if status == 501 else ['the schema has no such call']
    values = dict(entry.get('params') or {})
    values.update((name, value.replace('\0', '/')) for name, value in match.params.items())
    _, errors = schema.validate(info.get('parameters'), values)
    errors = {name: text for name, text in errors.items() if name not in NOT_JUDGED}
    body = entry.get('body') or {}
    if status == 200:
        faults = ['taken, but the judge refuses `%s`: %s' % pair for pair in errors.items()]
        return faults + shape(info.get('returns') or {}, body.get('data'), 'data')
    if status == 400 and not errors and not of_the_call(body.get('errors') or {}):
        return ['refused, but the judge takes it: %s' % body.get('errors')]
    return []


def main():
    known = schema.load()
    judged, faults = 0, {}
    for name in sys.argv[1:]:
        with open(name, encoding='utf-8') as lines:
            for number, line in enumerate(lines, 1):
                entry = json.loads(line)
                judged += 1
                for fault in judge(known, entry):
                    text = '%s %s: %s' % (entry['method'], re.sub(r'/\d+', '/N', entry['path']), fault)
                    faults.setdefault(text, '%s:%d' % (name, number))
    for text, place in sorted(faults.items()):
        print('%s\n    %s' % (text, place))
    print('%d exchanges judged, %d kinds of fault' % (judged, len(faults)))
    return 1 if faults or not judged else 0


sys.exit(main())
