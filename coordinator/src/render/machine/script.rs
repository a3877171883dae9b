//! The script that makes a machine a host, once, as root.
//!
//! It stops at the first step that fails and says which one: on the console, and in
//! `/var/log/cloud-init-output.log`. No secret is in it, nor in the arguments of what it runs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use omni_scale_proto::id::HostName;
use omni_scale_proto::role::HostRole;

use super::paths::{AUTH_KEY, DIRECTORY, ENROLLMENT_SECRET};
use crate::deployment::{Deployment, HostMachine, Identity};
use crate::image::ImageReference;
use crate::plan::DesiredStack;

/// Images that `omni-scale-agent setup` allows by itself.
const USUAL_REPOSITORIES: [&str; 4] = [
    "ghcr.io/siderolabs/omni",
    "ghcr.io/siderolabs/omni-infra-provider-proxmox",
    "docker.io/tailscale/tailscale",
    "ghcr.io/tailscale/tailscale",
];
/// Where it lets programs come from by itself.
const USUAL_ARTIFACTS: &str = "https://github.com/tailscale/tsidp/releases/";

const BEGINNING: &str = r#"#!/bin/sh
# Makes this machine a host of omni-scale. Runs once, at the first boot.
set -eu
export DEBIAN_FRONTEND=noninteractive

step() {
    step=$1
    echo "omni-scale: $step"
}

ended() {
    code=$?
    [ "$code" -eq 0 ] && return
    echo "omni-scale: FAILED: $step"
    echo "omni-scale: the reason stands above, and in /var/log/cloud-init-output.log"
    echo "omni-scale: to try again: sh /run/omni-scale-first-boot/run"
    echo "omni-scale: after a reboot: cloud-init clean --logs --reboot"
}
trap ended EXIT
"#;

/// What cloud-init keeps of the secrets goes with them: user-data, what it made of it, and its
/// memory of where it found it.
const END: &str = r#"
step 'removing the secrets, and switching cloud-init off'
rm -rf "$secrets" "$packages"
rm -f /run/cloud-init/instance-data-sensitive.json /run/cloud-init/combined-cloud-config.json
find -L /var/lib/cloud/instances /var/lib/cloud/seed -type f \
    \( -name 'user-data*' -o -name 'cloud-config.txt' -o -name 'obj.pkl' \) -delete 2>/dev/null || true
if find -L /var/lib/cloud -type f -name 'user-data*' 2>/dev/null | grep -q .; then
    echo 'omni-scale: user-data is still on the disk'
    exit 1
fi
touch /etc/cloud/cloud-init.disabled
echo 'omni-scale: done; this host waits to be enrolled'
"#;

/// The whole script.
pub(super) fn script(
    deployment: &Deployment,
    stack: &DesiredStack,
    host: &HostName,
    machine: &HostMachine,
) -> String {
    let mut script = BEGINNING.to_owned();
    let _ = write!(
        script,
        "secrets={DIRECTORY}\npackages=/var/cache/omni-scale-first-boot\n"
    );
    if !deployment.tailnet.extra_roots_pem.is_empty() {
        step(&mut script, "trusting the deployment's authorities");
        script.push_str("update-ca-certificates\n");
    }
    packages(&mut script, machine);
    tailnet(&mut script, deployment, host);
    agent(&mut script, deployment, stack, host);
    script.push_str(END);
    script
}

fn step(script: &mut String, name: &str) {
    let _ = write!(script, "\nstep {}\n", quoted(name));
}

