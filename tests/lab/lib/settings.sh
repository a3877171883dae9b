# shellcheck shell=bash
# shellcheck disable=SC2034  # every script of the lab sources this file
# Names, addresses and paths of the lab.

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPOSITORY=$(cd "$LAB_DIR/../.." && pwd)

# Everything that the lab writes on this machine, outside of Docker, is here.
LAB_STATE=$(realpath -m "${LAB_STATE:-$LAB_DIR/.state}")
LAB_LOG=$LAB_STATE/log
# Says that the directory is the lab's own, and may be removed as a whole.
LAB_MARKER=$LAB_STATE/.omni-scale-lab

# Everything that the lab has in Docker carries this label and this name.
LAB_LABEL=omni-scale.lab
LAB_NAME=omni-scale-lab

# The network has no route out. tailnet/main.go has the ports of the internet.
LAB_SUBNET=10.77.0.0/24
INTERNET_ADDRESS=10.77.0.2
REGISTRY_ADDRESS=10.77.0.3
declare -A HOST_ADDRESS=([idp]=10.77.0.11 [omni]=10.77.0.12 [op]=10.77.0.13 [pve]=10.77.0.14)
# The hosts that are there from the start, in the order that they join the tailnet.
HOSTS=(op idp omni)

# begin_from_nothing: idp and omni are machines that omni-scale makes, on pve.
begin_from_nothing() {
    HOSTS=(op pve)
}

from_nothing() {
    [[ ${HOSTS[*]} == 'op pve' ]]
}

CONTROL_URL=http://$INTERNET_ADDRESS:9911
ADMIN_URL=http://$INTERNET_ADDRESS:9900
ACME_URL=https://$INTERNET_ADDRESS:14000/dir
ARTIFACTS_URL=http://$INTERNET_ADDRESS:8000
TAILNET_DOMAIN=tail.test
# What the tailnet's policy grants to devices that may ask agents.
CAPABILITY=$TAILNET_DOMAIN/cap/omni-scale

# The cluster of pve, and the token that omni-scale has there.
HYPERVISOR_URL=https://10.77.0.14:8006
HYPERVISOR_SECRET=6f2b1a7c-3d4e-4f5a-8b6c-7d8e9f0a1b2c

# The registry as the hosts know it.
REGISTRY=registry.lab:5000

# The person at the operator's machine.
OPERATOR=alice

# container HOST: the name of the container that is that host.
container() {
    printf '%s-%s\n' "$LAB_NAME" "$1"
}
