//! What a client does with a cluster. Each scenario keeps to VMIDs of its own, so that all can share one server.

use std::{collections::BTreeMap, time::Duration};

use omni_scale_proxmox::{
    BootOrder, Cdrom, Checksum, ChecksumAlgorithm, ContentKind, Disk, DiskSize, DiskSource,
    Download, EfiDisk, Error, Firmware, Network, Screen, ScsiController, Slot, Smbios, StorageId,
    TagList, TaskQuery, Upid, Upload, UploadSource, VmChange, VmSettings, Vmid,
};
use uuid::Uuid;

use crate::{
    transcript::Transcript,
    world::{IMAGE, IMAGE_SUM, LOCKED, STUBBORN, World},
};

/// Of `seed`, in hexadecimal.
const SEED_SUM: &str = "19b25856e1c150ca834cffc8b59b23adbd0ec0389e58eb22b3b64768098d002b";

pub(crate) fn vmid(number: u32) -> Vmid {
    Vmid::new(number.into()).unwrap()
}

fn slot(name: &str) -> Slot {
    name.parse().unwrap()
}

pub(crate) fn uuid(number: u32) -> Uuid {
    Uuid::from_u128(0x3f2a_0000_0000_5000_8000_0000_0000_0000 + u128::from(number))
}

/// A VM as this product makes them, as small as they come.
pub(crate) fn settings(number: u32) -> VmSettings {
    let storage: StorageId = "fast".parse().unwrap();
    VmSettings {
        vmid: vmid(number),
        name: format!("vm-{number}.lan").parse().unwrap(),
        description: "made by omni-scale; ours\nid: 3f2a".into(),
        tags: TagList::new(["omni-scale", "group_acceptance"]).unwrap(),
        pool: None,
        firmware: Firmware::Ovmf(EfiDisk {
            storage: storage.clone(),
            pre_enrolled_keys: false,
        }),
        cpu: "x86-64-v2-AES".into(),
        cores: 2,
        memory: 2048,
        scsi: ScsiController::VirtioShared,
        disks: BTreeMap::from([(
            slot("scsi0"),
            Disk {
                storage,
                source: DiskSource::Empty(DiskSize::gibibytes(2)),
                discard: true,
                ssd: true,
                iothread: false,
            },
        )]),
        drives: BTreeMap::from([(slot("ide2"), Cdrom::Empty)]),
        networks: vec![Network::new("vmbr0").unwrap()],
        screen: Screen::Standard,
        guest_agent: false,
        boot: BootOrder(vec![slot("scsi0"), slot("ide2")]),
        start_at_boot: false,
        protection: false,
        smbios: Smbios {
            uuid: uuid(number),
            serial: None,
        },
        randomness: true,
        cloud_init: None,
    }
}

async fn make(world: &World, transcript: &mut Transcript, number: u32) {
    let made = world.client.create(&world.node, &settings(number)).await;
    transcript.task(world, "create", made).await;
}

pub(crate) async fn what_was_made_is_what_was_asked_for(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    make(world, &mut transcript, 210).await;
    if let Some(config) =
        transcript.call("config", world.client.config(&world.node, vmid(210)).await)
    {
        let keys: Vec<&str> = config
            .entries()
            .map(|(key, _)| key)
            .filter(|key| !["meta", "vmgenid"].contains(key))
            .collect();
        transcript.say(format!("keys: {}", keys.join(" ")));
        transcript.value("uuid is ours", config.uuid() == Some(uuid(210)));
        transcript.value("tags", config.tags().to_string());
        transcript.value("boot", config.get("boot"));
        transcript.value("description", config.description().map(str::trim_end));
        transcript.value("memory and cores", (config.memory(), config.cores()));
        let disks: Vec<_> = config
            .disks()
            .into_iter()
            .map(|disk| {
                format!(
                    "{} {:?} cdrom={}",
                    disk.slot,
                    disk.size.map(|size| size.to_string()),
                    disk.cdrom
                )
            })
            .collect();
        transcript.value("disks", disks);
    }
    if let Some(status) =
        transcript.call("status", world.client.status(&world.node, vmid(210)).await)
    {
        transcript.value("state", status.state);
    }
    if let Some(guests) = transcript.call("guests", world.client.guests().await) {
        let ours = guests.iter().find(|guest| guest.vmid == Some(vmid(210)));
        transcript.value(
            "listed on",
            ours.and_then(|guest| guest.node.as_ref())
                .map(ToString::to_string),
        );
    }
    transcript
}

