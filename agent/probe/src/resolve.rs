//! From the host of a URL to addresses, in the way that the request names.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use crate::{
    dns::{self, Asked, Bounds, HostsFile, Name, ResolvConf},
    fault::Fault,
    report::FailureClass,
    request::Resolver,
    target::{Host, Target},
};

/// How long one nameserver may take for one question.
const PATIENCE: Duration = Duration::from_secs(2);
/// Files larger than this are not what they should be.
const LARGEST_FILE: u64 = 1024 * 1024;

/// The addresses of a target, in the order in which they are to be tried. Ends by `deadline`.
pub(crate) async fn addresses(target: &Target, resolver: &Resolver, deadline: Instant) -> Asked {
    let bounds = Bounds {
        patience: PATIENCE,
        deadline,
    };
    match (&target.host, resolver) {
        (Host::Address(address), _) => known(vec![*address]),
        (Host::Name { .. }, Resolver::Fixed { addresses }) => known(addresses.clone()),
        (Host::Name { text, .. }, Resolver::System) => Asked {
            nameservers: Vec::new(),
            result: from_system(text, target.port, deadline).await,
        },
        (Host::Name { name, .. }, Resolver::Nameservers { addresses }) => {
            let configuration = ResolvConf {
                nameservers: addresses.clone(),
                search: Vec::new(),
            };
            dns::resolve(name, &configuration, bounds).await
        }
        (Host::Name { name, .. }, Resolver::ResolvConf { path, hosts_path }) => {
            match from_files(name, path, hosts_path.as_deref()) {
                Ok(Found::Addresses(addresses)) => known(addresses),
                Ok(Found::Configuration(configuration)) => {
                    dns::resolve(name, &configuration, bounds).await
                }
                Err(fault) => Asked {
                    nameservers: Vec::new(),
                    result: Err(fault),
                },
            }
        }
    }
}

fn known(addresses: Vec<IpAddr>) -> Asked {
    Asked {
        nameservers: Vec::new(),
        result: Ok(addresses),
    }
}

enum Found {
    Addresses(Vec<IpAddr>),
    Configuration(ResolvConf),
}

fn from_files(name: &Name, path: &Path, hosts_path: Option<&Path>) -> Result<Found, Fault> {
    // A missing hosts file is an empty one.
    if let Some(text) = hosts_path.and_then(|hosts_path| read(hosts_path).ok()) {
        let addresses = HostsFile::parse(&text).addresses(name);
        if !addresses.is_empty() {
            return Ok(Found::Addresses(addresses));
        }
    }
    let text = read(path).map_err(|error| {
        Fault::new(
            FailureClass::NoNameserver,
            format!("cannot read `{}`: {error}", path.display()),
        )
    })?;
    let configuration = ResolvConf::parse(&text);
    if configuration.nameservers.is_empty() {
        return Err(Fault::new(
            FailureClass::NoNameserver,
            format!("`{}` names no nameserver", path.display()),
        ));
    }
    Ok(Found::Configuration(configuration))
}

/// Small local files: reading them does not wait on anything, so it needs no task of its own.
fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(LARGEST_FILE)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn from_system(text: &str, port: u16, deadline: Instant) -> Result<Vec<IpAddr>, Fault> {
    let found = timeout_at(deadline, tokio::net::lookup_host((text, port)))
        .await
        .map_err(|_| {
            Fault::new(
                FailureClass::NameserverSilent,
                format!("the system's resolver has no answer for `{text}` yet"),
            )
        })?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    let found = found.map_err(|error| {
        Fault::new(
            FailureClass::NameNotFound,
            format!("the system's resolver cannot resolve `{text}`: {error}"),
        )
    })?;
    for address in found.map(|address: SocketAddr| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(Fault::new(
            FailureClass::NoAddress,
            format!("the system's resolver has no address for `{text}`"),
        ));
    }
    Ok(addresses)
}
