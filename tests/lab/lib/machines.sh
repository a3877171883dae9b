# shellcheck shell=bash
# What `up --from-nothing` has beside the rest: the host pve, whose simulated VMs boot
# as real hosts, and what those are made from.

# The files that the VMs of deployment-from-nothing.yaml are made from. Only their names
# and sums matter: pve knows which container stands for which VM (/etc/lab/machines).
MACHINE_IMAGES=(debian-12.qcow2 debian-13.qcow2 talos.iso)

# build_simulator: the Proxmox VE API of pve.
build_simulator() {
    cd "$REPOSITORY"
    as_builder cargo build --profile stand-in --bins -p omni-scale-proxmox-simulator
    cp "$(target_directory)/stand-in/proxmox-simulator" "$LAB_STATE/bin"
}

# build_machine_images: pve, and the two cloud images.
build_machine_images() {
    local directory
    build_host_image pve "$(base_image bookworm-machine)"
    directory=$(context machine)
    cp "$LAB_DIR/images/host/files/usr/local/sbin/boot" "$directory/files/usr/local/sbin"
    build_image machine "$LAB_NAME/machine" --build-arg BASE="$(base_image bookworm-machine)"
    cp -RT "$LAB_DIR/images/omni-host/files" "$directory/files"
    build_image machine "$LAB_NAME/machine-omni" --build-arg BASE="$(base_image trixie-machine)"
}

# add_simulator DIRECTORY: what pve has and other hosts have not, into its build context.
add_simulator() {
    install -D "$LAB_STATE/bin/proxmox-simulator" "$1/files/usr/local/bin/proxmox-simulator"
    printf 'LAB_NAME=%s\nLAB_LABEL=%s\n' "$LAB_NAME" "$LAB_LABEL" >"$1/files/etc/lab/settings"
    fill_in_sums "$1/files/etc/proxmox-simulator.toml"
}

# publish_machine_files: what VMs are made from, and what they install.
publish_machine_files() {
    local image agent
    for image in "${MACHINE_IMAGES[@]}"; do
        machine_image "$image" >"$LAB_STATE/artifacts/$image"
    done
    agent=$(package_file omni-scale-agent)
    install -m 0644 "$agent" "$LAB_STATE/artifacts/omni-scale-agent.deb"
    build_tailscale_package "$LAB_STATE/artifacts/tailscale.deb"
}

machine_image() {
    say "The lab's $1."
}

# fill_in_sums FILE: for @NAME@, a file that is published, its sum.
fill_in_sums() {
    local image
    for image in "${MACHINE_IMAGES[@]}"; do
        fill_in "$image" "$(machine_image "$image" | fingerprint_whole)" "$1"
    done
}

# fill_in NAME VALUE FILE
fill_in() {
    sed -i "s/@${1//./\\.}@/$2/" "$3"
}

fingerprint_whole() {
    sha256sum | cut -d' ' -f1
}

# fill_in_published FILE: for everything that is published, its sum; and how pve is known.
fill_in_published() {
    local path
    for path in "$LAB_STATE"/artifacts/*; do
        [[ -f $path ]] || continue
        fill_in "${path##*/}" "$(fingerprint_whole <"$path")" "$1"
    done
    fill_in fingerprint "$(simulator_fingerprint)" "$1"
}

# build_tailscale_package FILE: the programs that were built, with the unit that
# Tailscale gives them, as Tailscale's own package would install them.
build_tailscale_package() {
    local directory bin=$LAB_STATE/bin
    directory=$(mktemp -d)
    install -D -m 0755 "$bin/tailscale" "$directory/usr/bin/tailscale"
    install -D -m 0755 "$bin/tailscaled" "$directory/usr/sbin/tailscaled"
    install -D -m 0644 "$bin/tailscaled.service" "$directory/usr/lib/systemd/system/tailscaled.service"
    install -D -m 0644 "$bin/tailscaled.defaults" "$directory/etc/default/tailscaled"
    cp -R "$LAB_DIR/images/host/files/etc/systemd" "$directory/etc"
    mkdir "$directory/DEBIAN"
    cat >"$directory/DEBIAN/control" <<CONTROL
Package: tailscale
Version: ${SIDECAR_TAG#v}
Architecture: $(dpkg --print-architecture)
Maintainer: the lab
Depends: iptables
Description: Tailscale, as the lab has built it
CONTROL
    cat >"$directory/DEBIAN/postinst" <<'SCRIPT'
#!/bin/sh
set -e
systemctl daemon-reload
systemctl enable --now tailscaled
SCRIPT
    chmod 0755 "$directory" "$directory/DEBIAN/postinst"
    # The same programs make the same package, whose sum the deployment has.
    SOURCE_DATE_EPOCH=0 dpkg-deb --root-owner-group --build -Zgzip "$directory" "$1"
    chmod 0644 "$1"
    rm -r "$directory"
}

# start_simulator: pve serves the API of its cluster.
start_simulator() {
    docker exec "$(container pve)" systemctl enable --now proxmox-simulator
    wait_until 30 'the simulator to serve' simulator_fingerprint
}

# simulator_fingerprint: of the certificate that it shows.
simulator_fingerprint() {
    docker exec "$(container pve)" head -n 1 /run/proxmox-simulator | grep .
}
