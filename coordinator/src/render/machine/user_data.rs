//! A host's cloud-config: files, and the script that uses them.
//!
//! Two secrets are in it, both good for one use, both as files below `/run`, which is memory:
//! the key for the first login to the tailnet, and the secret of the enrolment.

use omni_scale_proto::id::{HostName, SecretName};
use omni_scale_proto::v1::{SecretEncoding, Text};

use super::super::text::TextBuilder;
use super::paths::{AUTH_KEY, DIRECTORY, ENROLLMENT_SECRET};
use super::script::script;
use crate::deployment::{Deployment, HostMachine, PackageRepository};
use crate::plan::DesiredStack;

/// The name, on the host of the proxmox agent, of the secret with which a machine enrols.
///
/// # Panics
///
/// Never: a host's name after a prefix is a secret's name.
pub fn enrollment_secret(host: &HostName) -> SecretName {
    format!("enrollment-{host}")
        .parse()
        .expect("a host's name after a prefix is a secret's name")
}

/// The user-data of the machine that becomes `host`.
pub fn host_user_data(
    deployment: &Deployment,
    stack: &DesiredStack,
    host: &HostName,
    machine: &HostMachine,
) -> Text {
    let mut text = TextBuilder::default()
        .literal("#cloud-config\n# Written by omni-scale for one first boot.\n")
        .literal("# Nobody has a password, and nobody but root logs in, by key.\n")
        .literal("ssh_pwauth: false\nusers:\n  - name: root\n    lock_passwd: true\n")
        .literal(&keys(machine))
        .literal("package_update: false\npackage_upgrade: false\nwrite_files:\n");
    for (number, root) in (1..).zip(certificates(&deployment.tailnet.extra_roots_pem)) {
        let path = format!("/usr/local/share/ca-certificates/omni-scale-{number}.crt");
        text = public_file(text, &path, &root);
    }
    for repository in &machine.repositories {
        let key = key_path(repository);
        text = public_file(text, &key, &repository.key);
        let path = format!(
            "/etc/apt/sources.list.d/omni-scale-{}.sources",
            repository.name
        );
        text = public_file(text, &path, &sources(repository));
    }
    text = secret_file(text, AUTH_KEY, &machine.auth_key);
    text = secret_file(text, ENROLLMENT_SECRET, &enrollment_secret(host));
    text.literal(&format!(
        "  - path: {DIRECTORY}/run\n    permissions: \"0500\"\n    content: |\n"
    ))
    .literal(&indented(&script(deployment, stack, host, machine)))
    .literal(&format!("runcmd:\n  - [sh, {DIRECTORY}/run]\n"))
    .build()
}

fn keys(machine: &HostMachine) -> String {
    if machine.ssh_keys.is_empty() {
        return "disable_root: true\n".to_owned();
    }
    let mut text = String::from("    ssh_authorized_keys:\n");
    for key in &machine.ssh_keys {
        text.push_str("      - ");
        text.push_str(&json(key));
        text.push('\n');
    }
    text.push_str("disable_root: false\n");
    text
}

fn public_file(text: TextBuilder, path: &str, content: &str) -> TextBuilder {
    text.literal(&format!(
        "  - path: {path}\n    permissions: \"0644\"\n    content: {}\n",
        json(content)
    ))
}

fn secret_file(text: TextBuilder, name: &str, secret: &SecretName) -> TextBuilder {
    text.literal(&format!(
        "  - path: {DIRECTORY}/{name}\n    permissions: \"0400\"\n    content: "
    ))
    .secret(secret, SecretEncoding::JsonString)
    .literal("\n")
}

fn key_path(repository: &PackageRepository) -> String {
    format!("/etc/apt/keyrings/omni-scale-{}.asc", repository.name)
}

/// The repository in apt's own form, with the one key that it is believed by.
fn sources(repository: &PackageRepository) -> String {
    format!(
        "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\nSigned-By: {}\n",
        repository.url,
        repository.suite,
        repository.components.join(" "),
        key_path(repository)
    )
}

/// One text for each certificate: `update-ca-certificates` takes one from each file.
fn certificates(pem: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_inclusive(END)
        .filter(|part| part.ends_with(END))
        .map(|part| format!("{}\n", part.trim_start()))
        .collect()
}

/// A YAML scalar: every JSON string is one.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Lines of a block scalar.
fn indented(text: &str) -> String {
    let mut block = String::with_capacity(text.len() * 2);
    for line in text.lines() {
        if !line.is_empty() {
            block.push_str("      ");
            block.push_str(line);
        }
        block.push('\n');
    }
    block
}
