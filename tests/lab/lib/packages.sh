# shellcheck shell=bash
# The packages of omni-scale: built here, installed as on any Debian machine.

# Which host gets which package.
declare -A HOST_PACKAGE=([idp]=omni-scale-agent [omni]=omni-scale-agent [op]=omni-scale
    [pve]=omni-scale-agent)

# build_packages: packaging/build prints the path of each package it made.
build_packages() {
    cd "$REPOSITORY"
    as_builder packaging/build | tee "$LAB_STATE/packages.list"
}

# package_file PACKAGE: what was built.
package_file() {
    grep "/$1_[^/]*\.deb$" "$LAB_STATE/packages.list"
}

# install_packages: on every host the package that belongs there.
install_packages() {
    local host
    for host in "${HOSTS[@]}"; do
        install_package "$host" "${HOST_PACKAGE[$host]}"
    done
}

# install_package HOST PACKAGE: unless this very file is installed already.
install_package() {
    local file sum
    file=$(package_file "$2")
    sum=$(sha256sum <"$file" | cut -d' ' -f1)
    # The hosts have no way to a Debian mirror: what a package depends on is in
    # their images (HOST_PACKAGES).
    docker exec --interactive "$(container "$1")" bash -euo pipefail -c '
        mkdir -p /var/cache/lab
        cd /var/cache/lab
        if [[ -f $1 && $(<"$1") == "$2" ]]; then
            echo "$1 is installed"
            exit
        fi
        cat >"$1.deb"
        dpkg --install "$1.deb"
        echo "$2" >"$1"
    ' -- "$2" "$sum" <"$file"
}
