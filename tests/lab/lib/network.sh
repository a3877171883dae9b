# shellcheck shell=bash
# The lab's network, its internet and its hosts, all of them containers.
#
# The tailnet lives in the memory of the internet, and the Engine of omni in a
# volume: so either everything still runs as this version would run it, and is
# left alone, or all of it is made anew.

# lab_is_current: everything runs as this version would run it, and was finished.
lab_is_current() {
    local name
    [[ -f $LAB_STATE/tailnet && $(<"$LAB_STATE/tailnet") == "$(tailnet 2>/dev/null)" ]] || return 1
    for name in registry internet "${HOSTS[@]}"; do
        container_is_current "$name" || return 1
    done
}

# container_is_current NAME
container_is_current() {
    local format running wanted
    format="{{.State.Running}} {{.Image}} {{index .Config.Labels \"$LAB_LABEL\"}}"
    running=$(docker inspect --format "$format" "$(container "$1")" 2>/dev/null) || return 1
    wanted="true $(docker image inspect --format '{{.Id}}' "$(image_of "$1")") $(recipe)"
    [[ $running == "$wanted" ]]
}

# tailnet: which of all tailnets that this machine ever had is running.
tailnet() {
    docker inspect --format '{{.Id}}' "$(container internet)"
}

# recipe: a digest of how containers are started.
recipe() {
    cat "$LAB_DIR"/lib/{settings,network}.sh | fingerprint
}

image_of() {
    case $1 in
        omni) say "$LAB_NAME/omni-host" ;;
        idp | op) say "$LAB_NAME/host" ;;
        *) say "$LAB_NAME/$1" ;;
    esac
}

# remove_containers: every container and network of the lab, and the hosts'
# volumes, whatever state an earlier run left them in.
remove_containers() {
    docker ps --all --quiet --filter "label=$LAB_LABEL" | xargs -r docker rm --force --volumes
    docker network ls --quiet --filter "label=$LAB_LABEL" | xargs -r docker network rm
    docker volume ls --quiet --filter "label=$LAB_LABEL=host" | xargs -r docker volume rm
}

# remove_images: the images of the lab, and what was published.
remove_images() {
    local images
    docker volume ls --quiet --filter "label=$LAB_LABEL" | xargs -r docker volume rm
    # An image goes only after those that were made from it: that takes some rounds.
    while images=$(labelled_images) && [[ -n $images ]]; do
        xargs docker rmi --force <<<"$images" || true
        [[ $(labelled_images) != "$images" ]]
    done
}

labelled_images() {
    docker images --all --quiet --filter "label=$LAB_LABEL" | sort -u
}

# start_services: the network and what the hosts need on it.
start_services() {
    start_network
    start_registry
    start_internet
}

# start_network: the network, with nothing behind its gateway.
start_network() {
    docker network create --internal --subnet "$LAB_SUBNET" --label "$LAB_LABEL=network" "$LAB_NAME"
}

# run_container NAME ADDRESS [OPTION…] -- [ARGUMENT…]
run_container() {
    local name=$1 address=$2 options=()
    shift 2
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    docker run --detach --name "$(container "$name")" --hostname "$name" \
        --label "$LAB_LABEL=$(recipe)" --network "$LAB_NAME" --ip "$address" \
        "${options[@]}" "$(image_of "$name")" "$@"
}

# start_registry: reached by the hosts through the internet, and by this machine's
# Engine, which pushes to it, at a port of the loopback interface.
start_registry() {
    docker volume create --label "$LAB_LABEL=registry" "$LAB_NAME-registry"
    docker run --detach --name "$(container registry)" --hostname registry \
        --label "$LAB_LABEL=$(recipe)" --publish 127.0.0.1::5000 \
        --volume "$LAB_NAME-registry:/var/lib/docker-registry" "$(image_of registry)"
    docker network connect --ip "$REGISTRY_ADDRESS" "$LAB_NAME" "$(container registry)"
    wait_until 30 'the registry to answer' curl -fsS "http://$(push_address)/v2/"
}

# push_address: the registry as this machine's Engine knows it.
push_address() {
    docker port "$(container registry)" 5000/tcp | head -n 1
}

# start_internet: see tailnet/main.go.
start_internet() {
    run_container internet "$INTERNET_ADDRESS" --volume "$LAB_STATE/artifacts:/artifacts:ro" -- \
        -address "$INTERNET_ADDRESS" -domain "$TAILNET_DOMAIN" \
        -registry "http://$REGISTRY_ADDRESS:5000"
    wait_until 30 "the lab's internet to answer" curl -fsS "$ADMIN_URL/healthz"
}

# start_host HOST: a container that boots systemd.
start_host() {
    local host=$1 own=()
    if [[ $host == omni ]]; then
        # The Engine's storage needs a file system that is not an overlay itself.
        docker volume create --label "$LAB_LABEL=host" "$LAB_NAME-omni-docker"
        own=(--volume "$LAB_NAME-omni-docker:/var/lib/docker")
    elif [[ $host == pve ]]; then
        # Its VMs are containers beside it.
        own=(--volume /var/run/docker.sock:/var/lab/docker.sock)
    fi
    # systemd has to mount and to make control groups; tailscaled needs TUN.
    run_container "$host" "${HOST_ADDRESS[$host]}" --dns "$INTERNET_ADDRESS" \
        --cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
        --security-opt systempaths=unconfined \
        --cgroupns private --tmpfs /run --tmpfs /run/lock "${own[@]}" --
    wait_until 60 "$host to have booted" host_booted "$host"
    trust_the_lab "$host"
    if [[ $host == op ]]; then
        docker exec "$(container op)" useradd --create-home --shell /bin/bash "$OPERATOR"
    fi
}

host_booted() {
    local state
    state=$(docker exec "$(container "$1")" systemctl is-system-running)
    say "systemd says: $state"
    [[ $state == running ]]
}

# trust_the_lab HOST: what a machine on the real internet has from the start. It goes
# before tailscaled, which reads the trusted roots once.
trust_the_lab() {
    docker exec --interactive "$(container "$1")" bash -euo pipefail -s -- "$ADMIN_URL" <<'EOF'
for root in acme listener; do
    curl -fsS -o "/usr/local/share/ca-certificates/lab-$root.crt" "$1/roots/$root.pem"
done
update-ca-certificates
systemctl enable --now tailscaled
EOF
}

# join_hosts: log in one after the other, so that each always has the same address
# and user: op is 100.64.0.1 and user-1@fake-control.example.net.
join_hosts() {
    local host
    for host in "${HOSTS[@]}"; do
        docker exec "$(container "$host")" \
            tailscale up --login-server="$CONTROL_URL" --hostname="$host" --timeout=30s
    done
    docker exec "$(container op)" tailscale status
    tailnet >"$LAB_STATE/tailnet"
}
