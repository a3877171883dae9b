# shellcheck shell=bash
# The parts of the lab's scripts: functions and settings, nothing runs here.

# shellcheck source=settings.sh
. "$LAB_DIR/lib/settings.sh"
# shellcheck source=steps.sh
. "$LAB_DIR/lib/steps.sh"
# shellcheck source=machine.sh
. "$LAB_DIR/lib/machine.sh"
# shellcheck source=images.sh
. "$LAB_DIR/lib/images.sh"
# shellcheck source=network.sh
. "$LAB_DIR/lib/network.sh"
# shellcheck source=registry.sh
. "$LAB_DIR/lib/registry.sh"
# shellcheck source=packages.sh
. "$LAB_DIR/lib/packages.sh"
