# shellcheck shell=bash
# The parts of the lab's scripts: settings and functions, nothing runs here.

library=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=settings.sh
. "$library/settings.sh"
# shellcheck source=steps.sh
. "$library/steps.sh"
# shellcheck source=machine.sh
. "$library/machine.sh"
# shellcheck source=images.sh
. "$library/images.sh"
# shellcheck source=network.sh
. "$library/network.sh"
# shellcheck source=registry.sh
. "$library/registry.sh"
# shellcheck source=packages.sh
. "$library/packages.sh"
# shellcheck source=machines.sh
. "$library/machines.sh"