fn packages(script: &mut String, machine: &HostMachine) {
    const APT_GET: &str =
        "apt-get --option DPkg::Lock::Timeout=300 --option Acquire::Retries=3 --assume-yes";
    step(script, "reading the package lists");
    let _ = writeln!(script, "{APT_GET} --error-on=any update");
    script.push_str("install -d -m 0755 -o _apt \"$packages\"\n");
    let mut wanted: Vec<String> = machine.packages.iter().map(|name| quoted(name)).collect();
    for (number, file) in (1..).zip(&machine.files) {
        step(script, &format!("fetching {}", file.url));
        let path = format!("\"$packages\"/{number}.deb");
        let url = quoted(file.url.as_str());
        let _ = write!(
            script,
            "/usr/lib/apt/apt-helper --option Acquire::Retries=3 download-file {url} {path} SHA256:{sum}\n\
             echo \"{sum}  $packages/{number}.deb\" | sha256sum --check --strict\n",
            sum = file.sha256
        );
        wanted.push(path);
    }
    if !wanted.is_empty() {
        step(script, "installing packages");
        let _ = writeln!(
            script,
            "{APT_GET} install --no-install-recommends {}",
            wanted.join(" ")
        );
    }
}

fn tailnet(script: &mut String, deployment: &Deployment, host: &HostName) {
    step(script, "joining the tailnet");
    let _ = write!(
        script,
        "set -- --timeout=180s --hostname={}",
        quoted(node_name(deployment, host))
    );
    if let Some(control_url) = &deployment.tailnet.control_url {
        let _ = write!(script, " --login-server={}", quoted(control_url.as_str()));
    }
    // A key is for one login: a second try, once the node is logged in, would fail with it.
    let _ = write!(
        script,
        r#"
if ! tailscale status --json 2>/dev/null | grep -q '"BackendState": *"Running"'; then
    set -- "$@" --auth-key=file:"$secrets"/{AUTH_KEY}
fi
tailscale up "$@"
"#
    );
}

/// The host's own name on the tailnet: the first label of the full one.
fn node_name<'a>(deployment: &'a Deployment, host: &'a HostName) -> &'a str {
    let dns_name = deployment
        .hosts
        .get(host)
        .map_or(host.as_str(), |declared| declared.dns_name.as_str());
    dns_name
        .split_once('.')
        .map_or(dns_name, |(label, _)| label)
}

fn agent(script: &mut String, deployment: &Deployment, stack: &DesiredStack, host: &HostName) {
    let roles = deployment
        .hosts
        .get(host)
        .map(|declared| declared.roles.clone())
        .unwrap_or_default();
    step(script, "telling the agent what this host is for");
    script.push_str("omni-scale-agent setup --force");
    for role in &roles {
        let _ = write!(script, " --role {role}");
    }
    if let Some(capability) = &deployment.tailnet.capability {
        let _ = write!(
            script,
            " --tailnet-capability {}",
            quoted(capability.as_str())
        );
    }
    if roles.contains(&HostRole::Tsidp) {
        tsidp_policy(script, deployment);
    }
    if roles.contains(&HostRole::Omni) {
        omni_policy(script, stack);
    }
    script.push('\n');
    step(script, "opening the enrolment");
    let _ = writeln!(
        script,
        "omni-scale-agent token --secret-file \"$secrets\"/{ENROLLMENT_SECRET}"
    );
}

/// A program from elsewhere than tsidp's own releases is allowed by its sum alone.
fn tsidp_policy(script: &mut String, deployment: &Deployment) {
    let Identity::Tsidp(tsidp) = &deployment.identity else {
        return;
    };
    let usual = tsidp
        .artifact
        .url
        .as_ref()
        .is_some_and(|url| url.as_str().starts_with(USUAL_ARTIFACTS));
    if !usual {
        let _ = write!(script, " --allow-artifact-sha256 {}", tsidp.artifact.sha256);
    }
}

/// The images of the stack, built-in or the user's. What else a Compose file of the user's
/// needs, as bind mounts and devices, is for root to allow.
fn omni_policy(script: &mut String, stack: &DesiredStack) {
    let images = stack.stack.services.iter();
    let images = images.filter_map(|service| service.image.parse::<ImageReference>().ok());
    let repositories: BTreeSet<String> =
        images.map(|image| image.repository().to_owned()).collect();
    for repository in &repositories {
        let usual = USUAL_REPOSITORIES.iter().any(|usual| {
            *usual == repository || usual.strip_prefix("docker.io/") == Some(repository.as_str())
        });
        if !usual {
            let _ = write!(script, " --allow-image-repository {}", quoted(repository));
        }
    }
}

/// One word for the shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
