//! The document → a deployment: the whole, and what its parts share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use omni_scale_proto::id::HostName;
use omni_scale_proto::role::HostRole;

use super::model::{Deployment, Host, Identity, MachineGroup, Omni, Proxmox, Tailnet};
use super::values::{DnsName, NodeName};
use super::{Files, identity, machines, omni, proxmox};
use crate::document::{Fields, Location, Node, Problems, Report, nearest, parse};

/// The format of the file.
const VERSION: &str = "1";

/// What the readers of the parts share.
pub(super) struct Context<'a> {
    /// Of the deployment file.
    pub(super) directory: &'a Path,
    /// What is allowed, and should be known.
    pub(super) warnings: Vec<String>,
}

/// Reads `text`, the content of the deployment file at `path`, and the files that it names.
pub fn read(files: &dyn Files, path: &Path, text: &str) -> Result<Deployment, Problems> {
    let tree = parse(&path.display().to_string(), text)?;
    let report = Report::default();
    let deployment = read_tree(files, path, &tree, &report);
    report.conclude(deployment)
}

pub(super) fn read_tree(
    files: &dyn Files,
    path: &Path,
    tree: &Node,
    report: &Report,
) -> Option<Deployment> {
    let mut context = Context {
        directory: path.parent().unwrap_or(Path::new("")),
        warnings: Vec::new(),
    };
    let fields = Fields::of(tree, "", report)?;
    check_version(&fields);
    let id = fields.required_parsed("id");
    let tailnet = fields
        .required_fields("tailnet")
        .and_then(|fields| read_tailnet(files, &context, fields));
    let domain = tailnet.as_ref().map(|tailnet| &tailnet.domain);
    let hosts = read_hosts(&fields, domain);
    let identity = fields
        .required_fields("identity")
        .and_then(|fields| identity::read(fields, &hosts));
    let provider = fields.entry("provider");
    let omni = fields
        .required_fields("omni")
        .and_then(|fields| omni::read(fields, &hosts, &mut context, provider));
    let proxmox = read_proxmox(files, &context, &fields, &hosts);
    // Known, whatever is wrong with the cluster.
    let _ = fields.entry("machines");
    let machines = proxmox
        .as_ref()
        .and_then(|proxmox| read_machines(files, &context, &fields, &hosts, proxmox.as_ref()));
    check_separation(&fields, &hosts, identity.as_ref(), omni.as_ref());
    if let Some(domain) = domain {
        check_names(&fields, domain, &hosts, identity.as_ref(), omni.as_ref());
    }
    fields.finish();
    Some(Deployment {
        id: id?,
        tailnet: tailnet?,
        hosts: hosts.into_model()?,
        identity: identity?,
        omni: omni?,
        proxmox: proxmox?,
        machines: machines?,
        warnings: context.warnings,
    })
}

/// Outside: whether it could be read. Inside: whether there is one.
#[expect(
    clippy::option_option,
    reason = "a problem in the report and an absent key are different things"
)]
fn read_proxmox(
    files: &dyn Files,
    context: &Context<'_>,
    fields: &Fields<'_>,
    hosts: &Hosts<'_>,
) -> Option<Option<Proxmox>> {
    if fields.entry("proxmox").is_none() {
        return Some(None);
    }
    let inner = fields.required_fields("proxmox")?;
    proxmox::read(files, context, inner, hosts).map(Some)
}

fn read_machines(
    files: &dyn Files,
    context: &Context<'_>,
    fields: &Fields<'_>,
    hosts: &Hosts<'_>,
    proxmox: Option<&Proxmox>,
) -> Option<BTreeMap<NodeName, MachineGroup>> {
    let Some(entry) = fields.entry("machines") else {
        return Some(BTreeMap::new());
    };
    let Some(proxmox) = proxmox else {
        fields.report().add_with_hint(
            &entry.location,
            "there is no place where `machines` could be made",
            "say in `proxmox` which cluster makes them",
        );
        return None;
    };
    machines::read(
        files,
        context,
        fields.report(),
        &entry.value,
        hosts,
        proxmox,
    )
}

fn check_version(fields: &Fields<'_>) {
    use crate::document::{Content, Scalar};
    let Some(node) = fields.required("version") else {
        return;
    };
    if !matches!(&node.content, Content::Scalar(Scalar { text, .. }) if text == VERSION) {
        fields.report().add_with_hint(
            &node.location,
            "this version of the deployment file is not known",
            format!("this omni-scale reads `version: {VERSION}`"),
        );
    }
}

