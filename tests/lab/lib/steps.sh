# shellcheck shell=bash
# Steps: each says what it does, keeps its output in a log of its own, and on
# failure says which step failed, why, and where the log is.

RUNNING_STEPS=()

say() {
    printf '%s\n' "$*"
}

# step NAME TITLE COMMAND…: run COMMAND, its output going to the log NAME.
# Never call it in a condition: bash would then ignore `set -e` inside COMMAND.
step() {
    local name=$1 title=$2 log=$LAB_LOG/$1.log started=$SECONDS status=0
    shift 2
    say "==> $title"
    ("$@") >"$log" 2>&1 &
    wait $! || status=$?
    if ((status != 0)); then
        {
            say "FAILED ($name): $title"
            tail -n 15 "$log" | sed 's/^/    /'
            say "    the whole log: $log"
        } >&2
        return "$status"
    fi
    if ((SECONDS - started >= 5)); then
        say "    $title: done in $((SECONDS - started)) s"
    fi
}

# show NAME TITLE COMMAND…: a step whose output is for the person who waits, too.
show() {
    local name=$1 title=$2 status=0
    shift 2
    say "==> $title"
    ("$@" 2>&1 | tee "$LAB_LOG/$name.log" | sed -u 's/^/    /') &
    wait $! || status=$?
    if ((status != 0)); then
        say "FAILED ($name): $title ended with $status; log: $LAB_LOG/$name.log" >&2
        return "$status"
    fi
}

# step_aside NAME TITLE COMMAND…: the same beside other steps, until join_steps.
step_aside() {
    step "$@" &
    RUNNING_STEPS+=($!)
}

# join_steps: wait for all steps that run aside; the first failure ends the rest.
join_steps() {
    local _
    for _ in "${RUNNING_STEPS[@]}"; do
        wait -n
    done
    RUNNING_STEPS=()
}

# end_children: what a script does at its end: nothing that it started goes on.
end_children() {
    local child
    for child in $(pgrep -P $$); do
        end_with_children "$child"
    done
}

end_with_children() {
    local child
    for child in $(pgrep -P "$1"); do
        end_with_children "$child"
    done
    kill "$1" 2>/dev/null || true
}

# wait_until SECONDS WHAT COMMAND…: try COMMAND until it succeeds; say WHAT was
# waited for, and the command's last words, when the time is over.
wait_until() {
    local seconds=$1 what=$2 deadline=$((SECONDS + $1)) words
    shift 2
    until words=$("$@" 2>&1); do
        if ((SECONDS >= deadline)); then
            say "waited $seconds s for: $what" >&2
            say "$words" >&2
            return 1
        fi
        sleep 0.2
    done
}

# once NAME FINGERPRINT COMMAND…: run COMMAND unless it succeeded before with the
# same FINGERPRINT. What it made has to be under LAB_STATE.
once() {
    local stamp=$LAB_STATE/once/$1 fingerprint=$2
    shift 2
    if [[ -f $stamp && $(<"$stamp") == "$fingerprint" ]]; then
        say "nothing changed since the last time"
        return
    fi
    "$@"
    mkdir -p "${stamp%/*}"
    printf '%s\n' "$fingerprint" >"$stamp"
}

# fingerprint: a short digest of the input.
fingerprint() {
    sha256sum | cut -c1-12
}
