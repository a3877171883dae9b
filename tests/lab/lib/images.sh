# shellcheck shell=bash
# The images of the lab. A base image is a Debian made by mmdebstrap; its tag is a
# digest of its recipe, so that it is made once. What is ours is put on top by a
# Dockerfile, for which the Engine's own cache does the same.

# Left out of every base image: nobody reads it here.
BASE_OPTIONS=(
    --variant=minbase
    --dpkgopt='path-exclude=/usr/share/doc/*'
    --dpkgopt='path-exclude=/usr/share/man/*'
    --dpkgopt='path-exclude=/usr/share/locale/*'
)
HOST_PACKAGES=systemd,systemd-sysv,dbus,polkitd,adduser,ca-certificates,curl,jq,iproute2
HOST_PACKAGES+=,iptables,procps,less,nano,bash-completion

# What makes of a Debian a cloud image, and reads the CD-ROM that it boots with.
MACHINE_PACKAGES=cloud-init,libarchive-tools,openssh-server

# base_recipe BASE: suite and packages of a base image.
base_recipe() {
    case $1 in
        bookworm-host) say bookworm "$HOST_PACKAGES" ;;
        trixie-host) say trixie "$HOST_PACKAGES,docker.io,docker-cli,docker-compose" ;;
        bookworm-machine) say bookworm "$HOST_PACKAGES,$MACHINE_PACKAGES" ;;
        trixie-machine) say trixie "$HOST_PACKAGES,$MACHINE_PACKAGES,docker.io,docker-cli" ;;
        small) say "$(debian_codename)" iptables,ca-certificates,iproute2 ;;
        *) say "no base image $1" >&2 && return 1 ;;
    esac
}

# base_image BASE: its name with its content-addressed tag.
base_image() {
    local recipe
    recipe=$(base_recipe "$1")
    say "$LAB_NAME/base-$1:$(printf '%s\n' "${BASE_OPTIONS[@]}" "$recipe" | fingerprint)"
}

# build_base BASE…: make the base images that are not there yet.
build_base() {
    local base image suite packages tarball=$LAB_STATE/base.$BASHPID.tar
    mkdir -p "$LAB_STATE"
    for base in "$@"; do
        image=$(base_image "$base")
        if docker image inspect "$image" >/dev/null 2>&1; then
            say "$image is there"
            continue
        fi
        read -r suite packages <<<"$(base_recipe "$base")"
        say "making $image: $suite with $packages"
        # Not piped: an import of half a system would count as made.
        if ! mmdebstrap "${BASE_OPTIONS[@]}" --include="$packages" \
            "$suite" - "deb $(debian_mirror) $suite main" >"$tarball"; then
            rm -f "$tarball"
            return 1
        fi
        docker import --change "LABEL $LAB_LABEL=base" "$tarball" "$image"
        rm -f "$tarball"
    done
}

# context NAME: an empty build context that begins as a copy of images/NAME.
context() {
    local directory=$LAB_STATE/context/$1
    rm -rf "$directory"
    mkdir -p "$LAB_STATE/context"
    cp -R "$LAB_DIR/images/$1" "$directory"
    say "$directory"
}

# build_image NAME TAG [OPTION…]: build the context NAME.
build_image() {
    local name=$1 tag=$2
    shift 2
    docker build --quiet --label "$LAB_LABEL=image" --tag "$tag" "$@" "$LAB_STATE/context/$name"
}

# build_go: the lab's internet and the programs of Tailscale, all static.
build_go() {
    local sources
    sources=$(cat "$LAB_DIR"/tailnet/*.go "$LAB_DIR"/tailnet/go.* | fingerprint)
    once go "$sources $(as_builder go env GOVERSION)" compile_go
}

compile_go() {
    local bin=$LAB_STATE/bin
    give_to_builder "$bin"
    cd "$LAB_DIR/tailnet"
    as_builder env CGO_ENABLED=0 GOBIN="$bin" \
        go install -buildvcs=false -trimpath -ldflags='-s -w' . tool
    # Tailscale's own unit and its defaults, of the version that was built.
    local tailscale
    tailscale=$(as_builder go list -m -f '{{.Dir}}' tailscale.com)
    install -m 0644 "$tailscale"/cmd/tailscaled/tailscaled.{service,defaults} "$bin"
}

# build_images: everything on top of the base images.
build_images() {
    local bin=$LAB_STATE/bin
    build_host_image host "$(base_image bookworm-host)"
    build_host_image omni-host "$(base_image trixie-host)"

    cp "$bin/tailnet" "$(context internet)"
    build_image internet "$LAB_NAME/internet"

    once registry "$(debian_codename)" fetch_registry
    cp "$bin/docker-registry" "$(context registry)"
    build_image registry "$LAB_NAME/registry" --build-arg BASE="$(base_image small)"

    cp "$bin"/{tailscale,tailscaled,containerboot} "$(context sidecar)"
    build_image sidecar "$LAB_NAME/sidecar" --build-arg BASE="$(base_image small)"

    # What these replaced has no name any more.
    docker image prune --force --filter "label=$LAB_LABEL"
}

# fetch_registry: the one program of Debian's docker-registry, out of its package,
# which as a whole would start a service and want a password.
fetch_registry() {
    local directory
    directory=$(mktemp -d)
    (
        cd "$directory"
        apt-get download docker-registry
        dpkg-deb --extract docker-registry_*.deb .
    )
    install "$directory/usr/bin/docker-registry" "$LAB_STATE/bin"
    rm -r "$directory"
}

# build_host_image NAME BASE: a machine with systemd and Tailscale installed.
build_host_image() {
    local bin=$LAB_STATE/bin directory
    directory=$(context "$1")
    cp -RT "$LAB_DIR/images/host" "$directory"
    cp "$bin"/{tailscale,tailscaled} "$bin"/tailscaled.{service,defaults} "$directory"
    if [[ $1 == pve ]]; then
        add_simulator "$directory"
    fi
    build_image "$1" "$LAB_NAME/$1" --build-arg BASE="$2"
}