pub(crate) async fn a_vmid_is_taken_once(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    make(world, &mut transcript, 211).await;
    make(world, &mut transcript, 211).await;
    let other = world.client.create(&world.other_node, &settings(211)).await;
    transcript
        .task(world, "create on another node", other)
        .await;
    transcript.call(
        "next id, taken",
        world.client.next_id(Some(vmid(211))).await,
    );
    let free = transcript.call("next id, free", world.client.next_id(Some(vmid(888))).await);
    transcript.value("free", free);
    transcript
}

pub(crate) async fn what_the_schema_forbids_is_refused(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    let long = VmSettings {
        description: "x".repeat(8193),
        ..settings(212)
    };
    transcript
        .task(
            world,
            "create with a long description",
            world.client.create(&world.node, &long).await,
        )
        .await;
    let pool = VmSettings {
        pool: Some("no,=pool".into()),
        ..settings(212)
    };
    transcript
        .task(
            world,
            "create in a wrong pool",
            world.client.create(&world.node, &pool).await,
        )
        .await;
    transcript.call(
        "config afterwards",
        world.client.config(&world.node, vmid(212)).await,
    );
    transcript
}

pub(crate) async fn a_token_does_what_it_may(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    transcript.call("version", world.poor.version().await);
    transcript.call(
        "create",
        world.poor.create(&world.node, &settings(213)).await,
    );
    transcript.call("config", world.poor.config(&world.node, vmid(LOCKED)).await);
    transcript.call("start", world.poor.start(&world.node, vmid(LOCKED)).await);
    transcript.call("unknown token", world.unknown.version().await);
    if let Some(permissions) = transcript.call("permissions", world.poor.permissions(None).await) {
        transcript.value("may look", permissions.holds("/vms", "VM.Audit"));
        transcript.value("may make", permissions.holds("/vms", "VM.Allocate"));
    }
    transcript
}

pub(crate) async fn a_vm_runs_stops_and_goes(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    let (client, node, vm) = (&world.client, &world.node, vmid(214));
    make(world, &mut transcript, 214).await;
    transcript
        .task(world, "start", client.start(node, vm).await)
        .await;
    transcript
        .task(world, "start again", client.start(node, vm).await)
        .await;
    let state = client.status(node, vm).await.map(|status| status.state);
    transcript.value("state", state.ok());
    transcript.call("guest agent", client.guest_interfaces(node, vm).await);
    transcript
        .task(world, "delete while it runs", client.delete(node, vm).await)
        .await;
    transcript
        .task(world, "stop", client.stop(node, vm).await)
        .await;
    transcript
        .task(world, "delete", client.delete(node, vm).await)
        .await;
    transcript.call("config", client.config(node, vm).await);
    transcript
        .task(world, "delete again", client.delete(node, vm).await)
        .await;
    transcript
}

pub(crate) async fn a_guest_that_does_not_listen_is_forced(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    let (client, node, vm) = (&world.client, &world.node, vmid(STUBBORN));
    let second = Duration::from_secs(1);
    transcript
        .task(
            world,
            "shut down",
            client.shutdown(node, vm, second, false).await,
        )
        .await;
    let state = client.status(node, vm).await.map(|status| status.state);
    transcript.value("state", state.ok());
    transcript
        .task(
            world,
            "shut down by force",
            client.shutdown(node, vm, second, true).await,
        )
        .await;
    let state = client.status(node, vm).await.map(|status| status.state);
    transcript.value("state", state.ok());
    transcript
}

pub(crate) async fn a_locked_vm_is_left_alone(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    let (client, node, vm) = (&world.client, &world.node, vmid(LOCKED));
    transcript
        .task(world, "start", client.start(node, vm).await)
        .await;
    transcript
        .task(world, "delete", client.delete(node, vm).await)
        .await;
    if let Some(config) = transcript.call("config", client.config(node, vm).await) {
        transcript.value("lock", config.lock());
        let change = VmChange::of(config.digest().unwrap()).memory(1024);
        let changed = client.change(node, vm, &change).await;
        changed_to(world, &mut transcript, "change", changed).await;
    }
    transcript
}

async fn changed_to(
    world: &World,
    transcript: &mut Transcript,
    what: &str,
    changed: Result<Option<Upid>, Error>,
) {
    match changed {
        Ok(None) => transcript.say(format!("{what}: ok, at once")),
        Ok(Some(upid)) => {
            transcript.task(world, what, Ok(upid)).await;
        }
        Err(error) => {
            transcript.call(what, Err::<(), _>(error));
        }
    }
}

