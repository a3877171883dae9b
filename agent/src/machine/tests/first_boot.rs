//! What a machine was told at its first boot is gone after it.

use omni_scale_proto::v1;
use omni_scale_proxmox_simulator::{Method, Reply, Request, TOKEN};

use super::rig::{Rig, auth_key, host, request};

impl Rig {
    /// Whether a storage of `pve1` has the machine's ISO.
    pub(super) async fn first_boot_data_is_there(&self, machine: &v1::Machine) -> bool {
        let path = "/nodes/pve1/storage/local/content?content=iso";
        let request = Request::new(Method::Get, path).token(TOKEN);
        match self.simulator.call(&request).await.unwrap().reply {
            Reply::Answer(answer) => answer.data().to_string().contains(&machine.uuid),
            Reply::Cut => panic!("the connection was cut"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_iso_is_ejected_and_deleted_and_the_secrets_used_up() {
    let mut rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    let identity = request(&machine).machine;
    assert!(rig.machines.enrollment_secret(&identity).is_ok());
    let auth_key = auth_key("idp").parse().unwrap();
    assert!(rig.secrets.get(&auth_key).is_some());
    assert!(rig.first_boot_data_is_there(&machine).await);
    for _ in 0..2 {
        rig.finish(&machine).await.unwrap();
        assert!(!rig.first_boot_data_is_there(&machine).await);
        assert!(!rig.see("idp").await.first_boot_attached);
        let refused = rig.machines.enrollment_secret(&identity).unwrap_err();
        assert!(refused.message.contains("is void"), "{refused}");
        assert!(rig.secrets.get(&auth_key).is_none());
        rig.restart().await;
    }
    // It stays so when the machine is started again.
    rig.apply(&machine).await.unwrap();
    assert!(!rig.first_boot_data_is_there(&machine).await);
    assert!(rig.config(100, "scsi30").starts_with("none"));
}

#[tokio::test(start_paused = true)]
async fn another_iso_in_the_drive_is_left_there() {
    let rig = Rig::new();
    let machine = host("idp", 0);
    rig.apply(&machine).await.unwrap();
    let theirs = "local:iso/theirs.iso,media=cdrom";
    rig.simulator
        .cluster()
        .vms
        .get_mut(&100)
        .unwrap()
        .config
        .insert("scsi30".to_owned(), theirs.to_owned());
    rig.finish(&machine).await.unwrap();
    assert_eq!(rig.config(100, "scsi30"), theirs);
    assert!(!rig.first_boot_data_is_there(&machine).await);
}
