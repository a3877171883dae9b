//! `proxmox:` the cluster on which machines are made.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use omni_scale_proto::id::Sha256;
use omni_scale_proto::machine::VMIDS;
use omni_scale_proto::role::HostRole;

use super::hosts::Hosts;
use super::model::{Proxmox, ProxmoxTrust};
use super::provider::is_token_id;
use super::shared::{Context, read_certificates};
use super::values::{HttpUrl, HypervisorWord};
use super::{Files, secret};
use crate::document::Fields;

/// Reads the mapping.
pub(super) fn read(
    files: &dyn Files,
    context: &Context<'_>,
    fields: Fields<'_>,
    hosts: &Hosts<'_>,
) -> Option<Proxmox> {
    let host = hosts.reference(&fields, HostRole::Proxmox);
    let url = read_url(&fields);
    let token_id = fields.required_text("token_id");
    if let (Some(token_id), Some(entry)) = (&token_id, fields.entry("token_id"))
        && !is_token_id(token_id)
    {
        fields
            .report()
            .add(&entry.value.location, "a token id is `USER@REALM!TOKEN`");
    }
    let token_secret = secret::required(&fields, "token_secret");
    let trust = read_trust(files, context, &fields);
    let vmids: Option<Vmids> = fields.required_parsed("vmids");
    let storage: Option<HypervisorWord> = fields.required_parsed("storage");
    let image_storage: Option<HypervisorWord> = fields.required_parsed("image_storage");
    let bridge: Option<HypervisorWord> = fields.required_parsed("bridge");
    let nameservers = read_nameservers(&fields);
    let search = fields.required_parsed("search");
    fields.finish();
    Some(Proxmox {
        host: host?,
        url: url?,
        token_id: token_id?,
        token_secret: token_secret?,
        trust: trust?,
        vmids: vmids?.0,
        storage: storage?.into(),
        image_storage: image_storage?.into(),
        bridge: bridge?.into(),
        nameservers: nameservers?,
        search: search?,
    })
}

fn read_url(fields: &Fields<'_>) -> Option<HttpUrl> {
    let url: HttpUrl = fields.required_parsed("url")?;
    let entry = fields.entry("url")?;
    let bare = url
        .as_str()
        .strip_prefix("https://")
        .is_some_and(|rest| !rest.contains('/'));
    if !bare {
        fields.report().add_with_hint(
            &entry.value.location,
            "the address of Proxmox VE is `https://NAME:PORT`, without a path",
            "for example `https://pve.lan:8006`",
        );
    }
    Some(url)
}

fn read_trust(
    files: &dyn Files,
    context: &Context<'_>,
    fields: &Fields<'_>,
) -> Option<ProxmoxTrust> {
    let report = fields.report();
    let pins = fields.texts("certificate_sha256");
    let roots = fields.entry("roots");
    let pinned = fields.entry("certificate_sha256");
    if let (Some(_), Some(second)) = (pinned, roots) {
        report.add(
            &second.location,
            "`proxmox` has one of `certificate_sha256` and `roots`, not both: with pins nothing \
             else is asked of the certificate",
        );
        return None;
    }
    if roots.is_some() {
        return read_certificates(files, context, fields, "roots").map(ProxmoxTrust::Authorities);
    }
    let mut sums = Vec::new();
    for (location, text) in pins? {
        match pin(&text) {
            Some(sum) => sums.push(sum),
            None => report.add_with_hint(
                location,
                format!("`{text}` is no SHA-256 of a certificate"),
                "the web interface shows it under Node, System, Certificates; so does `pvenode cert info`",
            ),
        }
    }
    if pinned.is_some() {
        return Some(ProxmoxTrust::Pins(sums));
    }
    Some(ProxmoxTrust::Authorities(String::new()))
}

/// As Proxmox shows it, `AB:CD:…`, or as plain hex digits.
fn pin(text: &str) -> Option<Sha256> {
    text.replace(':', "").to_ascii_lowercase().parse().ok()
}

/// Proxmox gives machines the name servers of its own host when none are given, which rarely
/// know the names of this site: they are never left out.
fn read_nameservers(fields: &Fields<'_>) -> Option<Vec<IpAddr>> {
    let node = fields.required("nameservers")?;
    let items = fields.report().items(node)?;
    if items.is_empty() {
        fields.report().add(
            &node.location,
            "name at least one server that knows the names of this site",
        );
    }
    items
        .iter()
        .map(|item| fields.report().parsed(item))
        .collect()
}

struct Vmids(RangeInclusive<u32>);

impl FromStr for Vmids {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.split_once('-').and_then(|(first, last)| {
            let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
            let valid =
                !range.is_empty() && VMIDS.contains(range.start()) && VMIDS.contains(range.end());
            valid.then_some(range)
        });
        let range = range.ok_or_else(|| {
            let text: String = text.chars().take(80).collect();
            format!(
                "`{text}` is not a range of VMIDs `FIRST-LAST` within {} to {}",
                VMIDS.start(),
                VMIDS.end()
            )
        })?;
        Ok(Self(range))
    }
}
