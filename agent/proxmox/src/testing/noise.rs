//! A door for tests that throw noise at whatever reads answers.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Address, ApiToken, Asked, Complaint, Content, DatacenterOptions, Interface, LogLine, Method,
    Node, NodeDns, NodeStatus, Permissions, Resource, Storage, TaskEntry, TaskStatus, Upid,
    UrlMetadata, Version, VmConfig, VmStatus, Vmid, answer, exchange::Answer,
    model::GuestInterfaces,
};

/// Reads an answer as every type that an answer can be, and looks at all that came of it. Returns how many could be
/// read.
pub fn read_everything(
    address: &Address,
    token: &ApiToken,
    status: u16,
    reason: &str,
    body: &[u8],
) -> usize {
    let asked = || {
        Box::new(Asked {
            method: Method::Post,
            path: "/nodes/pve1/qemu".to_owned(),
            address: address.clone(),
        })
    };
    let answer = Answer {
        status,
        reason: reason.to_owned(),
        body: body.to_vec(),
        cut: false,
    };
    let data = match answer::data(asked(), &answer, token) {
        Ok(data) => data,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let _ = (error.class(), Complaint::read(reason).class());
            return 0;
        }
    };
    let config = read::<VmConfig>(asked(), &data);
    if let Some(config) = &config {
        let _ = (
            config.smbios(),
            config.uuid(),
            config.tags(),
            config.protected(),
            config.memory(),
            config.cores(),
        );
        let _ = (
            config.disks(),
            config.networks(),
            config.description(),
            config.lock(),
        );
    }
    let permissions = read::<Permissions>(asked(), &data);
    let _ = permissions
        .as_ref()
        .map(|permissions| permissions.holds("/vms/105", "VM.Audit"));
    let options = read::<DatacenterOptions>(asked(), &data);
    let _ = options.as_ref().map(|options| {
        (
            options.next_id(),
            options.registered_tags(),
            options.allowed_tags(),
            options.user_tag_access(),
        )
    });
    [
        config.is_some(),
        permissions.is_some(),
        options.is_some(),
        read::<Version>(asked(), &data).is_some_and(|version| version.major_minor().is_some()),
        read::<Vec<Node>>(asked(), &data).is_some(),
        read::<NodeStatus>(asked(), &data).is_some(),
        read::<NodeDns>(asked(), &data).is_some_and(|dns| !dns.servers().is_empty()),
        read::<Vec<Interface>>(asked(), &data).is_some(),
        read::<Vec<Storage>>(asked(), &data).is_some(),
        read::<Vec<Content>>(asked(), &data).is_some(),
        read::<UrlMetadata>(asked(), &data).is_some(),
        read::<Vec<Resource>>(asked(), &data).is_some(),
        read::<VmStatus>(asked(), &data).is_some(),
        read::<GuestInterfaces>(asked(), &data).is_some(),
        read::<TaskStatus>(asked(), &data).is_some(),
        read::<Vec<TaskEntry>>(asked(), &data).is_some(),
        read::<Vec<LogLine>>(asked(), &data).is_some(),
        read::<Vmid>(asked(), &data).is_some(),
        read::<Option<Upid>>(asked(), &data).is_some(),
    ]
    .into_iter()
    .filter(|read| *read)
    .count()
}

fn read<T: DeserializeOwned>(asked: Box<Asked>, data: &Value) -> Option<T> {
    answer::typed(asked, data.clone()).ok()
}