fn read_tailnet(files: &dyn Files, context: &Context<'_>, fields: Fields<'_>) -> Option<Tailnet> {
    let domain = fields.required_parsed("domain");
    let control_url = fields.optional_parsed("control_url");
    let extra_roots_pem = read_certificates(files, context, &fields, "extra_roots");
    let capability = fields.optional_parsed("capability");
    fields.finish();
    Some(Tailnet {
        domain: domain?,
        control_url,
        extra_roots_pem: extra_roots_pem?,
        capability,
    })
}

/// The certificates of all the files, one after the other.
pub(super) fn read_certificates(
    files: &dyn Files,
    context: &Context<'_>,
    fields: &Fields<'_>,
    key: &'static str,
) -> Option<String> {
    let mut roots = String::new();
    for (location, file) in fields.texts(key)? {
        let path = context.directory.join(&file);
        let report = fields.report();
        match files.read(&path) {
            Err(error) => {
                report.add(
                    location,
                    format!("cannot read `{}`: {error}", path.display()),
                );
            }
            // Whoever copied a key along must not see it handed to every host.
            Ok(pem) if pem.contains("PRIVATE KEY-----") => report.add(
                location,
                format!(
                    "`{}` holds a private key; roots are certificates only",
                    path.display()
                ),
            ),
            Ok(pem) if !pem.contains("-----BEGIN CERTIFICATE-----") => {
                report.add(
                    location,
                    format!("`{}` holds no PEM certificate", path.display()),
                );
            }
            Ok(pem) => {
                roots.push_str(pem.trim());
                roots.push('\n');
            }
        }
    }
    Some(roots)
}

/// The hosts that a deployment declares.
pub(super) struct Hosts<'a> {
    declared: BTreeMap<HostName, Declared<'a>>,
}

struct Declared<'a> {
    location: &'a Location,
    roles: BTreeSet<HostRole>,
    /// None when its problem is in the report.
    dns_name: Option<DnsName>,
}

impl Hosts<'_> {
    fn into_model(self) -> Option<BTreeMap<HostName, Host>> {
        self.declared
            .into_iter()
            .map(
                |(
                    name,
                    Declared {
                        roles, dns_name, ..
                    },
                )| {
                    let dns_name = dns_name?;
                    Some((name, Host { roles, dns_name }))
                },
            )
            .collect()
    }

    /// Whether there is a host of this name.
    pub(super) fn declares(&self, name: &HostName) -> bool {
        self.declared.contains_key(name)
    }

    /// The host that `host:` names, which must be declared with `role`.
    pub(super) fn reference(&self, fields: &Fields<'_>, role: HostRole) -> Option<HostName> {
        let node = fields.required("host")?;
        let name: HostName = fields.report().parsed(node)?;
        match self.declared.get(&name) {
            Some(declared) if declared.roles.contains(&role) => Some(name),
            Some(_) => {
                fields.report().add_with_hint(
                    &node.location,
                    format!("host `{name}` has not the role `{role}`"),
                    format!("add it to `hosts.{name}.roles`"),
                );
                None
            }
            None => {
                let known: Vec<&str> = self.declared.keys().map(HostName::as_str).collect();
                let hint = match nearest(name.as_str(), &known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "declare it in `hosts`".to_owned(),
                };
                fields.report().add_with_hint(
                    &node.location,
                    format!("no host is named `{name}`"),
                    hint,
                );
                None
            }
        }
    }
}

fn read_hosts<'a>(fields: &Fields<'a>, domain: Option<&DnsName>) -> Hosts<'a> {
    let report = fields.report();
    let mut declared = BTreeMap::new();
    let entries = fields
        .required("hosts")
        .and_then(|node| report.entries(node))
        .unwrap_or_default();
    for entry in entries {
        let name: HostName = match entry.key.parse() {
            Ok(name) => name,
            Err(error) => {
                report.add(&entry.location, error.to_string());
                continue;
            }
        };
        let Some(fields) = Fields::of(&entry.value, "hosts.NAME", report) else {
            continue;
        };
        let roles = read_roles(&fields);
        let dns_name = match fields.optional("dns_name") {
            Some(node) => report.parsed(node),
            None => domain
                .zip(name.as_str().parse::<NodeName>().ok())
                .map(|(domain, name)| name.within(domain)),
        };
        if roles.contains(&HostRole::Tsidp) && roles.contains(&HostRole::Omni) {
            report.add_with_hint(
                &entry.location,
                format!("host `{name}` has both the roles `tsidp` and `omni`"),
                "Omni needs its issuer to start, and whatever takes one down must not take the other: use two hosts",
            );
        }
        fields.finish();
        declared.insert(
            name,
            Declared {
                location: &entry.location,
                roles,
                dns_name,
            },
        );
    }
    Hosts { declared }
}

