//! `machines.NAME.host`: what a machine needs to become a host.

use std::path::Path;

use super::model::{HostMachine, PackageFile, PackageRepository, Proxmox, StaticAddress};
use super::shared::{Context, read_list};
use super::values::{HypervisorWord, NodeName, SubnetAddress};
use super::{Files, secret};
use crate::document::{Fields, Location};

/// The longest name of a machine that becomes a host: the secret with which it enrols is called
/// `enrollment-NAME`, and a secret's name has 63 characters at most.
const LONGEST_HOST: usize = 63 - "enrollment-".len();

pub(super) fn check_name(
    fields: &Fields<'_>,
    name: &NodeName,
    place: &Location,
    proxmox: &Proxmox,
) {
    if name.as_str().len() > LONGEST_HOST {
        fields.report().add(
            place,
            format!(
                "the name of a machine that becomes a host has {LONGEST_HOST} characters at most"
            ),
        );
    }
    if name.as_str() == proxmox.host.as_str() {
        fields.report().add_with_hint(
            place,
            format!("the agent of `{name}` makes the machines, and cannot make its own"),
            "name another host in `proxmox.host`, one that is there",
        );
    }
}

pub(super) fn read(
    files: &dyn Files,
    context: &Context<'_>,
    fields: Fields<'_>,
) -> Option<HostMachine> {
    let auth_key = secret::required(&fields, "auth_key");
    let address = read_address(&fields);
    let repositories = read_list(&fields, "repositories", |fields| {
        read_repository(files, context.directory, fields)
    });
    let packages = read_packages(&fields);
    let package_files = read_list(&fields, "files", |fields| {
        let url = fields.required_parsed("url");
        let sha256 = fields.required_parsed("sha256");
        fields.finish();
        Some(PackageFile {
            url: url?,
            sha256: sha256?,
        })
    });
    let ssh_keys = fields.texts("ssh_keys");
    fields.finish();
    Some(HostMachine {
        auth_key: auth_key?,
        address: address?,
        repositories: repositories?,
        packages: packages?,
        files: package_files?,
        ssh_keys: ssh_keys?.into_iter().map(|(_, key)| key).collect(),
    })
}

/// Outside: whether it could be read. Inside: whether there is one.
#[expect(
    clippy::option_option,
    reason = "a problem in the report and an absent key are different things"
)]
fn read_address(fields: &Fields<'_>) -> Option<Option<StaticAddress>> {
    let address = fields.optional("address");
    let gateway = fields.optional("gateway");
    let report = fields.report();
    match (address, gateway) {
        (None, None) => Some(None),
        (Some(address), Some(gateway)) => {
            let subnet: SubnetAddress = report.parsed(address)?;
            Some(Some(StaticAddress {
                address: subnet.address(),
                prefix_length: subnet.prefix_length(),
                gateway: report.parsed(gateway)?,
            }))
        }
        (Some(lonely), None) | (None, Some(lonely)) => {
            report.add(
                &lonely.location,
                "`address` and `gateway` come together; without both the machine asks DHCP",
            );
            None
        }
    }
}

fn read_repository(
    files: &dyn Files,
    directory: &Path,
    fields: Fields<'_>,
) -> Option<PackageRepository> {
    let name = fields.required_parsed("name");
    let url = fields.required_parsed("url");
    let suite: Option<HypervisorWord> = fields.required_parsed("suite");
    let components = read_components(&fields);
    let key = fields.required("key").and_then(|node| {
        let report = fields.report();
        let path = directory.join(report.text(node)?);
        match files.read(&path) {
            Ok(key) if key.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") => Some(key),
            Ok(_) => {
                report.add_with_hint(
                    &node.location,
                    format!(
                        "`{}` is no ASCII-armoured OpenPGP public key",
                        path.display()
                    ),
                    "`gpg --export --armor KEY` writes one",
                );
                None
            }
            Err(error) => {
                let message = format!("cannot read `{}`: {error}", path.display());
                report.add(&node.location, message);
                None
            }
        }
    });
    fields.finish();
    Some(PackageRepository {
        name: name?,
        url: url?,
        suite: suite?.into(),
        components: components?,
        key: key?,
    })
}

/// `main`, `contrib` …: at least one, each a word.
fn read_components(fields: &Fields<'_>) -> Option<Vec<String>> {
    let node = fields.required("components")?;
    let items = fields.report().items(node)?;
    if items.is_empty() {
        fields
            .report()
            .add(&node.location, "name at least one component, as `[main]`");
    }
    let word = |item| {
        fields
            .report()
            .parsed::<HypervisorWord>(item)
            .map(String::from)
    };
    items.iter().map(word).collect()
}

/// Names of Debian packages (Debian Policy §5.6.1).
fn read_packages(fields: &Fields<'_>) -> Option<Vec<String>> {
    let names = fields.texts("packages")?;
    for (location, name) in &names {
        let valid = name.len() >= 2
            && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
            });
        if !valid {
            fields
                .report()
                .add(location, format!("`{name}` is no name of a Debian package"));
        }
    }
    Some(names.into_iter().map(|(_, name)| name).collect())
}
