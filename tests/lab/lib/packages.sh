# shellcheck shell=bash
# The packages of omni-scale: built here, installed as on any Debian machine.

# Which host gets which package.
declare -A HOST_PACKAGE=([idp]=omni-scale-agent [omni]=omni-scale-agent [op]=omni-scale
    [pve]=omni-scale-agent)

# The repository that the hosts install from.
PACKAGES_URL=$ARTIFACTS_URL/packages

# build_packages: packaging/build prints the path of each package it made.
build_packages() {
    cd "$REPOSITORY"
    as_builder packaging/build | tee "$LAB_STATE/packages.list"
}

# package_file PACKAGE: what was built.
package_file() {
    grep "/$1_[^/]*\.deb$" "$LAB_STATE/packages.list"
}

# publish_packages: what was built as a signed repository, as a fleet has it; beside the agent's package
# the version after it, which is the same but for its number.
publish_packages() {
    local served=$LAB_STATE/artifacts/packages next=$LAB_STATE/next key files
    export GNUPGHOME=$LAB_STATE/gnupg
    install -d -m 0700 "$GNUPGHOME"
    key=$(signing_key)
    rm -rf "$served" "$next"
    mkdir "$next"
    mapfile -t files <"$LAB_STATE/packages.list"
    files+=("$(next_version "$(package_file omni-scale-agent)" "$next")")
    "$REPOSITORY/packaging/repository" --key "$key" "$served" "${files[@]}"
}

# signing_key: the fingerprint of the key in GNUPGHOME that packages are signed with; made when there is none.
signing_key() {
    gpg --batch --list-secret-keys packages@lab.test >/dev/null 2>&1 ||
        gpg --batch --quiet --passphrase '' --quick-generate-key packages@lab.test ed25519 sign never
    gpg --batch --with-colons --list-secret-keys packages@lab.test | awk -F: '/^fpr/ { print $10; exit }'
}

# next_version FILE DIRECTORY: the same package with a higher version.
next_version() {
    local version
    version=$(dpkg-deb --field "$1" Version)+next
    dpkg-deb --raw-extract "$1" "$2/content"
    sed -i "s/^Version: .*/Version: $version/" "$2/content/DEBIAN/control"
    dpkg-deb --root-owner-group --build "$2/content" "$2/$(dpkg-deb --field "$1" Package)_${version}_amd64.deb" >&2
    say "$2/$(dpkg-deb --field "$1" Package)_${version}_amd64.deb"
}

# install_packages: on every host the package that belongs there.
install_packages() {
    local host
    publish_packages
    for host in "${HOSTS[@]}"; do
        install_package "$host" "${HOST_PACKAGE[$host]}"
    done
}

# install_package HOST PACKAGE: by apt, from the repository, unless this very file is installed.
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
        rm -rf /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/keyrings /var/cache/apt/archives/*.deb
        install -d /etc/apt/sources.list.d /etc/apt/keyrings
        cp /dev/stdin /etc/apt/sources.list.d/omni-scale.sources
        curl -fsS --max-time 20 -o /etc/apt/keyrings/omni-scale.asc "$4/omni-scale.asc"
        apt-get --error-on=any update
        apt-get --yes --no-install-recommends --reinstall --allow-downgrades install "$1=$3"
        echo "$2" >"$1"
    ' -- "$2" "$sum" "$(dpkg-deb --field "$file" Version)" "$PACKAGES_URL" \
        < <(sed "s,https://WHERE-THIS-IS-SERVED,$PACKAGES_URL," "$LAB_STATE/artifacts/packages/omni-scale.sources")
}
