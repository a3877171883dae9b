# shellcheck shell=bash
# What the hosts fetch: images from the registry, artifacts over HTTP.
# deployment.yaml names both.

# The releases that the lab's images stand for. Omni has two, to change from one
# to the other.
SIDECAR_TAG=v1.102.3
OMNI_TAGS=(v1.9.3 v1.9.4)
PROVIDER_TAG=v0.3.0

# build_standins: Omni and its provider cannot be had here; programs of ours that
# behave as the real ones do stand in for them (tests/standins).
build_standins() {
    local target tag
    cd "$REPOSITORY"
    as_builder env RUSTFLAGS='-C target-feature=+crt-static' \
        cargo build --profile stand-in --target x86_64-unknown-linux-gnu -p omni-scale-standins
    target=$(target_directory)/x86_64-unknown-linux-gnu/stand-in
    cp "$target/omni-stand-in-keys" "$LAB_STATE/bin"
    context omni
    mkdir "$LAB_STATE/context/omni/omnictl"
    cp "$target/omni" "$LAB_STATE/context/omni"
    for tag in "${OMNI_TAGS[@]}"; do
        build_image omni "$LAB_NAME/omni-image:$tag" --build-arg VERSION="$tag"
    done
    context provider
    cp "$target/omni-infra-provider-proxmox" "$LAB_STATE/context/provider"
    build_image provider "$LAB_NAME/provider-image:$PROVIDER_TAG" --build-arg VERSION="$PROVIDER_TAG"
}

# target_directory: where cargo puts what it builds.
target_directory() {
    (cd "$REPOSITORY" && as_builder cargo metadata --format-version 1 --no-deps) |
        jq -r .target_directory
}

# publish: everything that the hosts fetch.
publish() {
    publish_artifact
    publish_images
}

# publish_images: push every image, and record in images.json what it is called.
publish_images() {
    local tag
    : >"$LAB_STATE/images.lines"
    publish_image sidecar "$LAB_NAME/sidecar" "tailscale/tailscale:$SIDECAR_TAG"
    for tag in "${OMNI_TAGS[@]}"; do
        publish_image "omni-$tag" "$LAB_NAME/omni-image:$tag" "siderolabs/omni:$tag"
    done
    publish_image provider "$LAB_NAME/provider-image:$PROVIDER_TAG" \
        "siderolabs/omni-infra-provider-proxmox:$PROVIDER_TAG"
    jq -s add "$LAB_STATE/images.lines" >"$LAB_STATE/images.json"
    rm "$LAB_STATE/images.lines"
}

# publish_image KEY IMAGE NAME: push IMAGE as NAME, and note its name with its digest.
publish_image() {
    local there digest
    if ! docker image inspect "$2" >/dev/null 2>&1; then
        say "$2 was not built"
        return
    fi
    there=$(push_address)
    docker tag "$2" "$there/$3"
    docker push --quiet "$there/$3"
    docker rmi --no-prune "$there/$3"
    digest=$(curl -fsS --head -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
        "http://$there/v2/${3%:*}/manifests/${3##*:}" |
        sed -n 's/^Docker-Content-Digest: \(sha256:[0-9a-f]*\).*/\1/p')
    [[ -n $digest ]]
    jq -n --arg key "$1" --arg reference "$REGISTRY/$3@$digest" '{ ($key): $reference }' \
        >>"$LAB_STATE/images.lines"
}

# publish_artifact: the real tsidp, named as a release would be, and its sum in
# artifact.json.
publish_artifact() {
    local name=tsidp_0.0.0_linux_amd64 file
    file=$LAB_STATE/artifacts/$name
    mkdir -p "${file%/*}"
    install -m 0644 "$LAB_STATE/bin/tsidp" "$file"
    jq -n --arg url "$ARTIFACTS_URL/$name" --arg sum "$(sha256sum <"$file" | cut -d' ' -f1)" \
        '{ url: $url, sha256: $sum }' >"$LAB_STATE/artifact.json"
}
