# shellcheck shell=bash
# What the lab needs of the machine it runs on: packages, toolchains, an Engine.

# need_packages: install by apt what is missing, and only that.
need_packages() {
    local missing=()
    need_command() {
        command -v "$1" >/dev/null || missing+=("${@:2}")
    }
    need_command dockerd docker.io
    need_command docker "$(docker_client_package)"
    need_command mmdebstrap mmdebstrap debian-archive-keyring
    need_command iptables iptables
    need_command curl curl ca-certificates
    need_command apt-ftparchive apt-utils
    need_command gpg gpg
    need_command jq jq
    need_command pgrep procps
    need_command cc gcc libc6-dev
    # apt knows its mirrors only when it has asked them.
    debian_mirror || apt-get update
    if ((${#missing[@]} == 0)); then
        say "nothing is missing"
        return
    fi
    say "installing ${missing[*]}"
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

# The client left the package docker.io with Debian 13.
docker_client_package() {
    # shellcheck source=/dev/null
    if (. /etc/os-release && ((VERSION_ID >= 13))); then
        say docker-cli
    else
        say docker.io
    fi
}

# debian_mirror: where this machine gets its own Debian from.
debian_mirror() {
    local codename
    codename=$(debian_codename)
    # shellcheck disable=SC2016  # the placeholders are apt's
    apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)' \
        'Created-By: Packages' |
        awk -v codename="$codename" \
            '$1 == "Debian" && $2 == codename && $3 == "main" { print $4; found = 1; exit }
             END { if (!found) exit 1 }' || {
        say "no source of Debian $codename main in /etc/apt; is this machine Debian?" >&2
        return 1
    }
}

debian_codename() {
    # shellcheck source=/dev/null
    (. /etc/os-release && say "$VERSION_CODENAME")
}

# need_toolchains: Go as tailnet/go.mod asks, Rust as Cargo.toml asks.
need_toolchains() {
    local go rust
    go=$(sed -n 's/^go //p' "$LAB_DIR/tailnet/go.mod")
    rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$REPOSITORY/Cargo.toml")
    need_version Go "$go" "$(as_builder go env GOVERSION 2>/dev/null | sed 's/^go//')" \
        'unpack an archive from https://go.dev/dl/ at /usr/local/go'
    need_version Rust "$rust" "$(as_builder rustc --version 2>/dev/null | cut -d' ' -f2)" \
        'install it with https://rustup.rs, or run: rustup update stable'
}

# need_version NAME WANTED FOUND HOW
need_version() {
    if [[ -n $3 && $(printf '%s\n' "$2" "$3" | sort -V | head -n 1) == "$2" ]]; then
        say "$1 $3"
    else
        say "$1 $2 or newer is needed, found: ${3:-none}. To get it: $4"
        return 1
    fi
}

# as_builder COMMAND…: run COMMAND as the person who called sudo, so that what it
# builds in the clone and in that person's caches does not belong to root.
as_builder() {
    local home=$HOME
    if [[ -n ${SUDO_USER:-} && $SUDO_USER != root ]]; then
        home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
        set -- runuser -u "$SUDO_USER" -- env HOME="$home" "$@"
    fi
    PATH=$home/.cargo/bin:/usr/local/go/bin:$PATH "$@"
}

# give_to_builder DIRECTORY…: make directories that as_builder may write to.
give_to_builder() {
    mkdir -p "$@"
    if [[ -n ${SUDO_USER:-} ]]; then
        chown "$SUDO_USER:" "$@"
    fi
}

# need_engine: a Docker Engine that answers; ours if the machine runs none.
need_engine() {
    if docker info >/dev/null 2>&1; then
        say "the Engine of this machine answers"
        return
    fi
    if [[ -d /run/systemd/system ]]; then
        systemctl start docker
    else
        setsid dockerd >"$LAB_LOG/dockerd.log" 2>&1 &
        say "$!" >"$LAB_STATE/dockerd.pid"
    fi
    wait_until 60 "the Docker Engine to answer (log: $LAB_LOG/dockerd.log)" docker info
}

# end_engine: end the Engine that need_engine started, and no other.
end_engine() {
    local pid_file=$LAB_STATE/dockerd.pid pid
    [[ -f $pid_file ]] || return 0
    pid=$(<"$pid_file")
    if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]]; then
        kill "$pid"
        wait_until 30 'dockerd to end' engine_ended "$pid"
    fi
    rm "$pid_file"
}

engine_ended() {
    [[ ! -d /proc/$1 || $(cut -d' ' -f3 "/proc/$1/stat") == Z ]]
}

# Makes the state directory, and marks it when nobody else has anything in it.
claim_state() {
    if [[ -z $(ls -A "$LAB_STATE" 2>/dev/null) ]]; then
        mkdir -p "$LAB_STATE"
        touch "$LAB_MARKER"
    fi
    mkdir -p "$LAB_LOG"
}

# Removes the state directory, when it is the lab's own. The usual one always is: labs of before
# the marker have none.
remove_state() {
    if [[ -e $LAB_MARKER || $LAB_STATE == "$LAB_DIR/.state" ]]; then
        rm -rf "$LAB_STATE"
    else
        say "$LAB_STATE was there before the lab, and is left; the lab's log is in $LAB_LOG"
    fi
}
