//! The document → a deployment: the whole, and what its parts share.

use std::collections::BTreeMap;
use std::path::Path;

use super::hosts::{self, Hosts};
use super::model::{Deployment, Identity, MachineGroup, Omni, Proxmox, Tailnet};
use super::shared::{Context, read_certificates};
use super::values::{DnsName, NodeName};
use super::{Files, identity, machines, omni, proxmox};
use crate::document::{Fields, Location, Node, Problems, Report, parse};

/// The format of the file.
const VERSION: &str = "1";

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
    let hosts = hosts::read(&fields, domain);
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
