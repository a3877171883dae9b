//! Many machines are made side by side: as many at once as nodes have storages, and nobody is asked in a hurry.

use std::time::Duration;

use tokio::time::Instant;

use super::rig::{Rig, cluster, host};

/// How long it takes to make so many machines, spread over so many nodes, and how much is asked meanwhile.
async fn make(count: u32, nodes: u32) -> (Duration, usize) {
    let rig = Rig::with(cluster(1));
    rig.simulator.cluster().record();
    let machines: Vec<_> = (0..count)
        .map(|number| {
            let mut machine = host(&format!("host-{number}"), 0);
            machine.node = format!("pve{}", 1 + number % nodes);
            machine.vmid = 100 + number;
            machine
        })
        .collect();
    let began = Instant::now();
    let made = machines
        .iter()
        .map(|machine| rig.apply_within(machine, 3600));
    for done in futures_util::future::join_all(made).await {
        done.unwrap();
    }
    let asked = rig.simulator.cluster().take_recorded().len();
    (began.elapsed(), asked)
}

#[tokio::test(start_paused = true)]
async fn time_grows_with_machines_per_node_and_not_with_machines() {
    let (ten_on_one, _) = make(10, 1).await;
    let (thirty_on_three, asked) = make(30, 3).await;
    let most = ten_on_one + ten_on_one / 10;
    assert!(
        thirty_on_three <= most,
        "{thirty_on_three:?} beside {ten_on_one:?}"
    );
    let (ten_on_three, _) = make(10, 3).await;
    assert!(
        ten_on_three < ten_on_one / 2,
        "{ten_on_three:?} beside {ten_on_one:?}"
    );
    // Most of the time is spent waiting, with a question every few seconds.
    let questions = u64::try_from(asked).unwrap();
    assert!(
        questions < 30 * 100,
        "{questions} questions for 30 machines"
    );
}