pub(crate) async fn a_change_needs_the_configuration_that_was_read(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    let (client, node, vm) = (&world.client, &world.node, vmid(215));
    make(world, &mut transcript, 215).await;
    if let Some(config) = transcript.call("config", client.config(node, vm).await) {
        let change = VmChange::of(config.digest().unwrap())
            .memory(4096)
            .detach(slot("ide2"));
        let changed = client.change(node, vm, &change).await;
        changed_to(world, &mut transcript, "change", changed).await;
        let changed = client.change(node, vm, &change).await;
        changed_to(
            world,
            &mut transcript,
            "change with the old digest",
            changed,
        )
        .await;
    }
    if let Some(config) = transcript.call("config", client.config(node, vm).await) {
        transcript.value("memory", config.memory());
        transcript.value("has its drive", config.get("ide2").is_some());
        transcript.value("uuid is ours", config.uuid() == Some(uuid(215)));
    }
    transcript
}

pub(crate) async fn disks_grow_to_a_size_and_never_shrink(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    let (client, node, vm) = (&world.client, &world.node, vmid(216));
    make(world, &mut transcript, 216).await;
    for (what, size) in [("grow", 4), ("grow to the same", 4), ("shrink", 1)] {
        let resized = client
            .resize(node, vm, slot("scsi0"), DiskSize::gibibytes(size), None)
            .await;
        changed_to(world, &mut transcript, what, resized).await;
    }
    let config = client.config(node, vm).await.ok();
    let disk = config.and_then(|config| {
        config
            .disks()
            .into_iter()
            .find(|disk| disk.slot == slot("scsi0"))
    });
    transcript.value(
        "size",
        disk.and_then(|disk| disk.size).map(|size| size.to_string()),
    );
    transcript
}

pub(crate) async fn a_task_is_found_again(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    let made = world.client.create(&world.node, &settings(217)).await;
    let made = transcript.task(world, "create", made).await;
    let query = TaskQuery {
        node: world.node.clone(),
        vmid: Some(vmid(217)),
        kind: Some("qmcreate".into()),
        since_unix_seconds: made.as_ref().map(Upid::started_unix_seconds),
        own: true,
    };
    if let Some(found) = transcript.call("tasks", world.client.tasks(&query).await) {
        let found: Vec<_> = found
            .into_iter()
            .map(|entry| (Some(entry.upid) == made, entry.state))
            .collect();
        transcript.value("found", found);
    }
    let later = TaskQuery {
        kind: Some("qmstart".into()),
        ..query
    };
    let found = transcript.call("tasks of another kind", world.client.tasks(&later).await);
    transcript.value("found", found.map(|found| found.len()));
    if let Some(upid) = made {
        if let Some(lines) = transcript.call("log", world.client.task_log(&upid, 0).await) {
            let last = lines.last().map(|line| line.text.clone());
            transcript.value(
                "first number and last line",
                (lines.first().map(|line| line.number), last),
            );
        }
        let unknown = upid
            .as_str()
            .replace("qmcreate:217", "qmcreate:218")
            .parse()
            .unwrap();
        transcript.call("an unknown task", world.client.task_status(&unknown).await);
    }
    transcript
}

pub(crate) async fn files_come_and_go(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    let (client, node) = (&world.client, &world.node);
    let storage = "local".parse().unwrap();
    let upload = |hexadecimal: &str| Upload {
        content: ContentKind::Iso,
        file_name: "seed-3f2a.iso".into(),
        checksum: Checksum {
            algorithm: ChecksumAlgorithm::Sha256,
            hexadecimal: hexadecimal.into(),
        },
        source: UploadSource::Bytes(b"seed".to_vec()),
    };
    let limit = Duration::from_secs(30);
    transcript
        .task(
            world,
            "upload",
            client.upload(node, &storage, upload(SEED_SUM), limit).await,
        )
        .await;
    transcript
        .task(
            world,
            "upload again",
            client.upload(node, &storage, upload(SEED_SUM), limit).await,
        )
        .await;
    transcript
        .task(
            world,
            "upload with a wrong sum",
            client
                .upload(node, &storage, upload(IMAGE_SUM), limit)
                .await,
        )
        .await;
    let volume = "local:iso/seed-3f2a.iso".parse().unwrap();
    for what in ["there", "gone"] {
        if let Some(files) = transcript.call(
            "content",
            client
                .content(node, &storage, Some(&ContentKind::Iso), None)
                .await,
        ) {
            let file = files.iter().find(|file| file.volume == volume);
            transcript.value(what, file.map(|file| file.size));
        }
        if what == "there" {
            let deleted = client.delete_content(node, &volume).await;
            changed_to(world, &mut transcript, "delete", deleted).await;
        }
    }
    transcript
}

