//! The client against servers that behave: the simulator of this repository, in process, and `fakepve`, which nobody
//! here wrote. The same scenarios run against both, and what came of them is compared with `expected.txt` line by
//! line; where `fakepve` is known to differ from Proxmox itself, `fakepve.allowed` says how and why.
//!
//! What only the simulator can do, losing replies and crashing workers, is in `faults`.

#![expect(clippy::unwrap_used, reason = "all of it is a test")]

mod expected;
mod faults;
mod scenarios;
mod transcript;
mod world;

use expected::{Allowed, differences, expected};
use omni_scale_proxmox_simulator::Settings;
use world::World;

#[tokio::test]
async fn the_simulator_does_what_is_expected() {
    let world = World::simulated(Settings::default(), world::FAST).await;
    let transcripts = scenarios::all(&world).await;
    let differences = differences(&expected(), &transcripts);
    assert!(differences.is_empty(), "{differences}");
}

#[tokio::test]
async fn versions_that_speak_in_reason_phrases_are_understood_as_well() {
    let settings = Settings {
        reason_only: true,
        version: "8.4.1".into(),
        ..Settings::default()
    };
    let world = World::simulated(settings, world::FAST).await;
    let transcripts = scenarios::all(&world).await;
    let differences = differences(&expected(), &transcripts);
    assert!(differences.is_empty(), "{differences}");
}

#[cfg(feature = "fakepve-tests")]
#[tokio::test]
async fn fakepve_does_what_is_expected_but_for_what_is_allowed() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the harness says where fakepve is"
    )]
    let place =
        std::env::var("FAKEPVE").expect("FAKEPVE holds the line that `serve-fakepve` prints");
    let (address, pin) = place
        .split_once(' ')
        .expect("FAKEPVE holds an address and a fingerprint");
    let trust = omni_scale_proxmox::Trust::Pins(vec![pin.trim().parse().unwrap()]);
    let world = World::at(&address.parse().unwrap(), &trust);
    let transcripts = scenarios::all(&world).await;
    let mut expected = expected();
    Allowed::read().apply(&mut expected);
    let differences = differences(&expected, &transcripts);
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn what_fakepve_is_allowed_is_a_difference_from_what_is_expected() {
    Allowed::read().apply(&mut expected());
}