fn read_roles(fields: &Fields<'_>) -> BTreeSet<HostRole> {
    let report = fields.report();
    let Some(items) = fields.required("roles").and_then(|node| report.items(node)) else {
        return BTreeSet::new();
    };
    items
        .iter()
        .filter_map(|item| report.parsed(item))
        .collect()
}

/// tsidp and Omni must not go down together.
fn check_separation(
    fields: &Fields<'_>,
    hosts: &Hosts<'_>,
    identity: Option<&Identity>,
    omni: Option<&Omni>,
) {
    let (Some(Identity::Tsidp(tsidp)), Some(omni)) = (identity, omni) else {
        return;
    };
    let (Some(first), Some(second)) = (
        hosts.declared.get(&tsidp.host),
        hosts.declared.get(&omni.host),
    ) else {
        return;
    };
    // One host with both roles is told where the host is declared.
    let same_node =
        tsidp.host != omni.host && first.dns_name.is_some() && first.dns_name == second.dns_name;
    if same_node {
        fields.report().add(
            second.location,
            format!(
                "hosts `{}` and `{}` are one node of the tailnet; tsidp and Omni need two",
                tsidp.host, omni.host
            ),
        );
    }
}

/// The tailnet would give the second node of a name another one, `NAME-1`, and every address that
/// was written down would be wrong.
fn check_names(
    fields: &Fields<'_>,
    domain: &DnsName,
    hosts: &Hosts<'_>,
    identity: Option<&Identity>,
    omni: Option<&Omni>,
) {
    let mut nodes: Vec<(String, DnsName, &Location)> = Vec::new();
    for (name, declared) in &hosts.declared {
        if let Some(dns_name) = &declared.dns_name {
            nodes.push((
                format!("host `{name}`"),
                dns_name.clone(),
                declared.location,
            ));
        }
    }
    if let (Some(Identity::Tsidp(tsidp)), Some(entry)) = (identity, fields.entry("identity")) {
        nodes.push((
            "tsidp (`identity.tsidp.name`)".to_owned(),
            tsidp.name.within(domain),
            &entry.location,
        ));
    }
    if let (Some(omni), Some(entry)) = (omni, fields.entry("omni")) {
        nodes.push((
            "Omni (`omni.name`)".to_owned(),
            omni.name.within(domain),
            &entry.location,
        ));
    }
    for (index, (what, dns_name, location)) in nodes.iter().enumerate() {
        if let Some((earlier, ..)) = nodes[..index]
            .iter()
            .find(|(_, other, _)| other == dns_name)
        {
            fields.report().add_with_hint(
                location,
                format!("{what} and {earlier} would both be `{dns_name}` on the tailnet"),
                "each is a node of its own; if the host's own node has another name, say so in its `dns_name`",
            );
        }
    }
}

/// Environment of a program, without the variables of `refused`, each with the reason why.
pub(super) fn environment(
    fields: &Fields<'_>,
    refused: &[(&str, &str)],
) -> Option<BTreeMap<String, String>> {
    let Some(node) = fields.optional("environment") else {
        return Some(BTreeMap::new());
    };
    let report = fields.report();
    let mut environment = BTreeMap::new();
    for entry in report.entries(node)? {
        if !is_variable(&entry.key) {
            report.add(
                &entry.location,
                "the name of a variable has letters, digits and `_`, no digit first",
            );
        } else if let Some((name, reason)) = refused.iter().find(|(name, _)| *name == entry.key) {
            report.add(
                &entry.location,
                format!("`{name}` is not for `environment`: {reason}"),
            );
        }
        if let Some(value) = report.text(&entry.value) {
            if value.chars().any(char::is_control) {
                report.add(
                    &entry.value.location,
                    "the value of a variable has no control characters",
                );
            }
            environment.insert(entry.key.clone(), value.to_owned());
        }
    }
    Some(environment)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