pub(crate) async fn images_are_fetched_by_their_sum(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    let storage = "local".parse().unwrap();
    let download = |hexadecimal: &str, file_name: &str| Download {
        content: ContentKind::Import,
        file_name: file_name.into(),
        url: IMAGE.into(),
        checksum: Checksum {
            algorithm: ChecksumAlgorithm::Sha256,
            hexadecimal: hexadecimal.into(),
        },
    };
    for (what, sum, name) in [
        ("download", IMAGE_SUM, "image-3f2a.qcow2"),
        ("download again", IMAGE_SUM, "image-3f2a.qcow2"),
        ("download with a wrong sum", SEED_SUM, "image-19b2.qcow2"),
    ] {
        let fetched = world
            .client
            .download(&world.node, &storage, &download(sum, name))
            .await;
        transcript.task(world, what, fetched).await;
    }
    let mut imported = settings(219);
    if let Some(disk) = imported.disks.get_mut(&slot("scsi0")) {
        disk.source = DiskSource::Import("local:import/image-3f2a.qcow2".parse().unwrap());
    }
    transcript
        .task(
            world,
            "create from the image",
            world.client.create(&world.node, &imported).await,
        )
        .await;
    let config = world.client.config(&world.node, vmid(219)).await.ok();
    let disk = config.and_then(|config| {
        config
            .disks()
            .into_iter()
            .find(|disk| disk.slot == slot("scsi0"))
    });
    transcript.value(
        "size",
        disk.and_then(|disk| disk.size).map(|size| size.to_string()),
    );
    transcript
}

pub(crate) async fn nodes_say_what_they_have(world: &World) -> Transcript {
    let mut transcript = Transcript::default();
    let (client, node) = (&world.client, &world.node);
    if let Some(nodes) = transcript.call("nodes", client.nodes().await) {
        let names: Vec<_> = nodes
            .iter()
            .map(|node| format!("{} {:?}", node.node, node.state))
            .collect();
        transcript.value("nodes", names);
    }
    transcript.call("status", client.node_status(node).await);
    transcript.call("dns", client.node_dns(node).await);
    if let Some(bridges) = transcript.call("bridges", client.bridges(node).await) {
        transcript.value(
            "has vmbr0",
            bridges.iter().any(|bridge| bridge.name == "vmbr0"),
        );
    }
    for kind in [ContentKind::Images, ContentKind::Iso, ContentKind::Import] {
        if let Some(storages) =
            transcript.call("storages", client.storages(node, Some(&kind)).await)
        {
            let names: Vec<_> = storages
                .iter()
                .map(|storage| storage.storage.to_string())
                .collect();
            transcript.value(kind.as_str(), names);
        }
    }
    transcript.call("options", client.options().await);
    transcript.call(
        "status of an unknown VM",
        client.status(node, vmid(889)).await,
    );
    transcript.call(
        "config of an unknown VM",
        client.config(node, vmid(889)).await,
    );
    let started = client.start(node, vmid(889)).await;
    transcript
        .task(world, "start of an unknown VM", started)
        .await;
    transcript
}

/// Each scenario by its name.
pub(crate) async fn all(world: &World) -> BTreeMap<&'static str, Vec<String>> {
    let mut transcripts = BTreeMap::new();
    macro_rules! run {
        ($($name:ident)*) => {
            $(transcripts.insert(stringify!($name), $name(world).await.0);)*
        };
    }
    run! {
        what_was_made_is_what_was_asked_for
        a_vmid_is_taken_once
        what_the_schema_forbids_is_refused
        a_token_does_what_it_may
        a_vm_runs_stops_and_goes
        a_guest_that_does_not_listen_is_forced
        a_locked_vm_is_left_alone
        a_change_needs_the_configuration_that_was_read
        disks_grow_to_a_size_and_never_shrink
        a_task_is_found_again
        files_come_and_go
        images_are_fetched_by_their_sum
        nodes_say_what_they_have
    }
    transcripts
}
